"""MeshConfig's external authorizers over HTTP, as far as they can be used, and why the others cannot.

Source: Istio pilot/pkg/security/authz/builder/extauthz.go; LookupCluster in pilot/pkg/model/telemetry_logging.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from pyproxy.istio.mesh.providers import EnvoyExternalAuthorizationHttpProvider, ExtensionProvider
from pyproxy.istio.problems import SCHEMA_WARNING, Problem
from pyproxy.istio.resources import Document
from pyproxy.istio.rules.names import is_dns_label
from pyproxy.istio.security import AuthorizationPolicy
from pyproxy.policy.ext_authz import FRAMING, ExtAuthz, HeaderNames
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.findings import warn
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.providers import ProviderError, service_host
from pyproxy.snapshot.registry import Registry
from pyproxy.wire.format import FormatError, compile_header_value

_TIMEOUT = 600.0
_FORBIDDEN = 403
_STATUSES = frozenset(status.value for status in HTTPStatus)


class _Unusable(Exception):
    """Why a provider cannot be used."""


@dataclass(frozen=True, slots=True)
class Authorizers:
    """All external authorizers of the mesh."""

    usable: Mapping[str, ExtAuthz]
    """By the provider's name."""
    unusable: Mapping[str, str]
    """Name → what is wrong; its requests are denied."""

    def problems(self, documents: Sequence[Document]) -> Iterator[Problem]:
        """Policies with action CUSTOM that name none of the usable."""
        for document in documents:
            spec = document.spec
            if not isinstance(spec, AuthorizationPolicy) or spec.action != "CUSTOM" or spec.provider is None:
                continue
            name = spec.provider.name or ""
            if name not in self.usable:
                reason = self.unusable.get(name) or "no extension provider of MeshConfig has this name"
                message = f"everything that the rules match is denied: {reason}"
                yield warn(document, SCHEMA_WARNING, ("spec", "provider", "name"), message)


def compile_authorizers(mesh: MeshSettings, registry: Registry) -> Authorizers:
    """Of all extension providers those that are asked whether a request may pass."""
    usable: dict[str, ExtAuthz] = {}
    unusable: dict[str, str] = {}
    for provider in mesh.config.extension_providers:
        name = provider.name or ""
        try:
            found = _compile(provider, registry, taken=name in usable or name in unusable)
        except _Unusable as error:
            usable.pop(name, None)
            unusable[name] = str(error)
            continue
        if found is not None:
            usable[name] = found
    return Authorizers(usable, unusable)


def _compile(provider: ExtensionProvider, registry: Registry, *, taken: bool) -> ExtAuthz | None:
    """None: it is no authorizer."""
    spec = provider.envoy_ext_authz_http
    if spec is None and provider.envoy_ext_authz_grpc is None:
        return None
    if taken:
        raise _Unusable("two extension providers have this name")
    if not is_dns_label(provider.name or "") or provider.name != (provider.name or "").lower():
        raise _Unusable("the name of an extension provider must be a DNS label in lower case")
    if spec is None:
        raise _Unusable("envoyExtAuthzGrpc is not acted on yet")
    return _http(provider.name or "", spec, registry)


def _http(name: str, spec: EnvoyExternalAuthorizationHttpProvider, registry: Registry) -> ExtAuthz:
    if not 1 <= (spec.port or 0) <= 65535:
        raise _Unusable("its port must be from 1 to 65535")
    try:
        host = service_host(spec.service or "", registry)
    except ProviderError as error:
        raise _Unusable(str(error)) from error
    _check_patterns(spec)
    if spec.path_prefix and not spec.path_prefix.startswith("/"):
        raise _Unusable("its pathPrefix must begin with /")
    if spec.timeout is not None and spec.timeout < 0:
        raise _Unusable("its timeout is negative")
    body = spec.include_request_body_in_check
    if body is not None and not body.max_request_bytes:
        raise _Unusable("its includeRequestBodyInCheck needs maxRequestBytes")
    additional = sorted(spec.include_additional_headers_in_check.items())
    try:
        templates = tuple((key.lower().encode(), compile_header_value(value)) for key, value in additional)
    except FormatError as error:
        raise _Unusable(f"a value of its includeAdditionalHeadersInCheck: {error}") from error
    if any(key in FRAMING for key, _ in templates):
        raise _Unusable("its includeAdditionalHeadersInCheck cannot set the host, nor where a message ends")
    return ExtAuthz(
        provider=name,
        cluster=cluster_name(spec.port or 0, "", host),
        host=host,
        timeout=_TIMEOUT if spec.timeout is None else spec.timeout,
        path_prefix=(spec.path_prefix or "").encode(),
        fail_open=bool(spec.fail_open),
        status_on_error=_status(spec.status_on_error),
        told=HeaderNames.of(spec.include_request_headers_in_check or spec.include_headers_in_check),
        additional=templates,
        additional_texts=tuple(value for _, value in additional),
        max_request_bytes=(body and body.max_request_bytes) or 0,
        allow_partial=bool(body and body.allow_partial_message),
        upstream_on_allow=HeaderNames.of(spec.headers_to_upstream_on_allow),
        client_on_allow=HeaderNames.of(spec.headers_to_downstream_on_allow),
        client_on_deny=HeaderNames.of(spec.headers_to_downstream_on_deny),
    )


def _check_patterns(spec: EnvoyExternalAuthorizationHttpProvider) -> None:
    for field, patterns in (
        ("includeRequestHeadersInCheck", spec.include_request_headers_in_check),
        ("includeHeadersInCheck", spec.include_headers_in_check),
        ("headersToUpstreamOnAllow", spec.headers_to_upstream_on_allow),
        ("headersToDownstreamOnAllow", spec.headers_to_downstream_on_allow),
        ("headersToDownstreamOnDeny", spec.headers_to_downstream_on_deny),
    ):
        if "*" in patterns:
            raise _Unusable(f'"*" alone in its {field} is no pattern')


def _status(text: str | None) -> int:
    if not text:
        return _FORBIDDEN
    if not text.isdigit() or int(text) not in _STATUSES:
        raise _Unusable(f"its statusOnError {text} is no HTTP status")
    return int(text)
