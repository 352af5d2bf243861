"""Opens a connection to a host: a socket, and on it TLS where the cluster says so, to whom it says.

Source: Envoy router.cc (auto_sni, auto_san_validation), tls/client_ssl_socket.cc, tls/ssl_socket.cc (failure texts).
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from pyproxy.core.tls import ClientTls, ClientTlsMode, Peer
from pyproxy.mtls.channel import TlsChannel
from pyproxy.mtls.contexts import NOT_READY, Contexts
from pyproxy.mtls.failure import DISTRUSTED, REFUSED, SYSTEM
from pyproxy.mtls.peers import peer_of, showing, verify_server
from pyproxy.runtime.clusters import HostState
from pyproxy.snapshot.model import TcpKeepalive
from pyproxy.snapshot.tls import HTTP1_ALPN, HTTP2_ALPN, TCP_ALPN
from pyproxy.wire.proxy_protocol import NOBODY, Ends, header

if TYPE_CHECKING:
    from pyproxy.mtls.openssl import TlsContext

HTTP1: Final = "http/1.1"
HTTP2: Final = "h2"
TCP: Final = ""
"""What will be spoken: ALPN's word, or nothing for bytes that are not HTTP."""
_LABELS: Final = re.compile(r"(?!.{254})([!-\-/-~]{1,63}\.)*[!-\-/-~]{1,63}")
"""A name that SNI can carry."""


class TlsFailed(Exception):
    """No TLS connection; the text is Envoy's transport failure reason, empty where Envoy has none."""


class Upper(Protocol):
    """The protocol that a connection is for."""

    peer: Peer | None
    """The other end's facts; None: plaintext."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...


class TlsDialler:
    """TLS to one host under one name: remembers the last session, so that the next handshake is short."""

    def __init__(
        self,
        host: HostState,
        tls: ClientTls,
        contexts: Contexts | None,
        name: str,
        protocol: str,
        ends: Ends = NOBODY,
    ) -> None:
        """`name` is the request's host, without port, for a cluster that takes SNI and names from it."""
        self._host = host
        self._ends = ends
        self._tls = tls
        self._contexts = contexts
        self._name = name
        self._server_name = tls.sni or server_name(name)
        self._alpn = offered(tls, protocol)
        self._last: TlsChannel | None = None

    async def connect(self, upper: Upper) -> None:
        """Open, shake hands, verify; `upper` has its connection then. Raises OSError and TlsFailed."""
        contexts = self._contexts
        context = contexts.client(self._tls, self._alpn) if contexts is not None else None
        if context is None:
            raise TlsFailed(NOT_READY.replace(" ", "_"))
        done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def secured(channel: TlsChannel) -> None:
            _settle(done, self._take(channel, upper))

        channel = TlsChannel(
            context,
            secured=secured,
            failed=lambda reason: _settle(done, self._count_failure(reason)),
            server_hostname=self._server_name,
            session=self._session(context),
            welcome=lambda certificate: self._verdict(showing(certificate)),
        )
        await open_socket(self._host, channel, self._ends)
        try:
            failure = await done
        except asyncio.CancelledError:  # too late
            channel.abort()
            raise
        if failure is not None:
            raise TlsFailed(failure.replace(" ", "_"))

    def count_end(self, transport: Any) -> None:
        """A connection that was made ended: by an error of TLS's own?"""
        if transport.failure:
            self._host.cluster.stats.ssl_connection_error += 1

    def _take(self, channel: TlsChannel, upper: Upper) -> str | None:
        """The handshake is done: is it whom we wanted?"""
        stats = self._host.cluster.stats
        peer = peer_of(channel)
        refusal = None if channel.tls.welcomed else self._verdict(peer)
        if refusal is not None:
            channel.abort()
            return self._count_failure(refusal)
        stats.ssl_handshake += 1
        stats.ssl_session_reused += peer.resumed
        self._last = channel
        upper.peer = peer
        channel.set_protocol(cast(asyncio.Protocol, upper))
        upper.connection_made(cast(asyncio.Transport, channel))
        return None

    def _verdict(self, peer: Peer) -> str | None:
        assert self._contexts is not None
        return verify_server(peer, self._tls, self._name, self._contexts.clock.time())

    def _count_failure(self, reason: str) -> str:
        stats = self._host.cluster.stats
        if DISTRUSTED in reason:
            stats.ssl_fail_verify_error += 1
        elif REFUSED in reason:
            stats.ssl_fail_verify_san += 1
        elif reason and SYSTEM not in reason:
            stats.ssl_connection_error += 1
        return reason

    def _session(self, context: TlsContext) -> Any:
        """Of the last connection under the same certificates: in TLS 1.3 its ticket came after the handshake."""
        last = self._last
        return last.tls.session if last is not None and last.context is context else None


