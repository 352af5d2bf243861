"""The first protocol of a connection: finds out from its first bytes which one it needs, ends TLS, hands over."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.tls import MtlsMode, Peer, ServerTlsMode
from pyproxy.downstream.closing import reset
from pyproxy.downstream.filter_chains import AS_IT_IS, ENDING_TLS, inbound_chain, lets_in, server_for
from pyproxy.mtls.channel import HANDSHAKE_TIMEOUT, TIMED_OUT, TlsChannel
from pyproxy.mtls.contexts import Contexts
from pyproxy.mtls.failure import REFUSED, SYSTEM
from pyproxy.mtls.peers import peer_of, showing, verify_client, verify_gateway_client
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.wire.client_hello import ClientHello, NotTls, parse_client_hello

if TYPE_CHECKING:
    from pyproxy.downstream.listener import BoundListener
    from pyproxy.mtls.openssl import TlsContext

_REQUEST_LINE: Final = re.compile(rb"[A-Z]{3,16} ")
_PASSED_THROUGH: Final = (ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH)
_log: Final = logging.getLogger("pyproxy.listener")


class Entrance:
    """One connection until it is known what it is; an asyncio.Protocol in all but base.

    Tracked, so that it ends with a drain or when it says nothing.
    """

    closing = False
    busy = False
    deadline = 0.0

    def __init__(self, env: Environment, bound: BoundListener) -> None:
        self._env = env
        self._bound = bound
        self._early = b""
        self._spoke = False
        self._mode = MtlsMode.DISABLE
        self._asks_for_name = False
        self._patience: asyncio.TimerHandle | None = None
        self._chain = AS_IT_IS["http"]
        self._hello: ClientHello | None = None
        self._shaking: TlsChannel | None = None
        """The TLS that is to end here, until it is known whether it will."""
        self.idle_since = 0.0
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use
        self.connection: ClientConnection = None  # type: ignore[assignment]  # set before any use

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        bound = self._bound
        self.connection = connection = bound.client_connection(self.transport)
        self._mode = bound.mutual_tls(connection)
        self._asks_for_name = bound.asks_for_name(connection)
        self._chain = AS_IT_IS[bound.speaks(connection)]
        if self._looks_for_tls or self._chain.protocol == "auto":
            self.idle_since = self._env.clock.monotonic()
            bound.tracker.add(self)
            self._be_patient()
        else:
            self._hand_over(self.transport)

    def data_received(self, data: bytes) -> None:
        if not self._spoke:
            self._spoke = True
            self.deadline = self._bound.tracker.hello_deadline()
        self._early += data
        if not self._looks_for_tls:
            self._sniff()
            return
        hello = parse_client_hello(self._early)
        if hello is not None:
            self._choose(None if isinstance(hello, NotTls) else hello)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nor then."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        self._bound.tracker.remove(self)

    # From the tracker

    def on_idle(self) -> None:
        """It never said what it wants."""
        self.transport.close()

    def on_slow_head(self) -> None:
        """What it began to say is taking too long."""
        if self._shaking is not None:
            self._shaking.time_out()
        else:
            self.transport.close()

    def on_still_closing(self, now: float) -> None:
        """Nothing is ever left to read."""

    def drain(self) -> None:
        """The process goes away; who has begun to speak may finish."""
        if not self._spoke:
            self.transport.close()

    # For itself

    @property
    def _looks_for_tls(self) -> bool:
        return self._mode is not MtlsMode.DISABLE or self._asks_for_name or bool(self._bound.listener.server_tls)

    def _be_patient(self) -> None:
        """Where the protocol is not declared the mesh may say how long a client has to show it (Istio: for ever)."""
        timeout = self._env.live.serving.snapshot.detection_timeout
        if timeout and self._chain.protocol == "auto":
            self._patience = asyncio.get_running_loop().call_later(timeout, self._on_silence)

    def _on_silence(self) -> None:
        """It goes on as what it has shown to be: no TLS and no HTTP."""
        self._patience = None
        self._chain = AS_IT_IS["tcp"]
        if not self._bound.listener.server_tls:
            self._choose(None)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _choose(self, hello: ClientHello | None) -> None:
        """The first bytes are known to be a ClientHello, or none."""
        self._wait_no_more()
        if hello is not None:
            self.connection.server_name = hello.server_name
            self._hello = hello
        if self._bound.listener.server_tls:
            self._enter_gateway(hello)
            return
        if self._mode is MtlsMode.DISABLE:
            self._asks_for_name = False
            if hello is not None:
                self._chain = AS_IT_IS["tcp"]
            self._sniff()
            return
        chain = inbound_chain(self._mode, self._chain.protocol, hello)
        if chain is None:
            self._refuse()
            return
        self._mode = MtlsMode.DISABLE
        self._chain = chain
        if chain.tls:
            mesh = self._env.live.serving.snapshot.mesh_tls
            self._end_tls(lambda contexts: contexts.server(mesh, chain.protocol == "tcp"))
        else:
            self._sniff()

    def _enter_gateway(self, hello: ClientHello | None) -> None:
        server = server_for(self._bound.listener.server_tls, hello.server_name) if hello is not None else None
        if server is None or not lets_in(server, hello):
            self._refuse()
            return
        self.connection.server = server
        terminates = server.mode not in _PASSED_THROUGH
        self._chain = (ENDING_TLS if terminates else AS_IT_IS)["http" if terminates and server.route_table else "tcp"]
        if terminates:
            self._end_tls(lambda contexts: contexts.gateway(server))
        else:
            self._hand_over(self.transport)

    def _end_tls(self, context_of: Callable[[Contexts], TlsContext | None]) -> None:
        tls = self._env.tls
        context = context_of(tls) if tls is not None else None
        if context is None:  # the log said why when the files were read
            self._refuse()
            return
        self.deadline = self._env.clock.monotonic() + HANDSHAKE_TIMEOUT
        early, self._early = self._early, b""
        channel = TlsChannel(
            context, secured=self._on_secured, failed=self._on_failed, hello=self._hello, welcome=self._welcome
        )
        channel.server_name = self.connection.server_name
        self._shaking = channel
        self.transport.set_protocol(cast(asyncio.Protocol, channel))
        channel.connection_made(self.transport)
        channel.data_received(early)

    def _on_secured(self, channel: TlsChannel) -> None:
        stats = self._bound.connection_stats
        connection = self.connection
        self._shaking = None
        connection.tls = peer = peer_of(channel)
        stats.ssl_handshake += 1
        stats.ssl_session_reused += peer.resumed
        stats.ssl_no_certificate += not peer.presented
        reason = None if channel.tls.welcomed else self._verdict(peer)
        if reason is None:
            self._hand_over(cast(asyncio.Transport, channel))
            return
        self._count_refusal(reason)
        _log.debug("%s: %s", connection.remote_address, reason)
        self._bound.tracker.remove(self)
        channel.abort()

    def _welcome(self, certificate: bytes) -> str | None:
        """Asked within the handshake, so that who is refused hears it in an alert."""
        return self._verdict(showing(certificate))

    def _count_refusal(self, reason: str) -> None:
        stats = self._bound.connection_stats
        if "SAN" in reason:
            stats.ssl_fail_verify_san += 1
        else:
            stats.ssl_fail_verify_error += 1

    def _verdict(self, peer: Peer) -> str | None:
        """Why a client whose certificate is in order is not welcome all the same."""
        server, now = self.connection.server, self._env.clock.time()
        if server is not None:  # in mode ISTIO_MUTUAL too: the mesh's roots, and whom the server names
            return verify_gateway_client(peer, server, now)
        return verify_client(peer, self._env.live.serving.snapshot.mesh_tls, now)

    def _on_failed(self, reason: str) -> None:
        self._shaking = None
        self._bound.tracker.remove(self)
        stats = self._bound.connection_stats
        if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason:
            stats.ssl_fail_verify_no_cert += 1
        elif REFUSED in reason:
            self._count_refusal(reason)
        elif reason == TIMED_OUT:
            stats.downstream_cx_transport_socket_connect_timeout += 1
        elif reason and SYSTEM not in reason:
            stats.ssl_connection_error += 1
        _log.debug("%s: no TLS: %s", self.connection.remote_address, reason or "the client left")

    def _sniff(self) -> None:
        """Plaintext: what it is may still have to be found out."""
        if self._chain.protocol == "auto":
            verdict = looks_like_http(self._early)
            if verdict is None:
                return
            self._chain = AS_IT_IS["http" if verdict else "tcp"]
        self._hand_over(self.transport)

    def _hand_over(self, transport: asyncio.Transport) -> None:
        bound, connection = self._bound, self.connection
        self._wait_no_more()
        bound.tracker.remove(self)
        protocol: asyncio.Protocol
        if self._chain.protocol == "tcp":
            protocol = bound.tcp(connection)
        elif connection.tls is not None and connection.tls.alpn == "h2":
            protocol = bound.http2(connection)
        else:
            protocol = bound.http(connection)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._early:
            protocol.data_received(self._early)

    def _refuse(self) -> None:
        """No filter chain matches: reset without a byte, since nothing of what came was read.

        Source: Envoy active_stream_listener_base.cc; its tls_inspector only peeks.
        """
        self._bound.tracker.remove(self)
        self._bound.connection_stats.no_filter_chain_match += 1
        log, clock, connection = self._env.access_log, self._env.clock, self.connection
        if log is not None:
            ctx = RequestContext(RequestHead(b"", b"", b"", []), clock.monotonic(), clock.time())
            ctx.protocol = "-"
            ctx.downstream_local_address = connection.local_address
            ctx.downstream_remote_address = ctx.direct_remote_address = connection.remote_address
            ctx.requested_server_name = connection.server_name
            ctx.add_flag("NR")
            ctx.details = "filter_chain_not_found"
            log.log(ctx, connection.settings.direction)
        reset(self.transport)


def looks_like_http(data: bytes) -> bool | None:
    """Whether a connection that begins so speaks HTTP/1.1; None when more bytes are needed."""
    if _REQUEST_LINE.match(data):
        return True
    head = data[:17]
    return None if len(head) < 17 and head.isalpha() and head.isupper() else False
