"""What a gateway serves: its servers' listeners and tables, with the VirtualServices bound to them.

Source: Istio pilot/pkg/networking/core/gateway.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyproxy.core.http import RequestHead
from pyproxy.core.tls import ServerTls, ServerTlsMode
from pyproxy.istio.networking.virtual_service import RouteDestination
from pyproxy.snapshot.connections import ConnectionRoutes
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.domains import TableBuilder, host_domain
from pyproxy.snapshot.gateway_servers import GatewayServer
from pyproxy.snapshot.hosts import intersection
from pyproxy.snapshot.matching import Matched
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import (
    Cluster,
    Conditions,
    Direction,
    Identity,
    Listener,
    ListenerKind,
    Listening,
    Redirect,
    Route,
    RouteTable,
    TextMatch,
    VirtualHost,
)
from pyproxy.snapshot.routes import Place, Routes
from pyproxy.snapshot.rules import Rules, visible_rules
from pyproxy.snapshot.server_names import ServerNames
from pyproxy.snapshot.server_tls import compile_server_tls, mode_of
from pyproxy.snapshot.services import GRPC_WEB
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes

_ANY_ADDRESS = "0.0.0.0"


@dataclass(slots=True)
class _Host:
    """A virtual host while servers and rules add to it."""

    port: int
    routes: list[Route] = field(default_factory=list)
    https_only: bool = False
    grpc_web: bool = False


class GatewaySide:
    """Compiles the tables and listeners of one gateway."""

    def __init__(
        self,
        servers: Sequence[GatewayServer],
        rules: Sequence[Rules],
        routes: Routes,
        identity: Identity,
        listening: Listening,
        mesh: MeshSettings,
    ) -> None:
        self._servers = servers
        self._rules = rules
        self._routes = routes
        self._connections = ConnectionRoutes(routes, identity)
        self._identity = identity
        self._listening = listening
        self._mesh = mesh
        self._credentials = Credentials(listening.certs)
        self._http = mesh.http(Direction.GATEWAY)
        self._visible: dict[str, list[Rules]] = {}
        self._by_name = ServerNames()

    def tables(self) -> dict[str, RouteTable]:
        """One table per address and port of HTTP servers, one for each HTTPS server."""
        grouped: dict[str, list[GatewayServer]] = {}
        for each in self._servers:
            if each.http:
                grouped.setdefault(each.table, []).append(each)
        return {name: self._table(name, servers) for name, servers in grouped.items()}

    def listeners(self, clusters: Mapping[str, Cluster]) -> tuple[Listener, ...]:
        """One listener per address and port, those that would serve nothing left out."""
        grouped: dict[tuple[str, int], list[GatewayServer]] = {}
        for each in self._servers:
            address = each.bind if each.bind.startswith("unix://") else self._listening.address or each.bind
            grouped.setdefault((address or _ANY_ADDRESS, each.port), []).append(each)
        found = (self._listener(*key, servers, clusters) for key, servers in grouped.items())
        return tuple(listener for listener in found if listener is not None)

    def passing_clusters(self) -> dict[str, Cluster]:
        """Clusters that AUTO_PASSTHROUGH leads to. Whole once `listeners` were asked."""
        return self._by_name.clusters

    def _listener(
        self, address: str, port: int, servers: list[GatewayServer], clusters: Mapping[str, Cluster]
    ) -> Listener | None:
        first = servers[0]
        listener = Listener(
            name=f"{address}_{port}",
            kind=ListenerKind.NAMED,
            address=address,
            port=port,
            http=self._http,
            protocol="http" if any(each.http for each in servers) else "tcp",
        )
        if first.kind == "http":
            return replace(listener, route_table=first.table)
        if first.kind == "tcp":
            return replace(listener, tcp=TcpRoutes(default=self._tcp_route(first)))
        chains = tuple(chain for each in servers if (chain := self._chain(each, clusters)) is not None)
        return replace(listener, server_tls=chains, tcp=self._by_name.routes(port)) if chains else None

    # TLS

    def _chain(self, each: GatewayServer, clusters: Mapping[str, Cluster]) -> ServerTls | None:
        """A server's TLS; None when nothing is behind it, and Envoy would have no chain."""
        tls = each.server.tls
        if tls is None:
            return None
        mode, hosts = mode_of(tls), tuple(dict.fromkeys(each.hosts))
        if mode is ServerTlsMode.AUTO_PASSTHROUGH:
            names = self._by_name.pass_on(each.port, hosts, clusters.values())
            return ServerTls(mode, names) if names else None
        if mode is ServerTlsMode.PASSTHROUGH:
            names = tuple(self._pass(each))
            return ServerTls(mode, names) if names else None
        if not each.http:
            route = self._tcp_route(each)
            if route is None:
                return None
            self._by_name.add(each.port, [host.lower() for host in hosts], route)
        return compile_server_tls(tls, hosts, each.table if each.http else "", self._credentials, self._mesh)

    def _pass(self, each: GatewayServer) -> Iterator[str]:
        """The server names of a PASSTHROUGH server that TLS routes know; of two routes for one name the first holds."""
        place = Place(each.server.port.number, each.gateway)
        for rules, _ in self._bound(each):
            for route in rules.tls:
                for match in route.match:
                    names = tuple(name.lower() for name in match.sni_hosts)
                    if not route.route or not _serves(match, each.gateway, place.port):
                        continue
                    if not self._by_name.knows(each.port, names):
                        self._by_name.add(each.port, names, self._route(route.route, place, rules))
                        yield from names

    def _bound(self, each: GatewayServer) -> Iterator[tuple[Rules, list[str]]]:
        """The rules for a server, with the hosts that both have."""
        if each.gateway not in self._visible:
            self._visible[each.gateway] = visible_rules(self._rules, self._identity.namespace, each.gateway)
        for rules in self._visible[each.gateway]:
            shared = intersection(each.hosts_for(rules.namespace), rules.hosts)
            if shared:
                yield rules, shared

    def _tcp_route(self, each: GatewayServer) -> TcpRoute | None:
        """Where the first TCP route goes that is for the server; None: nowhere."""
        place = Place(each.server.port.number, each.gateway)
        for rules, _ in self._bound(each):
            for route in rules.tcp:
                if route.route and (
                    not route.match or any(_serves(one, each.gateway, place.port) for one in route.match)
                ):
                    return self._route(route.route, place, rules)
        return None

    def _route(self, route: Sequence[RouteDestination], place: Place, rules: Rules) -> TcpRoute:
        return self._connections.route(route, place, rules.full_name)

    def _table(self, name: str, servers: Sequence[GatewayServer]) -> RouteTable:
        """Rules of one host are merged: their routes in order, those that take everything last."""
        hosts: dict[str, _Host] = {}
        for each in servers:
            place = Place(each.server.port.number, each.gateway, tls=each.server.tls is not None)
            for rules, shared in self._bound(each):
                routes = self._routes.compile(rules, place)
                for host in shared if routes else ():
                    found = hosts.setdefault(host, _Host(place.port))
                    found.routes += routes
                    found.https_only |= each.redirects
                    found.grpc_web |= each.protocol == GRPC_WEB
            for host in each.hosts if each.redirects else ():
                hosts.setdefault(host, _Host(place.port)).https_only = True
        table = TableBuilder()
        for host, found in hosts.items():
            domains = (host_domain(host),)
            table.add(VirtualHost(f"{host}:{found.port}", domains, _ordered(found), grpc_web=found.grpc_web))
        empty = VirtualHost(f"blackhole:{servers[0].server.port.number}", ("*",), ())
        return table.build(name, None if hosts else empty)


def _serves(match: Matched, gateway: str, port: int) -> bool:
    """Whether a TLS or TCP clause is for a gateway's server; nobody asks here who the client is."""
    return (not match.port or match.port == port) and (not match.gateways or gateway in match.gateways)


def _ordered(host: _Host) -> tuple[Route, ...]:
    """Catch-alls last, each part in its order; before all of them the redirect to https where it is asked for."""
    routes = [route for route in host.routes if route.matches is not None]
    routes += [route for route in host.routes if route.matches is None]
    return (_TO_HTTPS, *routes) if host.https_only else tuple(routes)


def _is_plain(head: RequestHead) -> bool:
    return head.scheme != b"https"


_TO_HTTPS = Route(
    name="",
    matches=_is_plain,
    action=Redirect(301, scheme=b"https"),
    description="scheme is not https (httpsRedirect)",
    conditions=Conditions(without_headers=((":scheme", TextMatch("exact", "https")),)),
)
