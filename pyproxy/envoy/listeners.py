"""Listeners as Envoy's config.listener.v3.Listener: for the capture ports one or two filter chains per declared port.

A redirected connection finds its chain by where it was going. One that was addressed to the proxy itself has the
proxy's own port as its destination, and a chain for that.
Source: Envoy api/envoy/config/listener/v3/listener.proto, source/common/listener_manager/filter_chain_manager_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pyproxy.core.tls import MtlsMode, ServerTls, ServerTlsMode
from pyproxy.envoy.authorization import network_filters
from pyproxy.envoy.clusters import NO_CERTIFICATE
from pyproxy.envoy.inspectors import HTTP, RAW, TLS, listener_filters
from pyproxy.envoy.manager import http_filter, tcp_filter
from pyproxy.envoy.observability import listener_logs, side
from pyproxy.envoy.tables import INBOUND, INBOUND_PLAIN, names_by_route, plaintext_finds_less
from pyproxy.envoy.tls import Certificates, gateway_socket, inbound_socket
from pyproxy.envoy.values import Resource, address, given
from pyproxy.envoy.ways import ways
from pyproxy.mtls.alpn import ISTIO
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    Direction,
    Listener,
    ListenerKind,
    Snapshot,
)
from pyproxy.snapshot.server_tls import PASSING
from pyproxy.snapshot.tables import ALLOW_ANY, ANY
from pyproxy.snapshot.tcp_routes import TcpRoute, TcpRoutes, route_to

RoutesOf = Callable[[Listener, str, bool], Resource]
"""Listener, name of a table, and whether the client may have no original destination → `rds` or `route_config`."""
_BLACKHOLE, _INBOUND_PASSTHROUGH = route_to(BLACKHOLE_CLUSTER), route_to(INBOUND_PASSTHROUGH_CLUSTER)
_DIRECTIONS = {Direction.INBOUND: "INBOUND", Direction.OUTBOUND: "OUTBOUND", Direction.GATEWAY: "OUTBOUND"}


def routes_by_reference(listener: Listener, table: str, by_name: bool) -> Resource:
    """Tables that stand elsewhere."""
    return {"rds": {"config_source": {"ads": {}, "resource_api_version": "V3"}, "route_config_name": table}}


class Listeners:
    """Renders the listeners of one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        routes_of: RoutesOf = routes_by_reference,
        certificates: Certificates = NO_CERTIFICATE,
    ) -> None:
        self._snapshot = snapshot
        self._routes_of = routes_of
        self._certificates = certificates
        self._unknown = snapshot.unknown_route

    def resource(self, listener: Listener, port: int) -> Resource:
        """One listener; `port` is the one it is bound to, or 0: Envoy picks one."""
        chains = list(self._chains(listener, port))
        resource: Resource = {
            "name": listener.name,
            "address": address(listener.address, port),
            "traffic_direction": _DIRECTIONS[listener.http.direction],
            **listener_filters(listener.kind, chains),
            **given(("access_log", listener_logs(side(self._snapshot, listener.http.direction).access_logs))),
        }
        # With no port to tell them by, connections to nobody's port count as addressed to us.
        default = [chain for chain in chains if "filter_chain_match" not in chain]
        if listener.kind in (ListenerKind.NAMED, ListenerKind.HTTP_PROXY):
            return resource | {"filter_chains": chains}
        return resource | {
            "filter_chains": [chain for chain in chains if chain not in default],
            "default_filter_chain": default[0],
        }

    # Chains

    def _chains(self, listener: Listener, own_port: int) -> Iterator[Resource]:
        """Those of a capture port end with one for whatever is left; for an unknown own port they begin with it."""
        mine: Resource = {"destination_port": own_port} if own_port else {}
        if listener.kind is ListenerKind.OUTBOUND_CAPTURE:
            yield self._http(listener, ANY, mine, by_name=True)
            yield from self._outbound(listener)
            if own_port:
                yield self._http(listener, ALLOW_ANY, HTTP)
            yield self._tcp(listener, self._unknown, {})
        elif listener.kind is ListenerKind.INBOUND_CAPTURE:
            yield from self._captured(listener, mine)
        elif listener.server_tls:
            for server in listener.server_tls:
                yield from self._server(listener, server)
        elif listener.workload_port:
            yield from self._into(
                listener, listener.mutual_tls, listener.protocol, listener.route_table, listener.tcp.default, {}
            )
        else:
            routes = replace(listener.tcp, default=listener.tcp.default or self._unknown)
            table = listener.route_table or ANY
            yield from self._by_protocol(listener, listener.protocol, table, routes, {}, by_name=True)

    def _captured(self, listener: Listener, mine: Resource) -> Iterator[Resource]:
        """Into the workload: what was addressed to the port itself, its declared ports, and whatever others."""
        snapshot = self._snapshot
        yield from self._into(listener, snapshot.inbound_mode(None), "http", INBOUND, None, mine)
        for port, protocol in snapshot.inbound_ports.items():
            name = f"inbound|{port}||"
            yield from self._into(
                listener, snapshot.inbound_mode(port), protocol, name, route_to(name), {"destination_port": port}
            )
        mode = snapshot.inbound_mtls_default
        if mine and self._certificates.folder:
            for way in ways(mode, "tcp"):
                if way.tls:
                    yield self._tcp(listener, _INBOUND_PASSTHROUGH, way.match, self._mutual(http=False))
        strict = mode is MtlsMode.STRICT
        yield self._tcp(listener, _BLACKHOLE if strict else _INBOUND_PASSTHROUGH, {})

    def _into(
        self, listener: Listener, mode: MtlsMode, protocol: str, table: str, route: TcpRoute | None, match: Resource
    ) -> Iterator[Resource]:
        """Into one port. Without a certificate nobody is let in who must show one, and the others speak plaintext."""
        if not self._certificates.folder:
            if mode is MtlsMode.STRICT:
                yield self._tcp(listener, _BLACKHOLE, match)
                return
            mode = MtlsMode.DISABLE
        for way in ways(mode, protocol):
            socket = self._mutual(http=way.http) if way.tls else None
            where = {**match, **way.match}
            if way.http:
                less = table == INBOUND and not way.tls and plaintext_finds_less(self._snapshot)
                name = INBOUND_PLAIN if less else table
                yield self._http(listener, name, where, socket)
            else:
                yield self._tcp(listener, route or _BLACKHOLE, where, socket)

    def _mutual(self, *, http: bool) -> Resource:
        return inbound_socket(self._snapshot.mesh_tls, self._certificates, http=http)

    def _server(self, listener: Listener, server: ServerTls) -> Iterator[Resource]:
        """A Gateway's server: requests, or bytes by server name. Nobody can connect whose TLS cannot be ended."""
        match = {**TLS, **given(("server_names", _but_all(server.hosts)))}
        socket = None
        if server.mode not in PASSING:
            socket = gateway_socket(server, self._certificates)
            if socket is None:
                yield self._tcp(listener, _BLACKHOLE, match)
                return
        if server.route_table:
            yield self._http(listener, server.route_table, match, socket, by_name=True)
            return
        if server.mode is ServerTlsMode.AUTO_PASSTHROUGH:
            match = {**match, "application_protocols": sorted(each.decode() for each in ISTIO)}
        match.pop("server_names", None)
        hosts = {host.lower() for host in server.hosts}
        for route, names in names_by_route(listener.tcp, hosts):
            yield self._tcp(listener, route, {**match, **given(("server_names", _but_all(names)))}, socket)

    def _table(self, port: int) -> str:
        return str(port) if port in self._snapshot.port_tables else ALLOW_ANY

    def _outbound(self, listener: Listener) -> Iterator[Resource]:
        """By address and port, by subnet, by port alone; each with its server names."""
        snapshot = self._snapshot
        for (place, port), routes in snapshot.tcp_routes.items():
            if place:
                protocol = snapshot.outbound_protocol(place, port)
                yield from self._place(listener, protocol, port, routes, [_exactly(place)])
        for port, subnets in snapshot.tcp_subnets.items():
            for subnet, routes in subnets:
                if (str(subnet.network_address), port) in snapshot.tcp_routes and subnet.num_addresses == 1:
                    continue
                prefix = {"address_prefix": str(subnet.network_address), "prefix_len": subnet.prefixlen}
                yield from self._place(listener, snapshot.outbound_ports[port], port, routes, [prefix])
        for port, protocol in snapshot.outbound_ports.items():
            yield from self._place(listener, protocol, port, snapshot.tcp_routes.get(("", port)) or TcpRoutes(), [])

    def _place(
        self, listener: Listener, protocol: str, port: int, routes: TcpRoutes, prefixes: list[Resource]
    ) -> Iterator[Resource]:
        match: Resource = {"destination_port": port, **given(("prefix_ranges", prefixes))}
        whole = replace(routes, default=routes.default or self._unknown)
        yield from self._by_protocol(listener, protocol, self._table(port), whole, match)

    def _by_protocol(
        self,
        listener: Listener,
        protocol: str,
        table: str,
        routes: TcpRoutes,
        match: Resource,
        *,
        by_name: bool = False,
    ) -> Iterator[Resource]:
        """One chain for what is declared; two for what the first bytes tell; and one for each route by server name."""
        for route, names in names_by_route(routes):
            named = [name for name in names if name != "*"]
            if named:
                yield self._tcp(listener, route, {**match, **TLS, "server_names": named})
        rest = routes.default or _BLACKHOLE
        if protocol == "http":
            yield self._http(listener, table, match, by_name=by_name)
            return
        if protocol == "tcp":
            yield self._tcp(listener, rest, match)
            return
        yield self._http(listener, table, {**match, **HTTP}, by_name=by_name)
        yield self._tcp(listener, rest, {**match, **RAW})
        if routes.by_name:
            yield self._tcp(listener, rest, {**match, **TLS})

    def _http(
        self, listener: Listener, table: str, match: Resource, socket: Resource | None = None, *, by_name: bool = False
    ) -> Resource:
        routes = self._routes_of(listener, table, by_name)
        return _chain(match, socket, http_filter(listener, routes, self._snapshot, by_name=by_name))

    def _tcp(self, listener: Listener, route: TcpRoute, match: Resource, socket: Resource | None = None) -> Resource:
        filters = network_filters(listener, self._snapshot)
        return _chain(match, socket, *filters, tcp_filter(route, self._snapshot, listener.http.direction))


def _chain(match: Resource, socket: Resource | None, *filters: Resource) -> Resource:
    return {**given(("filter_chain_match", match), ("transport_socket", socket)), "filters": list(filters)}


def _but_all(names: Sequence[str]) -> list[str]:
    """Server names as Envoy matches them: `*` is the lack of any."""
    return [] if "*" in names else list(names)


def _exactly(place: str) -> Resource:
    return {"address_prefix": place, "prefix_len": 128 if ":" in place else 32}
