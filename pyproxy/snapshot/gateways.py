"""What a gateway serves: the servers of the Gateway documents that select it, and VirtualServices bound to them.

Source: Istio pilot/pkg/networking/core/gateway.go, pilot/pkg/model/gateway.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pyproxy.core.http import RequestHead
from pyproxy.istio.networking.gateway import Gateway, Server
from pyproxy.istio.resources import Document
from pyproxy.snapshot.domains import TableBuilder, host_domain
from pyproxy.snapshot.hosts import intersection
from pyproxy.snapshot.matching import applies_to_connections
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import (
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
from pyproxy.snapshot.services import HTTP_PROTOCOLS, TLS_PROTOCOLS, parse_protocol

_ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One server of a Gateway document that selects this proxy."""

    gateway: str
    """`namespace/name`."""
    namespace: str
    server: Server
    port: int
    """The port to bind; that of the Gateway's Service may be another."""

    @property
    def protocol(self) -> str:
        """In lower case."""
        return parse_protocol(self.server.port.protocol)

    @property
    def bind(self) -> str:
        """The address; empty for all."""
        return self.server.bind or ""

    @property
    def redirects(self) -> bool:
        """Whether every request goes to https."""
        return bool(self.server.tls and self.server.tls.https_redirect)

    @property
    def hosts(self) -> list[str]:
        """The server's hosts, without the namespaces whose VirtualServices they are for."""
        return [host.lower().rpartition("/")[2] for host in self.server.hosts]

    def hosts_for(self, namespace: str) -> list[str]:
        """The server's hosts for VirtualServices of a namespace."""
        found = []
        for host in self.server.hosts:
            owner, slash, name = host.lower().rpartition("/")
            owner = self.namespace if owner == "." else owner
            if not slash or owner in ("*", namespace):
                found.append(name)
        return found


def gateway_servers(
    documents: Iterable[Document], identity: Identity, target_ports: Mapping[int, int]
) -> tuple[list[GatewayServer], list[tuple[Document, int, str]]]:
    """The servers to run, the oldest Gateway first; and those left out: document, index and reason.

    On one port HTTP servers live together; after HTTP nothing else fits, nor HTTP after anything else.
    """
    kept: list[GatewayServer] = []
    left: list[tuple[Document, int, str]] = []
    taken: dict[tuple[str, int], bool] = {}
    for document in documents:
        spec = document.spec
        if not isinstance(spec, Gateway) or any(identity.labels.get(k) != v for k, v in spec.selector.items()):
            continue
        for index, server in enumerate(spec.servers):
            number = server.port.number
            found = GatewayServer(
                f"{document.namespace}/{document.name}", document.namespace, server, target_ports.get(number, number)
            )
            reason = _refusal(found, taken)
            if reason:
                left.append((document, index, reason))
            else:
                kept.append(found)
    return kept, left


def _refusal(found: GatewayServer, taken: dict[tuple[str, int], bool]) -> str:
    """Why a server cannot run; empty when it can. Notes what its port is used for."""
    if found.protocol in TLS_PROTOCOLS or (found.server.tls is not None and found.protocol not in HTTP_PROTOCOLS):
        return "TLS on a gateway is not served yet"
    http = found.protocol in HTTP_PROTOCOLS
    key = (found.bind, found.port)
    if key in taken and not (http and taken[key]):
        return f"port {found.port} already belongs to another server"
    taken[key] = http
    return ""


@dataclass(slots=True)
class _Host:
    """A virtual host while servers and rules add to it."""

    port: int
    routes: list[Route] = field(default_factory=list)
    https_only: bool = False


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
        self._identity = identity
        self._listening = listening
        self._http = mesh.http(Direction.GATEWAY)
        self._visible: dict[str, list[Rules]] = {}

    def tables(self) -> dict[str, RouteTable]:
        """One table per address and port of HTTP servers."""
        grouped: dict[str, list[GatewayServer]] = {}
        for each in self._servers:
            if each.protocol in HTTP_PROTOCOLS:
                grouped.setdefault(_table_name(each), []).append(each)
        return {name: self._table(name, servers) for name, servers in grouped.items()}

    def listeners(self) -> Iterator[Listener]:
        """One listener per address and port."""
        done: set[tuple[str, int]] = set()
        for each in self._servers:
            address = each.bind if each.bind.startswith("unix://") else self._listening.address or each.bind
            key = (address, each.port)
            if key in done:
                continue
            done.add(key)
            http = each.protocol in HTTP_PROTOCOLS
            yield Listener(
                name=f"{address or _ANY_ADDRESS}_{each.port}",
                kind=ListenerKind.NAMED,
                address=address or _ANY_ADDRESS,
                port=each.port,
                http=self._http,
                route_table=_table_name(each) if http else "",
                protocol="http" if http else "tcp",
                tcp_cluster="" if http else self._tcp_cluster(each),
            )

    def _bound(self, each: GatewayServer) -> Iterator[tuple[Rules, list[str]]]:
        """The rules for a server, with the hosts that both have."""
        if each.gateway not in self._visible:
            self._visible[each.gateway] = visible_rules(self._rules, self._identity.namespace, each.gateway)
        for rules in self._visible[each.gateway]:
            shared = intersection(each.hosts_for(rules.namespace), rules.hosts)
            if shared:
                yield rules, shared

    def _tcp_cluster(self, each: GatewayServer) -> str:
        """Where the first TCP route goes that is for the server; empty: nowhere."""
        place = Place(each.server.port.number, each.gateway)
        for rules, _ in self._bound(each):
            for route in rules.tcp:
                if route.route and (
                    not route.match
                    or any(applies_to_connections(one, self._identity, each.gateway, place.port) for one in route.match)
                ):
                    return self._routes.cluster(route.route[0].destination, place)
        return ""

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
            for host in each.hosts if each.redirects else ():
                hosts.setdefault(host, _Host(place.port)).https_only = True
        table = TableBuilder()
        for host, found in hosts.items():
            table.add(VirtualHost(f"{host}:{found.port}", (host_domain(host),), _ordered(found)))
        empty = VirtualHost(f"blackhole:{servers[0].server.port.number}", ("*",), ())
        return table.build(name, None if hosts else empty)


def _table_name(each: GatewayServer) -> str:
    return f"http.{each.port}.{each.bind}" if each.bind else f"http.{each.port}"


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
