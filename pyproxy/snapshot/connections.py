"""Traffic that is not HTTP: where a captured connection goes by address, by server name, or by its port alone.

Each service's port gives branches, as Istio's listeners have filter chains: for subnets or all addresses, for server
names or all connections. Source: Istio pilot/pkg/networking/core/listener.go, tls.go, networkfilter.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from pyproxy.istio.networking.virtual_service import RouteDestination
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.destination_rules import DestinationPolicy
from pyproxy.snapshot.domains import domains_of
from pyproxy.snapshot.hosts import MESH, is_address, matches
from pyproxy.snapshot.matching import applies_to_connections
from pyproxy.snapshot.model import Identity, Subnet
from pyproxy.snapshot.routes import Place, Routes
from pyproxy.snapshot.rules import Rules
from pyproxy.snapshot.services import AUTO, TLS_PROTOCOLS, Resolution, Service, ServicePort
from pyproxy.snapshot.sidecars import Egress, Scope
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes, divided, route_to, routes_by_name


class Branch(NamedTuple):
    """One filter chain of Istio's."""

    subnets: tuple[str, ...]
    """Of the destination; empty: all."""
    names: tuple[str, ...]
    """Server names; empty: all, and none."""
    route: TcpRoute


@dataclass(slots=True)
class Connections:
    """What Snapshot says of captured connections, under the same names."""

    outbound_ports: dict[int, str] = field(default_factory=dict)
    address_protocols: dict[tuple[str, int], str] = field(default_factory=dict)
    tcp_routes: dict[tuple[str, int], TcpRoutes] = field(default_factory=dict)
    tcp_subnets: dict[int, tuple[tuple[Subnet, TcpRoutes], ...]] = field(default_factory=dict)
    tcp_names: dict[int, TcpRoutes] = field(default_factory=dict)


class Chains:
    """The branches of one of Istio's listeners. Of two for one subnet and name the first holds."""

    def __init__(self) -> None:
        self._found: dict[Subnet | None, dict[str, TcpRoute]] = {}

    def take(self, branches: Sequence[Branch]) -> None:
        """Those of one more service."""
        for branch in branches:
            for subnet in [_network(each) for each in branch.subnets] or [None]:
                names = self._found.setdefault(subnet, {})
                for name in branch.names or ("*",):
                    names.setdefault(name.lower(), branch.route)

    def at(self, address: str) -> TcpRoutes:
        """For a listener that has this one address."""
        subnet = next((each for each in self._subnets if _holds(each, address)), None)
        return self._routes(subnet)

    @property
    def everywhere(self) -> TcpRoutes:
        """For addresses that no subnet holds."""
        return self._routes(None)

    @property
    def by_subnet(self) -> tuple[tuple[Subnet, TcpRoutes], ...]:
        """The longest first. Whom no name suits there goes the way of all, as by the listener's default chain."""
        return tuple((subnet, self._routes(subnet)) for subnet in self._subnets)

    @property
    def _subnets(self) -> list[Subnet]:
        return sorted((each for each in self._found if each is not None), key=lambda each: -each.prefixlen)

    def _routes(self, subnet: Subnet | None) -> TcpRoutes:
        found = routes_by_name(self._found.get(subnet, {}))
        if found.default is None and subnet is not None:
            return replace(found, default=self._found.get(None, {}).get("*"))
        return found


