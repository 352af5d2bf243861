"""Server side of HTTP/2: the streams of one client connection to exchanges, and their responses to frames."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from h2.errors import ErrorCodes

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.downstream.http2_head import NAMES, request_head
from pyproxy.downstream.tracker import Tracker
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.exchange import Exchange
from pyproxy.proxy.timed_exchange import open_exchange
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.wire.http2 import HIGHEST_STREAM, MAX_STREAMS, Session
from pyproxy.wire.http2_fields import BadHead, read_trailers
from pyproxy.wire.http2_tunnel import StreamTransport

if TYPE_CHECKING:
    from pyproxy.proxy.attempt import Attempt

DELAYED_CLOSE: Final = 1.0
"""Seconds that a client has to read why its connection ends."""
DRAIN_GRACE: Final = 1.0
"""Seconds between the GOAWAY that announces and the one that counts, if the client does not answer a ping sooner."""
CLOSING_PATIENCE: Final = 30.0
"""Seconds that a client may read nothing of what is left for it."""
_RESETS_LOOKED_AT: Final = 500
"""Of so many streams, or of all when there were more, half may be reset at once (Envoy premature resets)."""
_PREMATURE: Final = 1.0
"""Seconds within which a reset is premature."""
_STATUSES: Final = {code: b"%d" % code for code in range(100, 600)}
_SWITCHED: Final = frozenset({b"upgrade", b"connection"})


class ServerStream(ClientStream):
    """One request of a connection and its response."""

    def __init__(self, server: Http2Server, identifier: int) -> None:
        self.server = server
        self.identifier = identifier
        self.exchange: Exchange = None  # type: ignore[assignment]  # set before any use
        self.whole = False
        """The request is."""
        self.tunnel: StreamTransport | None = None
        self._unread: list[bytes] = []
        """Of an extended CONNECT that is not answered yet."""
        self._paused = False
        self._held = 0
        """Bytes that came while paused: not acknowledged, so that the client's window closes."""

    # What an exchange may ask (ClientStream)

    def send_informational(self, head: ResponseHead) -> None:
        self.server.send_informational(self.identifier, _lines(head))

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        self.server.head_goes_out(close=close)
        if head.status == 101:  # of an extended CONNECT: RFC 8441
            headers = [line for line in head.headers if line[0] not in _SWITCHED]
            head = ResponseHead(200, headers)
        return self.server.send_head(self.identifier, _lines(head), end=end)

    def send_body(self, chunk: bytes) -> None:
        self.server.send_data(self.identifier, chunk, end=False)

    def send_end(self) -> None:
        self.server.send_data(self.identifier, b"", end=True)

    def send_trailers(self, trailers: Headers) -> None:
        self.server.send_trailers(self.identifier, trailers)

    def flush(self) -> None:
        pass  # the session writes once for all streams

    def abort(self) -> None:
        self.server.connection.stats.downstream_rq_tx_reset += 1
        self.server.reset(self.identifier, ErrorCodes.INTERNAL_ERROR)

    def pause_request(self) -> None:
        self._paused = True

    def resume_request(self) -> None:
        self._paused = False
        held, self._held = self._held, 0
        self.server.acknowledge(self.identifier, held)

    def switch_to_tunnel(self, attempt: Attempt, rest: bytes) -> None:
        connection = attempt.connection
        assert connection is not None
        self.tunnel = client = StreamTransport(self.server, self.identifier)
        early = b"".join(self._unread)
        self._unread.clear()
        self.exchange.ctx.bytes_received -= len(early)  # the tunnel counts them
        tunnel = Tunnel(client, connection.transport, self._tunnel_ended)
        self._tunnel = tunnel
        self.exchange.tunnel_opened(tunnel)
        tunnel.start(from_client=early, from_upstream=rest)
        self.resume_request()
        if self.whole:
            client.ended()

    def exchange_finished(self) -> None:
        self.server.finished(self)

    # From the server

    def on_data(self, data: bytes, size: int) -> None:
        """Part of the request's body."""
        server = self.server
        if self.tunnel is not None:
            self.tunnel.received(data, size)
            return
        if self.exchange.upgrade:
            self._paused = True
            self._unread.append(data)
            self.exchange.on_early_bytes(len(data))
        elif data:
            self.exchange.on_body(data)
        if self._paused:
            self._held += size
        else:
            server.acknowledge(self.identifier, size)

    def on_end(self) -> None:
        """The request is whole."""
        self.whole = True
        if self.tunnel is not None:
            self.tunnel.ended()
        elif not self.exchange.upgrade:
            self.exchange.on_request_end()

    def on_writable(self, writable: bool) -> None:
        """The client reads slower, or again."""
        if self.tunnel is not None:
            self.tunnel.writable(writable)
        else:
            self.exchange.on_client_writable(writable)

    def on_gone(self, flag: str, details: str) -> None:
        """The client wants no more of it."""
        if self.tunnel is not None:
            self.tunnel.lost()
        else:
            self.exchange.on_client_gone(flag=flag, details=details)

    def _tunnel_ended(self, received: int, sent: int) -> None:
        tunnel = self._tunnel
        self.exchange.tunnel_closed(received, sent, by_client=tunnel.ended_by is tunnel.client)


