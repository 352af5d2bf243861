"""Extension providers of MeshConfig. Istio only logs what is wrong with one, for it may never be used: so warnings."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

from pyproxy.istio.fields import Message, by_json_name
from pyproxy.istio.mesh.providers import (
    EnvoyExternalAuthorizationGrpcProvider,
    EnvoyExternalAuthorizationHttpProvider,
    ExtensionProvider,
    LightstepTracingProvider,
    OpenTelemetryTracingProvider,
)
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.names import fqdn_problem, is_dns_label, is_ip_address, wildcard_domain_problem
from pyproxy.istio.rules.place import Place

_WITHOUT_SERVICE = ("stackdriver", "prometheus", "envoyFileAccessLog", "sds")


class _Remote(Protocol):
    """A provider that is a service somewhere."""

    @property
    def service(self) -> str | None: ...
    @property
    def port(self) -> int | None: ...


def check_providers(providers: Sequence[ExtensionProvider], place: Place) -> None:
    """Names that are there once, and a service with a port behind each that has one."""
    seen: set[str] = set()
    for index, provider in enumerate(providers):
        at = place.at(index)
        name = provider.name or ""
        if not name:
            at.at("name").warning("is required: without a name nothing can refer to the provider")
        elif name in seen:
            at.at("name").warning(f"{name} is there twice")
        seen.add(name)
        _check_provider(provider, at)


def _check_provider(provider: ExtensionProvider, place: Place) -> None:
    given = {name: value for name, value in by_json_name(provider) if isinstance(value, Message)}
    if not given:
        place.warning("says nothing: a provider such as opentelemetry or envoyExtAuthzHttp is required")
    for name, value in given.items():
        at = place.at(name)
        if name not in _WITHOUT_SERVICE:
            _check_remote(value, at)  # type: ignore[arg-type]  # every other one has a service and a port
        match value:
            case EnvoyExternalAuthorizationHttpProvider():
                at.at("statusOnError").warning(_status_problem(value.status_on_error))
                if value.path_prefix and not value.path_prefix.startswith("/"):
                    at.at("pathPrefix").warning(f'must begin with /, but is "{value.path_prefix}"')
            case EnvoyExternalAuthorizationGrpcProvider():
                at.at("statusOnError").warning(_status_problem(value.status_on_error))
            case LightstepTracingProvider() if not value.access_token:
                at.at("accessToken").warning("is required")
            case OpenTelemetryTracingProvider() if value.grpc is not None and value.http is not None:
                at.warning("http and grpc exclude each other: set one of them")


def _check_remote(provider: _Remote, place: Place) -> None:
    place.at("port").warning(port_problem(provider.port or 0))
    place.at("service").warning(_service_problem(provider.service or ""))


def _service_problem(service: str) -> str | None:
    namespace, slash, host = service.rpartition("/")
    if not service:
        return "is required"
    if slash and (namespace in ("*", ".") or is_dns_label(namespace)):
        return wildcard_domain_problem(host)
    if is_ip_address(service) or fqdn_problem(service) is None:
        return None
    return f'"{service}" must be [NAMESPACE/]HOST or an IP address'


def _status_problem(status: str | None) -> str | None:
    if not status or status in {str(known.value) for known in HTTPStatus}:
        return None
    return f'must be an HTTP status, not "{status}"'
