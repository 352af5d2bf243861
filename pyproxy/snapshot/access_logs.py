"""Which requests are logged where: Telemetry's accessLogging over MeshConfig's accessLogFile.

Source: Istio pilot/pkg/model/telemetry.go (mergeLogs, AccessLogging), telemetry_logging.go, core/accesslog.go.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyproxy.istio.mesh.providers import EnvoyFileAccessLogProvider, ExtensionProvider
from pyproxy.istio.telemetry import AccessLogging
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.providers import Providers
from pyproxy.snapshot.reporting import AccessLog

_BUILT_IN = "envoy"
_BY_SERVICE = ("envoy_http_als", "envoy_tcp_als", "envoy_otel_als")


@dataclass(frozen=True, slots=True)
class _Choice:
    disabled: bool = False
    filter: str = ""


class LogRules:
    """Makes one direction's logs."""

    def __init__(self, mesh: MeshSettings, providers: Providers) -> None:
        self._mesh = mesh
        self._providers = providers
        self._defaults = mesh.config.default_providers.access_logging if mesh.config.default_providers else ()
        self.troubles: dict[str, str] = {}
        """Provider's name → why no line goes to it."""

    def compile(self, levels: Sequence[Sequence[AccessLogging]], mode: str) -> tuple[AccessLog, ...]:
        """The logs of `CLIENT` or `SERVER`. `levels`: the entries of each Telemetry that applies, outermost first."""
        fallback = (self._mesh.access_log,) if self._mesh.access_log.path else ()
        levels = [level for level in levels if level]
        if not levels and not self._defaults:
            return fallback
        known = False
        found: dict[str, AccessLog] = {}
        for name, choice in self._choices(levels, mode).items():
            provider = self._providers.named(name)
            if provider is None:
                self.troubles[name] = "no extension provider of MeshConfig has this name"
                continue
            log = self._log(provider)
            known = known or log is not None or any(getattr(provider, kind) is not None for kind in _BY_SERVICE)
            if log is not None and not choice.disabled:
                found[provider.name or ""] = replace(log, filter=choice.filter)
        return tuple(found[name] for name in sorted(found)) if known else fallback

    def _choices(self, levels: Sequence[Sequence[AccessLogging]], mode: str) -> dict[str, _Choice]:
        """Provider → whether and what it logs. A level that names providers replaces those of the level above."""
        if not levels:
            return {name: _Choice() for name in self._defaults}
        in_scope: Sequence[str] = self._defaults
        filters: dict[str, str] = {}
        for level in levels:
            names: list[str] = []
            for entry in level:
                if _fits(entry, mode):
                    named = [provider.name for provider in entry.providers]
                    names += named
                    expression = (entry.filter and entry.filter.expression) or ""
                    filters.update(dict.fromkeys(named, expression))
            in_scope = names or in_scope
        choices: dict[str, _Choice] = {}
        inherited: Sequence[str] = self._defaults
        for entry in (entry for level in levels for entry in level):
            inherited = [provider.name for provider in entry.providers] or inherited
            for name in inherited:
                if name in in_scope and _fits(entry, mode):
                    choices[name] = _Choice(disabled=True) if entry.disabled else _Choice(filter=filters.get(name, ""))
        return choices

    def _log(self, provider: ExtensionProvider) -> AccessLog | None:
        """None: it is none for logs, or none that lines can be sent to."""
        spec = provider.envoy_file_access_log
        if spec is not None:
            return self._file(provider.name or "", spec)
        sent = any(getattr(provider, kind) is not None for kind in _BY_SERVICE)
        self.troubles[provider.name or ""] = (
            "log lines are written to files; to no service yet" if sent else "it is no provider for access logs"
        )
        return None

    def _file(self, name: str, spec: EnvoyFileAccessLogProvider) -> AccessLog:
        path = spec.path or "/dev/stdout"
        omit = bool(spec.omit_empty_values)
        if spec.log_format is None:
            if name == _BUILT_IN and not omit:
                return replace(self._mesh.access_log, path=path)
            return AccessLog(path, omit_empty=omit)
        if spec.log_format.labels is not None:
            labels = spec.log_format.labels
            return AccessLog(path, "JSON", json.dumps(labels) if labels else "", omit_empty=omit)
        return AccessLog(path, format=spec.log_format.text or "", omit_empty=omit)


def _fits(entry: AccessLogging, mode: str) -> bool:
    asked = entry.match.mode if entry.match is not None else None
    return asked in (None, "CLIENT_AND_SERVER", mode)