class ConnectionRoutes:
    """TCP and TLS routes → branches, for one proxy."""

    def __init__(self, routes: Routes, identity: Identity) -> None:
        self._routes = routes
        self._identity = identity

    def route(self, destinations: Sequence[RouteDestination], place: Place, rules: str) -> TcpRoute:
        """What a rule's destinations say; `rules` is the full name of their VirtualService."""
        clusters = [(self._routes.cluster(each.destination, place), each.weight or 0) for each in destinations]
        first = destinations[0].destination
        subset = first.subset or "" if len(destinations) == 1 else ""
        return self._kept(divided(rules, clusters), first.host, subset)

    def branches(self, egress: Egress, service: Service, port: ServicePort) -> list[Branch]:
        """Every branch for a port of a service, the first for a subnet and name counts."""
        if port.protocol in TLS_PROTOCOLS:
            return self._tls(egress, service, port) or [self._by_host(service, port)]
        return list(self._tcp(egress, service, port))

    def tls_rules(self, egress: Egress, service: Service, port: ServicePort) -> bool:
        """Whether TLS routes are for the port."""
        return port.protocol in TLS_PROTOCOLS and bool(self._tls(egress, service, port))

    # For itself

    def _tls(self, egress: Egress, service: Service, port: ServicePort) -> list[Branch]:
        """A match without subnets has those of the last one before it, as in Istio."""
        found: list[Branch] = []
        subnets = _networks_of(service)
        for rules in _for_host([each for each in egress.rules if each.tls], service.host):
            for route in rules.tls:
                for match in route.match:
                    if route.route and applies_to_connections(match, self._identity, MESH, port.number):
                        subnets = match.destination_subnets or subnets
                        to = self.route(route.route, Place(port.number, MESH), rules.full_name)
                        found.append(Branch(subnets, match.sni_hosts, to))
        return found

    def _by_host(self, service: Service, port: ServicePort) -> Branch:
        """Without a rule: by its own name, where no address tells it from others."""
        subnets = _networks_of(service)
        alone = bool(_addresses(service, port)) and not subnets
        return Branch(subnets, () if alone else (service.host, *service.aliases), self._default(service, port))

    def _tcp(self, egress: Egress, service: Service, port: ServicePort) -> Iterator[Branch]:
        own = _networks_of(service)
        for rules in _for_host([each for each in egress.rules if each.tcp], service.host):
            for route in rules.tcp:
                if not route.route:
                    continue
                fit = [each for each in route.match if applies_to_connections(each, self._identity, MESH, port.number)]
                if not fit and route.match:
                    continue
                to = self.route(route.route, Place(port.number, MESH), rules.full_name)
                if any(not each.destination_subnets for each in fit) or not fit:
                    yield Branch(own, (), to)
                    return
                yield Branch(tuple(subnet for each in fit for subnet in each.destination_subnets), (), to)
        yield Branch(own, (), self._default(service, port))

    def _default(self, service: Service, port: ServicePort) -> TcpRoute:
        return self._kept(route_to(cluster_name(port.number, "", service.host)), service.host, "")

    def _kept(self, route: TcpRoute, host: str, subset: str) -> TcpRoute:
        """How the first destination's DestinationRule keeps connections. Port-level settings do not count here."""
        rule = self._routes.policy(host)
        policy = rule.traffic_policy if rule is not None else None
        pool = policy.connection_pool if policy is not None else None
        tcp = pool.tcp if pool is not None else None
        idle = tcp.idle_timeout if tcp is not None else None
        return replace(
            route,
            idle_timeout=route.idle_timeout if idle is None else idle,
            max_duration=(tcp.max_connection_duration if tcp is not None else None) or 0.0,
            tunnel=_tunnel(rule, subset) if rule is not None else "",
            by_source=self._routes.hashes_source(host, subset),
        )


def _tunnel(rule: DestinationPolicy, subset: str) -> str:
    """A subset has its own or none. Source: Istio pilot/pkg/networking/core/tunnelingconfig."""
    policy = rule.traffic_policy
    if subset:
        found = rule.subsets.get(subset)
        policy = found.traffic_policy if found is not None else None
    tunnel = policy.tunnel if policy is not None else None
    if tunnel is None or tunnel.protocol == "POST":
        return ""
    host = f"[{tunnel.target_host}]" if ":" in tunnel.target_host else tunnel.target_host
    return f"{host}:{tunnel.target_port}"


