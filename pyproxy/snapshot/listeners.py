"""What a sidecar binds: the two capture ports, the HTTP proxy, and the listeners that its Sidecar document names.

Source: Istio pilot/pkg/networking/core/listener.go, listener_inbound.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pyproxy.istio.networking.sidecar import IstioEgressListener, IstioIngressListener
from pyproxy.snapshot.inbound import InboundPort, inbound_name
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Direction, HttpSettings, Listener, ListenerKind, Listening
from pyproxy.snapshot.peer_authentication import PortModes
from pyproxy.snapshot.services import ServicePort, parse_protocol
from pyproxy.snapshot.sidecars import Egress, Scope
from pyproxy.snapshot.tables import HTTP_PROXY
from pyproxy.snapshot.tcp_routes import TcpRoutes, route_to
from pyproxy.snapshot.workloads import UNIX

RoutesOf = Callable[[Egress, str, int], TcpRoutes]
"""An egress listener, the address and the port of one of its sockets → where connections go that are not HTTP."""


class Listeners:
    """Compiles the listeners of one sidecar."""

    def __init__(
        self, scope: Scope, listening: Listening, mesh: MeshSettings, modes: PortModes, routes_of: RoutesOf
    ) -> None:
        self._scope = scope
        self._routes_of = routes_of
        self._modes = modes
        self._listening = listening
        self._mesh = mesh
        self._outbound = mesh.http(Direction.OUTBOUND)
        self._inbound = mesh.http(Direction.INBOUND)

    def compile(self, inbound: Sequence[InboundPort]) -> tuple[Listener, ...]:
        """Every listener; of two on one address and port the first."""
        found: dict[tuple[str, int], Listener] = {}
        for listener in (*self._captures(), *self._ingress(inbound), *self._egress()):
            key = (listener.address, listener.port)
            if listener.port == 0 and not listener.address.startswith(UNIX):
                key = (listener.name, 0)  # a free port each
            found.setdefault(key, listener)
        return tuple(found.values())

    def binds(self, listener: IstioIngressListener | IstioEgressListener) -> bool:
        """Whether a listener has a socket of its own instead of traffic captured for it."""
        if (listener.bind or "").startswith(UNIX):
            return True
        if listener.capture_mode in (None, "DEFAULT"):
            return not self._mesh.interception
        return listener.capture_mode == "NONE"

    def _captures(self) -> Iterator[Listener]:
        at = self._listening
        outbound = at.address or at.outbound_address
        inbound = at.address or at.inbound_address
        kind = ListenerKind.OUTBOUND_CAPTURE
        yield Listener(kind.value, kind, outbound, at.outbound_port, self._outbound, protocol="auto")
        kind = ListenerKind.INBOUND_CAPTURE
        yield Listener(kind.value, kind, inbound, at.inbound_port, self._inbound, protocol="auto")
        if at.http_proxy_port is not None and at.http_proxy_port >= 0:
            kind = ListenerKind.HTTP_PROXY
            yield Listener(kind.value, kind, outbound, at.http_proxy_port, self._outbound, route_table=HTTP_PROXY)

    def _ingress(self, inbound: Sequence[InboundPort]) -> Iterator[Listener]:
        for each in inbound:
            if each.listener is not None and self.binds(each.listener):
                address = self._address(each.listener.bind, self._listening.inbound_address)
                name = inbound_name(each.number)
                routes = TcpRoutes(default=route_to(name))
                listener = self._named(address, each.number, self._inbound, name, each.port.kind, routes)
                yield replace(listener, mutual_tls=self._modes.of(each.number), workload_port=each.number)

    def _egress(self) -> Iterator[Listener]:
        for egress in self._scope.egress:
            if not self.binds(egress.listener):
                continue
            address = self._address(egress.listener.bind, self._listening.outbound_address)
            if egress.port is None:
                for port in dict.fromkeys(port.number for service in egress.services for port in service.ports):
                    yield from self._egress_port(egress, address, port, None)
            else:
                declared = egress.listener.port.protocol if egress.listener.port is not None else None
                yield from self._egress_port(egress, address, egress.port, declared)

    def _egress_port(self, egress: Egress, address: str, number: int, protocol: str | None) -> Iterator[Listener]:
        """One local port. Without a protocol of its own it has that of the first service there."""
        if egress.names_no_port:
            kind = ListenerKind.NAMED if number == 0 else ListenerKind.HTTP_PROXY
            name = address if number == 0 else f"{address}_{number}"
            yield Listener(name, kind, address, number, self._outbound, str(number or egress.listener.bind))
            return
        services = [(each, port) for each in egress.services if (port := each.port(number)) and not port.udp]
        if services or protocol is not None:
            kind_of = ServicePort(number, protocol=parse_protocol(protocol)).kind if protocol else services[0][1].kind
            routes = self._routes_of(egress, address, number) if kind_of != "http" else TcpRoutes()
            yield self._named(address, number, self._outbound, str(number), kind_of, routes)

    def _address(self, bind: str | None, default: str) -> str:
        """A socket's path as it is; else the one address that flags give, the document's, or the default."""
        if bind and bind.startswith(UNIX):
            return bind
        return self._listening.address or bind or default

    def _named(
        self, address: str, port: int, http: HttpSettings, table: str, protocol: str, routes: TcpRoutes
    ) -> Listener:
        return Listener(
            name=f"{address}_{port}",
            kind=ListenerKind.NAMED,
            address=address,
            port=port,
            http=http,
            route_table="" if protocol == "tcp" else table,
            protocol=protocol,
            tcp=TcpRoutes() if protocol == "http" else routes,
        )