class Http2Server(Session):
    """One client connection: an asyncio.Protocol in all but its base."""

    def __init__(self, env: Environment, connection: ClientConnection, tracker: Tracker) -> None:
        super().__init__(env.http2_stats, client=False)
        self._env = env
        self.connection = connection
        self._tracker = tracker
        self.deadline = 0.0
        self.idle_since = 0.0
        self._left = -1
        self._streams: dict[int, ServerStream] = {}
        self._uploading: list[Exchange] = []
        """Exchanges that this read told something."""
        self._last = HIGHEST_STREAM
        """The last stream that will be served."""
        self._grace: asyncio.TimerHandle | None = None
        self._drains = False
        self._ended = 0
        self._resets = 0

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stats = self.connection.stats
        stats.downstream_cx_total += 1
        stats.downstream_cx_active += 1
        stats.downstream_cx_http2_total += 1
        stats.downstream_cx_http2_active += 1
        self._tracker.add(self)
        self.idle_since = self._env.clock.monotonic()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.connection.stats.downstream_cx_rx_bytes_total += len(data)
        super().data_received(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost()
        stats = self.connection.stats
        stats.downstream_cx_active -= 1
        stats.downstream_cx_http2_active -= 1
        self._tracker.remove(self)
        self._all_gone("DC", "downstream_remote_disconnect")
        if self._grace is not None:
            self._grace.cancel()

    # From the session

    def head_received(self, stream: int, lines: Headers, *, end: bool) -> None:
        stats = self.connection.stats
        if stream > self._last or self.frames.count > MAX_STREAMS:
            self.reset(stream, ErrorCodes.REFUSED_STREAM)
            return
        stats.downstream_rq_total += 1
        stats.downstream_rq_http2_total += 1
        stats.downstream_rq_active += 1
        try:
            head, size = request_head(lines, self.connection.settings, secure=self.connection.tls is not None)
        except BadHead as error:
            self._refuse(stream, error)
            return
        one = ServerStream(self, stream)
        exchange = self._start(one, head)
        exchange.ctx.request_header_bytes = size
        if end:
            one.whole = True
        else:
            exchange.reading = True
            self._uploading.append(exchange)
        exchange.start(end=end and not exchange_is_upgrade(head))

    def data_came(self, stream: int, data: bytes, size: int, *, end: bool) -> None:
        one = self._streams.get(stream)
        if one is None:
            self.acknowledge(stream, size)
            return
        exchange = one.exchange
        if not exchange.reading:
            exchange.reading = True
            self._uploading.append(exchange)
        if end:
            one.whole = True
        one.on_data(data, size)
        if end and stream in self._streams:  # the data may have ended the exchange
            one.on_end()

    def trailers_received(self, stream: int, lines: Headers) -> None:
        self.codec_stats.trailers += 1
        one = self._streams.get(stream)
        if one is None:
            return
        settings = self.connection.settings
        try:
            trailers = read_trailers(lines, NAMES, settings.max_headers, settings.max_request_headers_kb * 1024)
        except BadHead as error:
            self.codec_stats.count_refused(error.details)
            if error.only_stream:
                one.on_gone("DR", error.details)
                self.reset(stream, ErrorCodes.INTERNAL_ERROR)
            else:
                self.fail(ErrorCodes.PROTOCOL_ERROR, error.details)
            return
        if trailers:
            one.exchange.on_request_trailers(trailers)
        one.on_end()

    def reset_received(self, stream: int, code: int) -> None:
        one = self._streams.get(stream)
        if one is None:
            return
        self.connection.stats.downstream_rq_rx_reset += 1
        started = one.exchange.ctx.started
        refused = code == ErrorCodes.REFUSED_STREAM
        one.on_gone("DR", "http2.remote_refuse" if refused else "http2.remote_reset")
        if self._env.clock.monotonic() - started < _PREMATURE:
            self._resets += 1
            if self._resets * 2 >= max(self._ended, _RESETS_LOOKED_AT):
                self.fail(ErrorCodes.ENHANCE_YOUR_CALM, "too_many_premature_resets")

    def length_broken(self, stream: int) -> None:
        one = self._streams.get(stream)
        if one is not None:
            one.whole = True
            one.on_gone("DPE", "http2.remote_reset")

    def stream_writable(self, stream: int, writable: bool) -> None:
        one = self._streams.get(stream)
        if one is not None:
            one.on_writable(writable)

    def all_sent(self, stream: int) -> None:
        self._close_when_done()

    def pong_received(self) -> None:
        if self._grace is not None:
            self._end_grace()

    def read_ended(self) -> None:
        if self.in_block:
            self.deadline = self.deadline or self._tracker.head_deadline(self.connection.settings)
        elif self.deadline:
            self.deadline = 0.0
        uploading = self._uploading
        if uploading:
            for exchange in uploading:
                exchange.on_read_end()
            uploading.clear()

    def failed(self, details: str) -> None:
        self.connection.stats.downstream_cx_protocol_error += 1
        self._all_gone("DPE", details)
        self._close()

    # From its streams

    def head_goes_out(self, *, close: bool) -> None:
        """Before a response: who is to leave is told so first, as Envoy does."""
        if self._env.draining or self._tracker.draining:
            self.drain()

    def finished(self, one: ServerStream) -> None:
        """An exchange is over; what it sent may still wait for the client."""
        stream = one.identifier
        self._streams.pop(stream, None)
        self._ended += 1
        if not one.whole and not self.closing:
            self.reset_when_sent(stream, ErrorCodes.NO_ERROR)
        if self._outboxes and stream in self._outboxes:
            self._limit_flush(stream)
        if not self._streams:
            self.idle_since = one.exchange.ctx.response_body_ended
            self._close_when_done()
        one.exchange = None  # type: ignore[assignment]  # nobody asks any more; else each would wait for the collector

    # From the tracker

    @property
    def busy(self) -> bool:
        """A request is being served, or its response read."""
        return bool(self._streams or self._outboxes)

    def on_slow_head(self) -> None:
        """A head takes too long: the connection ends."""
        self.fail(ErrorCodes.PROTOCOL_ERROR, "request_header_timeout")

    def on_still_closing(self, now: float) -> None:
        """Closed, but for what the client has still to read: cut it when it reads nothing for long."""
        left = self.transport.get_write_buffer_size()
        if left != self._left:
            self._left = left
            self.deadline = now + CLOSING_PATIENCE
        elif self.deadline <= now:
            self.transport.abort()

    def on_idle(self) -> None:
        """No request for too long."""
        self.connection.stats.downstream_cx_idle_timeout += 1
        self.drain()

    def drain(self) -> None:
        """Take no new streams, in two steps: what the client sends before it knows is still served. RFC 9113 6.8."""
        if self._drains or self.closing:
            return
        self._drains = True
        self.send_goaway(HIGHEST_STREAM)
        self.ping()
        self.write_out()
        self._grace = asyncio.get_running_loop().call_later(DRAIN_GRACE, self._end_grace)

    # For itself

    def _start(self, one: ServerStream, head: RequestHead) -> Exchange:
        one.exchange = exchange = open_exchange(self._env, self.connection, one, head)
        exchange.ctx.protocol = "HTTP/2"
        self._streams[one.identifier] = one
        return exchange

    def _limit_flush(self, stream: int) -> None:
        """A response that is whole, but for the client's windows, has so long; no window begins the time anew.

        Source: Envoy http/codec_helper.h, createPendingFlushTimer.
        """
        limit = self.connection.settings.stream_idle_timeout
        if limit:
            asyncio.get_running_loop().call_later(limit, self._cut_flush, stream)

    def _cut_flush(self, stream: int) -> None:
        if stream in self._outboxes and not self.closing:
            self.codec_stats.tx_flush_timeout += 1
            self.reset(stream, ErrorCodes.INTERNAL_ERROR)
            self._close_when_done()

    def _refuse(self, stream: int, error: BadHead) -> None:
        """A head that cannot be served is logged, and not answered. Source: Envoy http2/codec_impl.cc."""
        self.codec_stats.count_refused(error.details)
        one = ServerStream(self, stream)
        one.whole = True
        exchange = self._start(one, RequestHead(b"", b"", b"", []))
        if error.only_stream:
            exchange.on_client_gone(flag="DR", details=error.details)
            self.reset(stream, ErrorCodes.INTERNAL_ERROR)
        else:
            self.fail(ErrorCodes.PROTOCOL_ERROR, error.details)

    def _all_gone(self, flag: str, details: str) -> None:
        for one in list(self._streams.values()):
            one.on_gone(flag, details)
        self._streams.clear()
        self._uploading.clear()

    def _end_grace(self) -> None:
        if self._grace is None:
            return
        self._grace.cancel()
        self._grace = None
        self._last = self.engine.highest_inbound_stream_id
        self.send_goaway(self._last)
        self._close_when_done()

    def _close_when_done(self) -> None:
        if self._drains and self._grace is None and not self.closing and not self._streams and not self._outboxes:
            self.closing = True
            self._close()

    def _close(self) -> None:
        """Close; a client that still sends gets a second to read the GOAWAY before a reset could destroy it."""
        self.write_out()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(DELAYED_CLOSE, self.transport.close)


def exchange_is_upgrade(head: RequestHead) -> bool:
    """Whether the request's bytes are a tunnel's."""
    return b":upgrade" in head.notable


def _lines(head: ResponseHead) -> Headers:
    return [(b":status", _STATUSES.get(head.status) or b"%d" % head.status), *head.headers]
