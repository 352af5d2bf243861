"""Every service that documents name: ServiceEntries, and Kubernetes Services with their endpoints.

Source: Istio pilot/pkg/serviceregistry: serviceentry/conversion.go, kube/conversion.go, kube/controller/controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pyproxy.core.spiffe import workload_identity
from pyproxy.core.tls import MtlsMode
from pyproxy.istio.kubernetes import EndpointPort, Endpoints, EndpointSlice, KubernetesService, KubernetesServicePort
from pyproxy.istio.networking.service_entry import ServiceEntry
from pyproxy.istio.networking.service_entry import ServicePort as EntryPort
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import is_wildcard
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Endpoint, ServiceName
from pyproxy.snapshot.peer_authentication import PeerAuthentications
from pyproxy.snapshot.services import Resolution, Service, ServicePort, kubernetes_protocol, parse_protocol
from pyproxy.snapshot.workloads import Workload, Workloads, workload_of

_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
_NEAR = {"preferclose": "zone", "prefersamezone": "zone", "prefersamenode": "node"}


class Registry:
    """All services, oldest first, one per namespace and host."""

    def __init__(self, documents: Sequence[Document], mesh: MeshSettings) -> None:
        self.workloads = Workloads(documents)
        self.authentication = PeerAuthentications(documents, mesh.root_namespace)
        self._mesh = mesh
        self._found: dict[tuple[str, str], Service] = {}
        slices = _slices_by_service(documents)
        aliases: list[tuple[str, str]] = []
        for document in documents:
            spec = document.spec
            if isinstance(spec, ServiceEntry):
                for host in dict.fromkeys(host.lower() for host in spec.hosts):
                    self._add(self._of_entry(document, spec, host))
            elif isinstance(spec, KubernetesService):
                if spec.type == "ExternalName" and spec.external_name:
                    aliases.append((self._host(document), spec.external_name.lower()))
                else:
                    known = slices.get((document.namespace, document.name), [])
                    self._add(self._of_kubernetes(document, spec, known))
        self.aliases = dict(aliases)
        """ExternalName services: their host → the host that they stand for."""
        self._resolve_aliases()
        self.services = tuple(self._found.values())
        self.by_host: dict[str, dict[str, Service]] = {}
        """Host → namespace → service."""
        for service in self.services:
            self.by_host.setdefault(service.host, {})[service.namespace] = service

    def _host(self, document: Document) -> str:
        return f"{document.name}.{document.namespace}.svc.{self._mesh.domain}"

    def _add(self, service: Service) -> None:
        """The oldest of a namespace and host stays, a Kubernetes service before any other; entries that agree merge."""
        key = (service.namespace, service.host)
        known = self._found.get(key)
        if known is None or (service.kubernetes and not known.kubernetes):
            self._found[key] = service
        elif not known.kubernetes and known.resolution is service.resolution and known.export_to == service.export_to:
            self._found[key] = _merge(known, service)

    # ServiceEntry

    def _of_entry(self, document: Document, entry: ServiceEntry, host: str) -> Service:
        resolution = Resolution(entry.resolution or "NONE")
        ports = tuple(
            ServicePort(port.number, port.name, parse_protocol(port.protocol), port.target_port or None)
            for port in entry.ports
        )
        return Service(
            host=host,
            namespace=document.namespace,
            name=ServiceName(host, host, document.namespace),
            ports=ports,
            resolution=resolution,
            addresses=tuple(address.removesuffix("/32") for address in entry.addresses),
            external=entry.location != "MESH_INTERNAL",
            export_to=frozenset(entry.export_to) or self._mesh.services_export,
            endpoints=self._entry_endpoints(document, entry, host, resolution),
            selector=None if entry.workload_selector is None else entry.workload_selector.labels,
            subject_alt_names=entry.subject_alt_names,
            traffic_distribution=_traffic_distribution(None, document.annotations),
        )

    def _entry_endpoints(
        self, document: Document, entry: ServiceEntry, host: str, resolution: Resolution
    ) -> dict[int, tuple[Endpoint, ...]]:
        if entry.workload_selector is not None:
            workloads = self.workloads.select(document.namespace, entry.workload_selector.labels)
        elif not entry.endpoints and resolution in _DNS:
            return {} if is_wildcard(host) else self._host_as_endpoint(document, entry.ports, host)
        else:
            workloads = [
                workload_of(endpoint, f"{document.name}-{index}", document.namespace)
                for index, endpoint in enumerate(entry.endpoints)
            ]
        return {
            port.number: self._at_port(
                (each, each.entry.ports.get(port.name) or port.target_port or port.number) for each in workloads
            )
            for port in entry.ports
        }

    def _host_as_endpoint(
        self, document: Document, ports: Iterable[EntryPort], host: str
    ) -> dict[int, tuple[Endpoint, ...]]:
        """An entry with resolution DNS and no endpoints: its own host is looked up."""
        return {
            port.number: (
                Endpoint(
                    address=host,
                    port=port.target_port or port.number,
                    workload=document.name,
                    namespace=document.namespace,
                    cluster_id=self._mesh.cluster_id,
                ),
            )
            for port in ports
        }

    def _at_port(self, workloads: Iterable[tuple[Workload, int]]) -> tuple[Endpoint, ...]:
        cluster_id = self._mesh.cluster_id
        found = (workload.endpoint(port, cluster_id) for workload, port in workloads)
        return tuple(self._secured(endpoint) for endpoint in found if endpoint is not None)

    def _secured(self, endpoint: Endpoint) -> Endpoint:
        """No mutual TLS to a port that takes none, whatever its sidecar can."""
        if endpoint.mutual_tls:
            modes = self.authentication.workload(endpoint.namespace, endpoint.labels)
            if modes.of(endpoint.port) is MtlsMode.DISABLE:
                return replace(endpoint, mutual_tls=False)
        return endpoint

    # Kubernetes

    def _of_kubernetes(self, document: Document, spec: KubernetesService, slices: list[Document]) -> Service:
        headless = spec.cluster_ip == "None"
        addresses = spec.cluster_ips if len(spec.cluster_ips) > 1 else (spec.cluster_ip,)
        host = self._host(document)
        return Service(
            host=host.lower(),
            namespace=document.namespace,
            name=ServiceName(host, document.name, document.namespace),
            ports=tuple(_kubernetes_port(port) for port in spec.ports),
            resolution=Resolution.NONE if headless else Resolution.STATIC,
            addresses=() if headless else tuple(address for address in addresses if address),
            kubernetes=True,
            export_to=_annotated_export(document.annotations) or self._mesh.services_export,
            endpoints={
                port.port: (*self._listed(document, port, slices), *self._selected(document, spec, port))
                for port in spec.ports
            },
            selector=spec.selector,
            subject_alt_names=self._annotated_names(document),
            traffic_distribution=_traffic_distribution(spec.traffic_distribution, document.annotations),
        )

    def _annotated_names(self, document: Document) -> tuple[str, ...]:
        """Identities that annotations of a Service name, and accounts of its namespace."""
        names = _list(document.annotations.get("alpha.istio.io/canonical-serviceaccounts", ""))
        for account in _list(document.annotations.get("alpha.istio.io/kubernetes-serviceaccounts", "")):
            names.append(str(workload_identity(self._mesh.trust_domain, document.namespace, account)))
        return tuple(names)

    def _selected(
        self, document: Document, spec: KubernetesService, port: KubernetesServicePort
    ) -> tuple[Endpoint, ...]:
        """The WorkloadEntries that the selector picks. A named target port must be in the entry's ports."""
        if not spec.selector:
            return ()
        chosen = []
        for workload in self.workloads.select(document.namespace, spec.selector):
            target: str | int | None = port.target_port
            if isinstance(target, str):
                number = workload.entry.ports.get(target)
            else:
                number = workload.entry.ports.get(port.name or "") or target or port.port
            if number:
                chosen.append((workload, number))
        return self._at_port(chosen)

    def _listed(self, document: Document, port: KubernetesServicePort, slices: list[Document]) -> list[Endpoint]:
        """The addresses that Endpoints and EndpointSlices list for a port."""
        found = []
        for listing in slices:
            for address, number, zone in _addresses(listing.spec, port.name or ""):
                workload = self.workloads.at(document.namespace, address)
                base = workload and workload.endpoint(number, self._mesh.cluster_id)
                plain = Endpoint(
                    address, number, locality=zone, namespace=document.namespace, cluster_id=self._mesh.cluster_id
                )
                found.append(self._secured(base or plain))
        return found

    def _resolve_aliases(self) -> None:
        """ExternalName services become further names of the services that they stand for."""
        for alias, target in self.aliases.items():
            seen = {alias}
            while target in self.aliases and target not in seen:
                seen.add(target)
                target = self.aliases[target]
            for key, service in self._found.items():
                if service.host == target:
                    self._found[key] = replace(service, aliases=(*service.aliases, alias))


