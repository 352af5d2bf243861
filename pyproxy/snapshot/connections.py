"""Traffic that is not HTTP: where a captured connection goes by address, by server name, or by its port alone.

Source: Istio pilot/pkg/networking/core/listener.go, tls.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from pyproxy.istio.networking.virtual_service import RouteDestination
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.domains import TableBuilder, domains_of
from pyproxy.snapshot.hosts import MESH, is_address, matches
from pyproxy.snapshot.matching import applies_to_connections
from pyproxy.snapshot.model import Destination, Forward, Identity, Route, RouteTable, VirtualHost
from pyproxy.snapshot.rules import Rules
from pyproxy.snapshot.services import AUTO, TLS_PROTOCOLS, Resolution, Service, ServicePort
from pyproxy.snapshot.sidecars import Egress, Scope


@dataclass(slots=True)
class Connections:
    """What Snapshot says of captured connections, under the same names."""

    outbound_ports: dict[int, str] = field(default_factory=dict)
    tcp_routes: dict[tuple[str, int], str] = field(default_factory=dict)
    address_protocols: dict[tuple[str, int], str] = field(default_factory=dict)
    tcp_tables: dict[int, RouteTable] = field(default_factory=dict)

    def _see(self, port: int, kind: str) -> None:
        """Several services share a port: HTTP and TCP together are told apart by their first bytes."""
        known = self.outbound_ports.setdefault(port, kind)
        if known != kind:
            self.outbound_ports[port] = AUTO

    def take(self, service: Service, port: ServicePort, cluster: str) -> None:
        """Count in one port of a service, reached as plain TCP through `cluster`."""
        if port.kind == "http":
            self._see(port.number, "http")
            return
        addresses = [address for address in service.addresses if is_address(address)]
        if not addresses and service.resolution is Resolution.NONE:
            addresses = [each.address for each in service.endpoints.get(port.number, ()) if is_address(each.address)]
        for address in addresses:
            self.tcp_routes.setdefault((address, port.number), cluster)
            self.address_protocols.setdefault((address, port.number), port.kind)
        if not addresses:
            self._see(port.number, port.kind)
            if port.protocol not in TLS_PROTOCOLS:
                self.tcp_routes.setdefault(("", port.number), cluster)


def compile_connections(scope: Scope, identity: Identity, domain: str) -> Connections:
    """Everything outbound that is not HTTP. Ports of earlier egress listeners are theirs alone."""
    found = Connections()
    taken: set[int] = set()
    names: dict[int, TableBuilder] = {}
    for egress in scope.egress:
        seen: set[int] = set()
        rules = _Rules(egress, identity)
        for service in egress.services:
            domains, _ = domains_of(service, identity.namespace, domain)
            for port in service.ports:
                if port.udp or port.number in taken:
                    continue
                seen.add(port.number)
                forward = rules.plain(service, port)
                found.take(service, port, forward.destinations[0].cluster)
                table = names.setdefault(port.number, TableBuilder())
                by_name = rules.by_server_name(service, port)
                for server_names, to in by_name:
                    _add(table, f"{service.host}:{port.number}", server_names, to)
                if not by_name:
                    _add(table, f"{service.host}:{port.number}", domains, forward)
        taken |= seen if egress.port is not None else set()
    found.tcp_tables = {port: table.build(f"tcp:{port}", None) for port, table in names.items()}
    return found


def _add(table: TableBuilder, name: str, domains: Sequence[str], forward: Forward) -> None:
    route = Route("", None, forward, description="everything")
    table.add(VirtualHost(name, tuple(domains), (route,)))


class _Rules:
    """TCP and TLS routes of the VirtualServices that one egress listener imports."""

    def __init__(self, egress: Egress, identity: Identity) -> None:
        self._tcp = [rules for rules in egress.rules if rules.tcp]
        self._tls = [rules for rules in egress.rules if rules.tls]
        self._services = {service.host: service for service in egress.services}
        self._identity = identity

    def plain(self, service: Service, port: ServicePort) -> Forward:
        """The first TCP route for the service, or the service itself. Routes for some subnets only are passed over."""
        if port.protocol not in TLS_PROTOCOLS:
            for rules in _for_host(self._tcp, service.host):
                for route in rules.tcp:
                    if not route.match or any(
                        not match.destination_subnets
                        and applies_to_connections(match, self._identity, MESH, port.number)
                        for match in route.match
                    ):
                        return self._forward(route.route, port.number)
        return Forward((Destination(cluster_name(port.number, "", service.host)),))

    def by_server_name(self, service: Service, port: ServicePort) -> list[tuple[Sequence[str], Forward]]:
        """Server names with where the TLS routes for the service send them."""
        if port.protocol not in TLS_PROTOCOLS:
            return []
        return [
            (tuple(name.lower() for name in match.sni_hosts), self._forward(route.route, port.number))
            for rules in _for_host(self._tls, service.host)
            for route in rules.tls
            for match in route.match
            if applies_to_connections(match, self._identity, MESH, port.number)
        ]

    def _forward(self, route: Sequence[RouteDestination], port: int) -> Forward:
        return weighted([(self._cluster(each, port), each.weight or 0) for each in route])

    def _cluster(self, each: RouteDestination, port: int) -> str:
        to = each.destination
        service = self._services.get(to.host)
        number = to.port.number if to.port is not None else None
        if not number:
            number = service.ports[0].number if service is not None and len(service.ports) == 1 else port
        return cluster_name(number, to.subset or "", to.host)


def weighted(clusters: Sequence[tuple[str, int]]) -> Forward:
    """To clusters by weight; of several none of weight 0, and the weight of a single one says nothing."""
    chosen = [each for each in clusters if each[1]] if len(clusters) > 1 else clusters
    destinations = tuple(Destination(name, weight or 1) for name, weight in chosen) or (Destination(""),)
    weights = accumulate(each.weight for each in destinations)
    return Forward(destinations, tuple(weights) if len(destinations) > 1 else ())


def _for_host(rules: Sequence[Rules], host: str) -> Iterator[Rules]:
    for each in rules:
        if any(matches(name, host) for name in each.hosts):
            yield each
