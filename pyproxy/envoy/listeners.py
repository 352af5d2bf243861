"""Listeners as Envoy's config.listener.v3.Listener: for the capture ports one or two filter chains per declared port.

A redirected connection finds its chain by where it was going. One that was addressed to the proxy itself has the
proxy's own port as its destination, and a chain for that.
Source: Envoy api/envoy/config/listener/v3/listener.proto, source/common/listener_manager/filter_chain_manager_impl.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pyproxy.envoy.inspectors import HTTP, listener_filters
from pyproxy.envoy.manager import http_filter, tcp_filter
from pyproxy.envoy.tables import INBOUND, server_names
from pyproxy.envoy.values import Resource, address, given
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Direction,
    Listener,
    ListenerKind,
    Snapshot,
)
from pyproxy.snapshot.tables import ALLOW_ANY, ANY

RoutesOf = Callable[[Listener, str, bool], Resource]
"""Listener, name of a table, and whether the client may have no original destination → `rds` or `route_config`."""
_DIRECTIONS = {Direction.INBOUND: "INBOUND", Direction.OUTBOUND: "OUTBOUND"}


def routes_by_reference(listener: Listener, table: str, by_name: bool) -> Resource:
    """Tables that stand elsewhere."""
    return {"rds": {"config_source": {"ads": {}, "resource_api_version": "V3"}, "route_config_name": table}}


class Listeners:
    """Renders the listeners of one snapshot."""

    def __init__(self, snapshot: Snapshot, routes_of: RoutesOf = routes_by_reference) -> None:
        self._snapshot = snapshot
        self._routes_of = routes_of

    def resource(self, listener: Listener, port: int) -> Resource:
        """One listener; `port` is the one it is bound to, or 0: Envoy picks one."""
        chains = list(self._chains(listener, port))
        resource: Resource = {
            "name": listener.name,
            "address": address(listener.address, port),
            **given(("traffic_direction", _DIRECTIONS.get(listener.http.direction))),
            **listener_filters(listener.kind, chains),
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
            yield self._tcp(self._unknown, {})
        elif listener.kind is ListenerKind.INBOUND_CAPTURE:
            yield self._http(listener, INBOUND, mine)
            for port, protocol in self._snapshot.inbound_ports.items():
                name = f"inbound|{port}||"
                yield from self._by_protocol(listener, protocol, name, name, {"destination_port": port})
            yield self._tcp(INBOUND_PASSTHROUGH_CLUSTER, {})
        else:
            table, cluster = listener.route_table or ANY, listener.tcp_cluster or BLACKHOLE_CLUSTER
            yield from self._by_protocol(listener, listener.protocol, table, cluster, {}, by_name=True)

    @property
    def _unknown(self) -> str:
        return PASSTHROUGH_CLUSTER if self._snapshot.allow_any else BLACKHOLE_CLUSTER

    def _table(self, port: int) -> str:
        return str(port) if port in self._snapshot.port_tables else ALLOW_ANY

    def _outbound(self, listener: Listener) -> Iterator[Resource]:
        """By address and port, by server name, by port alone."""
        snapshot = self._snapshot
        for (place, port), cluster in snapshot.tcp_routes.items():
            if place:
                match: Resource = {"destination_port": port, "prefix_ranges": [_exactly(place)]}
                protocol = snapshot.outbound_protocol(place, port)
                yield from self._by_protocol(listener, protocol, self._table(port), cluster, match)
        for port, protocol in snapshot.outbound_ports.items():
            cluster = snapshot.tcp_routes.get(("", port)) or self._unknown
            yield from self._by_protocol(listener, protocol, self._table(port), cluster, {"destination_port": port})
        for port in snapshot.tcp_tables:
            for cluster, names in server_names(snapshot, port):
                match = {"destination_port": port, "server_names": names, "transport_protocol": "tls"}
                yield self._tcp(cluster, match)

    def _by_protocol(
        self, listener: Listener, protocol: str, table: str, cluster: str, match: Resource, *, by_name: bool = False
    ) -> Iterator[Resource]:
        """One chain for what is declared; two for what the first bytes tell."""
        if protocol == "http":
            yield self._http(listener, table, match, by_name=by_name)
            return
        if protocol == "auto":
            yield self._http(listener, table, {**match, **HTTP}, by_name=by_name)
        yield self._tcp(cluster, match)

    def _http(self, listener: Listener, table: str, match: Resource, *, by_name: bool = False) -> Resource:
        routes = self._routes_of(listener, table, by_name)
        return _chain(match, http_filter(listener, routes, self._snapshot, by_name=by_name))

    def _tcp(self, cluster: str, match: Resource) -> Resource:
        return _chain(match, tcp_filter(cluster, self._snapshot))


def _chain(match: Resource, network_filter: Resource) -> Resource:
    return {**given(("filter_chain_match", match)), "filters": [network_filter]}


def _exactly(place: str) -> Resource:
    return {"address_prefix": place, "prefix_len": 128 if ":" in place else 32}