def _merge(known: Service, other: Service) -> Service:
    """Two ServiceEntries of one host in one namespace: ports and endpoints of both."""
    taken = {port.number for port in known.ports}
    numbers = {**known.endpoints, **other.endpoints}
    return replace(
        known,
        ports=(*known.ports, *(port for port in other.ports if port.number not in taken)),
        addresses=tuple(dict.fromkeys((*known.addresses, *other.addresses))),
        subject_alt_names=tuple(dict.fromkeys((*known.subject_alt_names, *other.subject_alt_names))),
        endpoints={port: (*known.endpoints.get(port, ()), *other.endpoints.get(port, ())) for port in numbers},
    )


def _kubernetes_port(port: KubernetesServicePort) -> ServicePort:
    protocol = kubernetes_protocol(port.port, port.name, port.protocol, port.app_protocol)
    target = port.target_port if isinstance(port.target_port, int) else None
    return ServicePort(port.port, port.name or "", protocol, target)


def _annotated_export(annotations: Mapping[str, str]) -> frozenset[str]:
    return frozenset(_list(annotations.get("networking.istio.io/exportTo", "")))


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _traffic_distribution(word: str | None, annotations: Mapping[str, str]) -> str:
    return _NEAR.get((word or annotations.get("networking.istio.io/traffic-distribution", "")).lower(), "")


