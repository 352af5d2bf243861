"""What Telemetry changes about Istio's metrics: which are left out, which labels are others.

Source: Istio pilot/pkg/model/telemetry.go (mergeMetrics, generateStatsConfig). Only Prometheus is counted for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyproxy.istio.telemetry import Metrics, MetricSelector, MetricsOverrides
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.providers import Providers
from pyproxy.snapshot.reporting import METRICS_INTERVAL, LabelChange, MetricChange, MetricRules

METRIC_NAMES: Mapping[str, str] = {
    "REQUEST_COUNT": "requests_total",
    "REQUEST_DURATION": "request_duration_milliseconds",
    "REQUEST_SIZE": "request_bytes",
    "RESPONSE_SIZE": "response_bytes",
    "TCP_OPENED_CONNECTIONS": "tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "tcp_connections_closed_total",
    "TCP_SENT_BYTES": "tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "tcp_received_bytes_total",
    "GRPC_REQUEST_MESSAGES": "request_messages_total",
    "GRPC_RESPONSE_MESSAGES": "response_messages_total",
}
"""Telemetry's word → the metric's name without `istio_`."""
_MODES = ("CLIENT", "SERVER")
_DEFAULT_PROVIDERS = ("prometheus",)
"""Istio's installation says so; a MeshConfig of its own that names others replaces it."""


@dataclass(slots=True)
class _Change:
    dropped: bool = False
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Mode:
    """One direction's changes so far."""

    disabled: bool = False
    metrics: dict[str, _Change] = field(default_factory=dict)

    def apply(self, override: MetricsOverrides) -> None:
        match = override.match
        if _is_everything(match) and override.disabled:
            self.disabled = True
            return
        self.disabled = False
        for name in _names(match):
            change = self.metrics.setdefault(name, _Change())
            if override.disabled is not None:
                change.dropped = override.disabled
            for label, tag in override.tag_overrides.items():
                change.labels[label] = "" if tag.operation == "REMOVE" else tag.value or ""

    def rules(self) -> MetricRules:
        return MetricRules(
            not self.disabled,
            tuple(
                MetricChange(name, change.dropped, tuple(LabelChange(*each) for each in sorted(change.labels.items())))
                for name, change in sorted(self.metrics.items())
                if change.dropped or change.labels
            ),
        )


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """Both directions."""

    client: MetricRules
    server: MetricRules
    interval: float


def compile_metrics(entries: Sequence[Metrics], mesh: MeshSettings, providers: Providers) -> MetricSettings:
    """What the entries that apply say together, the later over the earlier."""
    defaults = mesh.config.default_providers
    inherited: Sequence[str] = (defaults.metrics if defaults is not None else ()) or _DEFAULT_PROVIDERS
    in_scope = inherited
    for entry in entries:
        in_scope = [provider.name for provider in entry.providers] or in_scope
    counted = {name for name in in_scope if _is_prometheus(name, providers)}
    modes = {mode: _Mode() for mode in _MODES}
    interval = METRICS_INTERVAL
    for entry in entries:
        inherited = [provider.name for provider in entry.providers] or inherited
        if counted.isdisjoint(inherited):
            continue
        if entry.reporting_interval is not None:
            interval = entry.reporting_interval
        for override in entry.overrides:
            asked = override.match.mode if override.match is not None else None
            for mode in (asked,) if asked in _MODES else _MODES:
                modes[mode or ""].apply(override)
    if not counted:
        return MetricSettings(MetricRules(False), MetricRules(False), interval)
    return MetricSettings(modes["CLIENT"].rules(), modes["SERVER"].rules(), interval)


def _is_prometheus(name: str, providers: Providers) -> bool:
    found = providers.named(name)
    return found is not None and found.prometheus is not None


def _is_everything(match: MetricSelector | None) -> bool:
    return match is None or (match.custom_metric is None and match.metric in (None, "ALL_METRICS"))


def _names(match: MetricSelector | None) -> list[str]:
    if match is not None and match.custom_metric is not None:
        return [match.custom_metric.removeprefix("istio_")]
    if match is None or _is_everything(match):
        return list(METRIC_NAMES.values())
    return [METRIC_NAMES[match.metric or ""]]
