"""What a sidecar takes for its own workload: a table and a cluster for each workload port.

Source: Istio pilot/pkg/networking/core/listener_inbound.go, cluster.go (buildInboundClusters), cluster_builder.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyproxy.istio.networking.destination_rule import ConnectionPoolSettings
from pyproxy.istio.networking.sidecar import IstioIngressListener
from pyproxy.snapshot.clusters import Clusters, discovery_of
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import (
    INBOUND_PASSTHROUGH_CLUSTER,
    Cluster,
    Destination,
    Endpoint,
    Forward,
    Identity,
    Listening,
    Route,
    RouteTable,
    ServiceName,
    VirtualHost,
)
from pyproxy.snapshot.policies import circuit_breakers, connection_settings, for_version
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.retries import compile_inbound_retry
from pyproxy.snapshot.services import AUTO, GRPC_WEB, HTTP2_PROTOCOLS, Service, ServicePort, parse_protocol
from pyproxy.snapshot.sidecars import Scope
from pyproxy.snapshot.workloads import UNIX

_LOOPBACK = ("", "127.0.0.1", "::1", "[::1]")
_INSTANCE = ("0.0.0.0", "::", "[::]")


def inbound_name(port: int) -> str:
    """The name of the table and of the cluster of a workload port."""
    return f"inbound|{port}||"


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One port of the workload that the mesh may call."""

    number: int
    """The workload's port, or of an ingress listener the port that it takes the workload's place on."""
    port: ServicePort
    """The service's port; of an ingress listener its own."""
    address: str
    """Where the workload listens: IP, host name or `unix:///path`."""
    target: int
    service: Service | None = None
    listener: IstioIngressListener | None = None


def workload_ports(registry: Registry, identity: Identity) -> Iterator[tuple[Service, ServicePort, int]]:
    """Every service that the workload stands behind, its port, and the workload's port; the oldest service first."""
    named = {(each.namespace, each.name) for each in registry.workloads.all}
    for service in registry.services:
        for port in service.ports:
            if port.udp:
                continue
            for endpoint in service.endpoints.get(port.number, ()):
                if endpoint.address == identity.address and _may_be_ours(endpoint, identity, named):
                    yield service, port, endpoint.port
            if not identity.workload and _selected(service, identity):
                yield service, port, port.target or port.number


def _selected(service: Service, identity: Identity) -> bool:
    """Whether a service selects a workload that is known by its labels alone."""
    if service.namespace != identity.namespace or not service.selector:
        return False
    return all(identity.labels.get(key) == value for key, value in service.selector.items())


def _may_be_ours(endpoint: Endpoint, identity: Identity, named: set[tuple[str, str]]) -> bool:
    """An endpoint at our address is us, unless it is a WorkloadEntry of another name (one machine, many workloads)."""
    if not identity.workload or (endpoint.namespace, endpoint.workload) not in named:
        return True
    return (endpoint.namespace, endpoint.workload) == (identity.namespace, identity.workload)


def inbound_ports(
    scope: Scope, registry: Registry, identity: Identity, listening: Listening
) -> tuple[InboundPort, ...]:
    """The Sidecar's ingress listeners if there are any; else each service's ports, the oldest service first."""
    found: dict[int, InboundPort] = {}
    for service, port, target in workload_ports(registry, identity):
        if target:
            found.setdefault(target, InboundPort(target, port, listening.app_address, target, service))
    if not scope.sidecar.ingress:
        return tuple(found.values())
    declared: dict[int, InboundPort] = {}
    for listener in scope.sidecar.ingress:
        number = listener.port.number or 0
        known = found.get(number)
        address, target = _default_endpoint(listener, identity, listening)
        port = ServicePort(number, listener.port.name or "", parse_protocol(listener.port.protocol))
        declared.setdefault(
            number, InboundPort(number, port, address, target, known.service if known else None, listener)
        )
    return tuple(declared.values())


def _default_endpoint(listener: IstioIngressListener, identity: Identity, listening: Listening) -> tuple[str, int]:
    """Where the workload listens. Loopback is the workload's own; 0.0.0.0 means this instance's address."""
    text = listener.default_endpoint or ""
    if text.startswith(UNIX):
        return text, 0
    host, _, port = text.rpartition(":")
    number = int(port) if port.isdigit() else listener.port.number or 0
    if host in _LOOPBACK:
        return listening.app_address, number
    return identity.address if host in _INSTANCE else host, number


class Inbound:
    """Compiles tables and clusters of inbound ports."""

    def __init__(self, scope: Scope, clusters: Clusters, mesh: MeshSettings) -> None:
        self._scope = scope
        self._clusters = clusters
        self._mesh = mesh
        self._retry = compile_inbound_retry(mesh.config.default_inbound_http_retry_policy)

    def tables(self, ports: Sequence[InboundPort]) -> Iterator[RouteTable]:
        """One table per port that may carry HTTP, and one for HTTP on ports that nobody declared."""
        for each in ports:
            if each.port.http:
                yield self._table(inbound_name(each.number), each.port, self._service_name(each), each.number)
        undeclared = ServicePort(0)
        yield self._table(INBOUND_PASSTHROUGH_CLUSTER, undeclared, None)

    def _table(
        self, cluster: str, port: ServicePort, service: ServiceName | None, workload_port: int = 0
    ) -> RouteTable:
        """Whatever the host, on to the workload without a timeout."""
        route = Route(
            name="default",
            matches=None,
            action=Forward((Destination(cluster),), retry=None if port.protocol in ("grpc", GRPC_WEB) else self._retry),
            matched_prefix=b"/",
            description="everything",
            operation=f"{service.host if service else ''}:{port.number}/*",
        )
        host = VirtualHost(
            f"inbound|http|{port.number}", ("*",), (route,), service, workload_port, port.protocol == GRPC_WEB
        )
        return RouteTable(cluster, {}, default=host)

    def _service_name(self, each: InboundPort) -> ServiceName:
        """The service that telemetry names; an ingress listener without one goes by its Sidecar's name."""
        if each.service is not None:
            return each.service.name
        name, _, namespace = self._scope.name.partition(".")
        return ServiceName(self._scope.name, name, namespace)

    def clusters(self, ports: Sequence[InboundPort]) -> Iterator[Cluster]:
        """One cluster per port, to the workload itself. Of the DestinationRule only the connection pool counts."""
        for each in ports:
            pool, budget, rule = None, None, ""
            if each.service is not None:
                policy, rule = self._clusters.inbound(each.service, each.port)
                pool, budget = policy.connection_pool, policy.retry_budget
            pool = self._own_pool(each) or pool
            endpoint = Endpoint(each.address, each.target)
            protocol = each.port.protocol
            same = protocol == AUTO or (pool is not None and pool.http is not None and pool.http.use_client_protocol)
            version = "downstream" if same else "2" if protocol in HTTP2_PROTOCOLS else "1"
            yield Cluster(
                name=inbound_name(each.number),
                discovery=discovery_of((endpoint,)),
                endpoints=(endpoint,),
                service=self._service_name(each),
                port=each.port.number,
                protocol=protocol,
                http_version=version,
                connection=for_version(connection_settings(pool, self._mesh), version),
                breakers=circuit_breakers(pool, budget),
                dns_refresh=self._mesh.dns_refresh,
                destination_rule=rule,
            )

    def _own_pool(self, each: InboundPort) -> ConnectionPoolSettings | None:
        """What the Sidecar says beats the DestinationRule, its listener beats the Sidecar."""
        pool = each.listener.connection_pool if each.listener is not None else None
        return pool or self._scope.sidecar.inbound_connection_pool