def compile_connections(scope: Scope, routes: ConnectionRoutes, identity: Identity, domain: str) -> Connections:
    """Everything outbound that is not HTTP. Ports of earlier egress listeners are theirs alone."""
    compiler = _Compiler(routes, identity, domain)
    taken: set[int] = set()
    for egress in scope.egress:
        seen: set[int] = set()
        for service in egress.services:
            for port in service.ports:
                if not port.udp and port.number not in taken:
                    seen.add(port.number)
                    compiler.take(egress, service, port)
        taken |= seen if egress.port is not None else set()
    return compiler.finish()


def listener_routes(egress: Egress, address: str, port: int, routes: ConnectionRoutes) -> TcpRoutes:
    """Of an egress listener that is bound: everything that it imports for its port."""
    chains = Chains()
    for service in egress.services:
        found = service.port(port)
        if found is not None and not found.udp:
            chains.take(routes.branches(egress, service, found))
    return chains.at(address)


class _Compiler:
    """Collects services' ports."""

    def __init__(self, routes: ConnectionRoutes, identity: Identity, domain: str) -> None:
        self._routes = routes
        self._namespace = identity.namespace
        self._domain = domain
        self._found = Connections()
        self._chains: dict[tuple[str, int], Chains] = {}
        self._names: dict[int, dict[str, TcpRoute]] = {}

    def take(self, egress: Egress, service: Service, port: ServicePort) -> None:
        """One port of a service."""
        branches = self._routes.branches(egress, service, port)
        self._name(egress, service, port, branches)
        if port.kind == "http":
            self._see(port.number, "http")
            return
        addresses = _addresses(service, port)
        for address in addresses:
            self._chains.setdefault((address, port.number), Chains()).take(branches)
            self._found.address_protocols.setdefault((address, port.number), port.kind)
        if not addresses or _networks_of(service):
            self._see(port.number, port.kind)
            self._chains.setdefault(("", port.number), Chains()).take(branches)

    def finish(self) -> Connections:
        """Everything that was collected."""
        found = self._found
        for (address, port), chains in self._chains.items():
            found.tcp_routes[address, port] = chains.at(address) if address else chains.everywhere
            if not address and chains.by_subnet:
                found.tcp_subnets[port] = chains.by_subnet
        found.tcp_names = {port: routes_by_name(names) for port, names in self._names.items()}
        return found

    def _see(self, port: int, kind: str) -> None:
        """Several services share a port: HTTP and TCP together are told apart by their first bytes."""
        known = self._found.outbound_ports.setdefault(port, kind)
        if known != kind:
            self._found.outbound_ports[port] = AUTO

    def _name(self, egress: Egress, service: Service, port: ServicePort, branches: Sequence[Branch]) -> None:
        """For CONNECT, which names a host and knows no address."""
        names = self._names.setdefault(port.number, {})
        if self._routes.tls_rules(egress, service, port):
            for branch in branches:
                for name in branch.names:
                    names.setdefault(name.lower(), branch.route)
        else:
            for name in domains_of(service, self._namespace, self._domain)[0]:
                names.setdefault(name, branches[-1].route)


def _addresses(service: Service, port: ServicePort) -> list[str]:
    """Those that the service has for itself."""
    found = [address for address in service.addresses if is_address(address)]
    if not found and service.resolution is Resolution.NONE:
        return [each.address for each in service.endpoints.get(port.number, ()) if is_address(each.address)]
    return found


def _networks_of(service: Service) -> tuple[str, ...]:
    return tuple(each for each in service.addresses if "/" in each)


def _network(subnet: str) -> IPv4Network | IPv6Network | None:
    """None for one that holds every address."""
    found = ip_network(subnet, strict=False)
    return None if found.network_address.is_unspecified else found


def _holds(subnet: Subnet, address: str) -> bool:
    return is_address(address) and ip_address(address) in subnet


def _for_host(rules: Sequence[Rules], host: str) -> Iterator[Rules]:
    for each in rules:
        if any(matches(name, host) for name in each.hosts):
            yield each