def _slices_by_service(documents: Iterable[Document]) -> dict[tuple[str, str], list[Document]]:
    """Endpoints and EndpointSlices under the namespace and name of their service."""
    found: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        if isinstance(document.spec, Endpoints):
            found.setdefault((document.namespace, document.name), []).append(document)
        elif isinstance(document.spec, EndpointSlice):
            owner = document.labels.get("kubernetes.io/service-name", document.name)
            found.setdefault((document.namespace, owner), []).append(document)
    return found


def _addresses(spec: object, port_name: str) -> Iterable[tuple[str, int, str]]:
    """(address, port, zone) of every ready endpoint of a port."""
    if isinstance(spec, Endpoints):
        for subset in spec.subsets:
            number = _port_number(subset.ports, port_name)
            if number:
                for each in subset.addresses:
                    yield each.ip, number, ""
    elif isinstance(spec, EndpointSlice):
        number = _port_number(spec.ports, port_name)
        if number:
            for endpoint in spec.endpoints:
                if endpoint.conditions is None or endpoint.conditions.ready is not False:
                    for address in endpoint.addresses:
                        yield address, number, f"/{endpoint.zone}" if endpoint.zone else ""


def _port_number(ports: Sequence[EndpointPort], name: str) -> int | None:
    for port in ports:
        if (port.name or "") == name:
            return port.port
    return None
