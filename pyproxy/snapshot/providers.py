"""The extension providers of MeshConfig by name, and the clusters behind those that are services.

Source: Istio pilot/pkg/model/telemetry.go (fetchProvider), telemetry_logging.go (LookupCluster), config/mesh/mesh.go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from pyproxy.istio.mesh.providers import (
    EnvoyFileAccessLogProvider,
    ExtensionProvider,
    HttpHeader,
    PrometheusMetricsProvider,
    StackdriverProvider,
)
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.registry import Registry


class ProviderError(Exception):
    """Why a provider cannot be used."""


class Providers:
    """Those of the mesh; its own before the built-in ones of the same name."""

    def __init__(self, mesh: MeshSettings, registry: Registry) -> None:
        self._by_name: dict[str, ExtensionProvider] = {}
        for provider in (*mesh.config.extension_providers, *_built_in()):
            self._by_name.setdefault((provider.name or "").lower(), provider)
        self._registry = registry
        self._environment = mesh.environment

    def named(self, name: str) -> ExtensionProvider | None:
        """None: there is none of this name, whatever its case."""
        return self._by_name.get(name.lower())

    def service(self, service: str, port: int) -> tuple[str, str]:
        """The host and the cluster of a provider's service. Raises ProviderError."""
        if not 1 <= port <= 65535:
            raise ProviderError("its port must be from 1 to 65535")
        host = service_host(service, self._registry)
        return host, cluster_name(port, "", host)

    def headers(self, headers: Iterable[HttpHeader]) -> tuple[tuple[bytes, bytes], ...]:
        """What a provider wants in each request to it; names in lower case. `envName` means istiod's environment."""
        return tuple(
            ((header.name or "").lower().encode(), (header.value or self._variable(header.env_name or "")).encode())
            for header in headers
            if header.name
        )

    def _variable(self, name: str) -> str:
        return self._environment.get(name) or os.environ.get(name, "") if name else ""


def service_host(service: str, registry: Registry) -> str:
    """Of `namespace/host`, or of a host that one namespace alone has. Raises ProviderError."""
    namespace, _, host = service.rpartition("/")
    found = registry.by_host.get(host.lower(), {})
    if namespace and namespace not in found:
        found = {}
    if not found:
        raise ProviderError(f"no service is called {service}")
    if not namespace and len(found) > 1:
        raise ProviderError(f"{host} is there in several namespaces: write NAMESPACE/{host}")
    return host.lower()


def _built_in() -> tuple[ExtensionProvider, ...]:
    return (
        ExtensionProvider.model_construct(name="prometheus", prometheus=PrometheusMetricsProvider.model_construct()),
        ExtensionProvider.model_construct(name="stackdriver", stackdriver=StackdriverProvider.model_construct()),
        ExtensionProvider.model_construct(
            name="envoy", envoy_file_access_log=EnvoyFileAccessLogProvider.model_construct(path="/dev/stdout")
        ),
    )
