"""Bind an address, give every connection its protocol, drain. What its first bytes decide, entrance.py finds out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from pyproxy.core.errors import CommandError, cannot_listen
from pyproxy.core.loop import spawn
from pyproxy.core.tls import MtlsMode
from pyproxy.downstream.connect import ConnectHandler
from pyproxy.downstream.entrance import Entrance
from pyproxy.downstream.http1 import Http1Server
from pyproxy.downstream.original_destination import original_destination
from pyproxy.downstream.tcp import TcpProxy
from pyproxy.downstream.tracker import Tracker
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.runtime.counters import HttpStats, ListenerStats
from pyproxy.snapshot.model import Listener, ListenerKind, Snapshot

_log: Final = logging.getLogger("pyproxy.listener")
BACKLOG: Final = 4096
_CAPTURES: Final = (ListenerKind.OUTBOUND_CAPTURE, ListenerKind.INBOUND_CAPTURE)


class BoundListener:
    """One listener while it runs."""

    def __init__(
        self,
        env: Environment,
        listener: Listener,
        stats: HttpStats,
        headers_timeout: float,
        connections: ListenerStats | None = None,
    ) -> None:
        self.listener = listener
        self.stats = stats
        self.connection_stats = connections or ListenerStats()
        self.tracker = Tracker(env, headers_timeout)
        self.port = listener.port
        self.tunnels = 0
        self._arriving = 0
        self._env = env
        self._identifiers: Iterator[int] = itertools.count(1)
        self._connect = ConnectHandler(env) if listener.kind is ListenerKind.HTTP_PROXY else None
        self._server: asyncio.Server | None = None

    async def start(self, given: socket.socket | None = None) -> None:
        """Bind, or take the socket that is given bound, and accept. Raises CommandError: the address cannot be had."""
        loop = asyncio.get_running_loop()
        address = self.listener.address
        try:
            if address.startswith("unix:"):
                path = unix_path(address) if given is None else None
                self._server = await loop.create_unix_server(self._protocol, path, sock=given, backlog=BACKLOG)
                return
            if given is not None:
                server = await loop.create_server(self._protocol, sock=given, backlog=BACKLOG)
            else:
                server = await loop.create_server(
                    self._protocol, address, self.listener.port, backlog=BACKLOG, reuse_address=True, reuse_port=False
                )
        except OSError as error:
            raise refused(self.listener, error) from error
        self._server = server
        self.port = _sockets(server)[0].getsockname()[1]
        self._env.own_addresses.update(_own_addresses(address, self.port))

    def stop_accepting(self) -> None:
        """Close the listening socket; open connections go on, those too that wait to be accepted."""
        server, self._server = self._server, None
        if server is None:
            return
        kept = [socket.socket(fileno=os.dup(each.fileno())) for each in _sockets(server)]
        server.close()
        for listening in kept:
            self._accept_rest(listening)
        self._env.own_addresses.difference_update(_own_addresses(self.listener.address, self.port))

    def drain(self) -> None:
        """Every connection ends with its request under way; idle ones now."""
        self.tracker.draining = True
        for connection in list(self.tracker.connections):
            connection.drain()

    @property
    def connections(self) -> int:
        """Open ones, tunnels among them."""
        return len(self.tracker.connections) + self.tunnels + self._arriving

    def abort(self) -> None:
        """The drain is over."""
        for connection in list(self.tracker.connections):
            connection.transport.abort()

    def _accept_rest(self, listening: socket.socket) -> None:
        """The system resets what it has connected and nobody has accepted when the socket closes."""
        listening.setblocking(False)
        with listening, contextlib.suppress(OSError):
            while True:
                accepted, _ = listening.accept()
                self._arriving += 1
                spawn(self._welcome(accepted), name="last connections")

    async def _welcome(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted)
        except OSError:
            accepted.close()
        finally:
            self._arriving -= 1

    # One connection

    def _protocol(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, Entrance(self._env, self))

    def client_connection(self, transport: asyncio.Transport) -> ClientConnection:
        """The facts of a new connection."""
        self.connection_stats.downstream_cx_total += 1
        local: object = transport.get_extra_info("sockname")
        remote: object = transport.get_extra_info("peername")
        connection = ClientConnection(self.listener, self.listener.http, self.stats, identifier=next(self._identifiers))
        if isinstance(local, tuple):
            connection.local_address = _text(local)
            connection.local_port = local[1]
            if self.listener.kind in _CAPTURES:
                self._restore(connection, original_destination(transport, local))
        if isinstance(remote, tuple) and remote:
            connection.remote_address = _text(remote)
            connection.remote_ip = remote[0]
        return connection

    def _restore(self, connection: ClientConnection, target: tuple[str, int] | None) -> None:
        """As Envoy's original_dst does: a connection that was redirected is one to where it was going."""
        if target is not None and target not in self._env.own_addresses:
            connection.original_destination = target
            connection.local_address, connection.local_port = _text(target), target[1]

    def http(self, connection: ClientConnection) -> asyncio.Protocol:
        """The protocol for HTTP/1.1."""
        return cast(asyncio.Protocol, Http1Server(self._env, connection, self.tracker, self._connect))

    def http2(self, connection: ClientConnection) -> asyncio.Protocol:
        """The protocol for HTTP/2, where ALPN chose it; without TLS the one for HTTP/1.1 knows its preface."""
        from pyproxy.downstream.http2 import Http2Server  # h2 is for those who have such clients

        return cast(asyncio.Protocol, Http2Server(self._env, connection, self.tracker))

    def tcp(self, connection: ClientConnection) -> TcpProxy:
        """The protocol for anything else."""
        self.tunnels += 1
        return TcpProxy(self._env, connection, self._tunnel_closed)

    def speaks(self, connection: ClientConnection) -> str:
        """http, tcp, or auto, as the documents say of the connection's destination."""
        if self.listener.kind is ListenerKind.NAMED:
            return self.listener.protocol
        target = connection.original_destination
        if target is None:
            return "http"
        snapshot: Snapshot = self._env.live.serving.snapshot
        if self.listener.kind is ListenerKind.INBOUND_CAPTURE:
            return snapshot.inbound_ports.get(target[1], "tcp")
        return snapshot.outbound_protocol(*target) or "auto"

    def asks_for_name(self, connection: ClientConnection) -> bool:
        """Whether the server name decides where a connection goes that is not HTTP."""
        if self.listener.kind is ListenerKind.NAMED:
            return self.listener.tcp.by_name
        target = connection.original_destination
        if target is None or self.listener.kind is not ListenerKind.OUTBOUND_CAPTURE:
            return False
        routes = self._env.live.serving.snapshot.tcp_place(*target)
        return routes is not None and routes.by_name

    def mutual_tls(self, connection: ClientConnection) -> MtlsMode:
        """What the mesh asks of a connection. Without a certificate of ours there is no TLS to be permissive about."""
        if self.listener.kind is ListenerKind.NAMED:
            mode = self.listener.mutual_tls
        elif self.listener.kind is ListenerKind.INBOUND_CAPTURE:
            target = connection.original_destination
            mode = self._env.live.serving.snapshot.inbound_mode(target[1] if target is not None else None)
        else:
            return MtlsMode.DISABLE
        certified = self._env.tls is not None and self._env.tls.has_certificate
        return mode if certified or mode is MtlsMode.STRICT else MtlsMode.DISABLE

    def _tunnel_closed(self) -> None:
        self.tunnels -= 1