class _Introducing(asyncio.Protocol):
    """Says who the client is, before anything else is said, and leaves."""

    def __init__(self, version: str, ends: Ends, upper: asyncio.Protocol) -> None:
        self._version = version
        self._ends = ends
        self._upper = upper

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        ends = self._ends
        if ends == NOBODY and self._version == "V1":
            ends = _named(transport.get_extra_info("sockname")), _named(transport.get_extra_info("peername"))
        below = cast(asyncio.Transport, transport)
        below.write(header(self._version, ends))
        below.set_protocol(self._upper)
        self._upper.connection_made(transport)


def _named(address: Any) -> str:
    return f"[{address[0]}]:{address[1]}" if isinstance(address, tuple) else ""


async def open_socket(host: HostState, upper: object, ends: Ends = NOBODY) -> None:
    """Connect, TCP or Unix; `upper` is an asyncio.Protocol in all but base, `ends` the client's. Raises OSError."""
    loop = asyncio.get_running_loop()
    protocol = cast(asyncio.Protocol, upper)
    version = host.cluster.cluster.connection.proxy_protocol
    if version:
        protocol = _Introducing(version, ends, protocol)
    if host.address.startswith("unix:"):
        await loop.create_unix_connection(lambda: protocol, host.address.removeprefix("unix:").replace("///", "/"))
        return
    transport, _ = await loop.create_connection(lambda: protocol, host.address, host.port)
    keepalive = host.cluster.cluster.connection.keepalive
    wrapped = transport.get_extra_info("socket") if keepalive is not None else None
    if keepalive is not None and wrapped is not None:
        with socket.socket(fileno=os.dup(wrapped.fileno())) as sock:
            set_keepalive(sock, keepalive)


def set_keepalive(sock: socket.socket, keepalive: TcpKeepalive) -> None:
    """TCP keepalive as DestinationRule `tcpKeepalive` says; None leaves the system's value."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = (keepalive.probes, keepalive.time, keepalive.interval)
    for option, value in zip(("TCP_KEEPCNT", "TCP_KEEPIDLE", "TCP_KEEPINTVL"), values, strict=True):
        if value is not None and hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def tls_of(host: HostState, contexts: Contexts | None) -> ClientTls | None:
    """How connections to a host are secured; None: plaintext.

    Automatic mutual TLS is for hosts that take it, from a proxy that has a certificate.
    """
    tls = host.cluster.cluster.tls
    if tls is None or not tls.automatic:
        return tls
    able = host.endpoint.mutual_tls and contexts is not None and contexts.has_certificate
    return tls if able else None


def named_by_request(tls: ClientTls) -> bool:
    """Whether SNI, or the name in the certificate, is the request's host."""
    return tls.mode is not ClientTlsMode.ISTIO_MUTUAL and (not tls.sni or tls.auto_san)


def server_name(name: str) -> str | None:
    """SNI for a name; None: it cannot be one, as no address can."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name if _LABELS.fullmatch(name) else None
    return None


def offered(tls: ClientTls, protocol: str) -> tuple[str, ...]:
    """The protocols to offer: what will be spoken decides. Source: Istio's alpn filter, Envoy conn_pool_base.cc."""
    if tls.mode is ClientTlsMode.ISTIO_MUTUAL:
        return {HTTP1: HTTP1_ALPN, HTTP2: HTTP2_ALPN}.get(protocol, TCP_ALPN)
    return tuple(each for each in tls.alpn or (protocol,) if each and each == protocol)


def _settle(done: asyncio.Future[str | None], failure: str | None) -> None:
    if not done.done():
        done.set_result(failure)