def _sockets(server: asyncio.Server) -> Sequence[socket.socket]:
    """asyncio has a tuple of them, uvloop a list."""
    return cast(Any, server).sockets  # type: ignore[no-any-return]


def unix_path(address: str) -> str:
    """`unix:///path` → `/path`."""
    return address.removeprefix("unix:").replace("///", "/")


def stats_name(listener: Listener) -> str:
    """What Envoy calls a listener in its statistics: `0.0.0.0_15006`."""
    address = listener.address
    return (address if address.startswith("unix:") else f"{address}_{listener.port}").replace(":", "_")


def refused(listener: Listener, error: OSError) -> CommandError:
    """Why a listener's address cannot be had."""
    address = listener.address
    where = address if address.startswith("unix:") else f"{address}:{listener.port}"
    return cannot_listen(where, listener.name, "the flag or document that names it", error)


def _text(address: tuple[str, int]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def _own_addresses(address: str, port: int) -> set[tuple[str, int]]:
    """The destinations that would come back to a listener."""
    hosts = {address}
    if address in ("0.0.0.0", "::"):
        hosts |= {"127.0.0.1", "::1"}
        hosts |= _interfaces()
    return {(host, port) for host in hosts}


def _interfaces() -> set[str]:
    """The addresses of this machine's own name."""
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)}
    except OSError:
        return set()
