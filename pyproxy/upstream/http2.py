"""Client side of HTTP/2: one connection to one host, many requests at a time, each a stream of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from h2.errors import ErrorCodes

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.core.tls import Peer
from pyproxy.upstream.http1 import FATES, MAX_HEAD_BYTES, MAX_HEADERS
from pyproxy.upstream.stream import RequestStream, ResponseHandler
from pyproxy.wire.http2 import HIGHEST_STREAM, MAX_STREAMS, Session
from pyproxy.wire.http2_fields import BAD_MESSAGE, TOO_LARGE, TOO_MANY, BadHead, FieldNames, bad_value, read_trailers
from pyproxy.wire.http2_tunnel import StreamTransport
from pyproxy.wire.websocket import ACCEPT, KEY, accept_of, value_of

if TYPE_CHECKING:
    from pyproxy.upstream.http2_pool import Http2Pool

_NAMES: Final = FieldNames(FATES)
_known: Final = _NAMES.known
_KEEP, _DROP = 1, 2
_MOST_BLOCKS: Final = 4096
_blocks: Final[dict[bytes, Headers]] = {}
"""Ready-made header lines of HTTP/1.1 → the same as fields: the same few come with every request."""
_OUTCOMES: Final[dict[int, Outcome]] = {
    ErrorCodes.REFUSED_STREAM: Outcome.REMOTE_REFUSED_STREAM,
    ErrorCodes.PROTOCOL_ERROR: Outcome.PROTOCOL_ERROR,
    ErrorCodes.CONNECT_ERROR: Outcome.REMOTE_CONNECT_ERROR,
}
"""What an upstream's reset is, by its code."""
_NO_TRAILERS: Final[Headers] = []


class Http2Stream(RequestStream):
    """One request on a connection and its response."""

    protocol = "HTTP/2"
    usable = True
    requests = 0  # a stream is never an old one

    def __init__(self, client: Http2Client) -> None:
        self.client = client
        self.client_counts = True
        """The connection counts it among those that it carries."""
        self.identifier = 0
        self.local_address = client.local_address
        self.peer = client.peer
        self._handler: ResponseHandler | None = None
        self._head_request = False
        self._upgrade = b""
        self._key = b""
        """WebSocket's, of a client that waits for the answer to it."""
        self._last = b""
        """The last chunk of the body, held back for the end to ride on."""
        self._ended = False
        """The request is."""
        self._head_done = False
        self._paused = False
        self._held = 0
        """Bytes that came while paused: not acknowledged, so that the upstream's window closes."""
        self._tunnel: StreamTransport | None = None

    # What an attempt may ask (RequestStream)

    def begin(self, handler: ResponseHandler, *, head_request: bool, upgrade: bytes) -> None:
        self._handler = handler
        self._head_request = head_request
        self._upgrade = upgrade

    def send_head(self, head: RequestHead, extra: bytes, *, body: bool, sized: bool) -> None:
        method = head.method
        lines: Headers = [
            (b":method", method if not self._upgrade else b"CONNECT"),
            (b":scheme", head.scheme),
            (b":authority", head.authority),
            (b":path", head.target),
        ]
        if self._upgrade:
            lines.append((b":protocol", self._upgrade))
            if b":protocol" not in head.notable:  # the client's handshake is HTTP/1.1's
                self._key = value_of(head.headers, KEY)
        lines += head.headers
        lines += fields_of(extra)
        if not body and not self._upgrade:
            self._ended = True
        self.client.begin_stream(self, lines, end=self._ended)

    def send_body(self, chunk: bytes) -> None:
        if self._last:
            self.client.send_data(self.identifier, self._last, end=False)
        self._last = chunk

    def send_end(self, trailers: Headers | None) -> None:
        if self._ended or self._upgrade:
            return
        self._ended = True
        last, self._last = self._last, b""
        if not trailers:
            self.client.send_data(self.identifier, last, end=True)
            return
        if last:
            self.client.send_data(self.identifier, last, end=False)
        self.client.send_trailers(self.identifier, trailers)

    def flush(self) -> None:
        if self._last:
            last, self._last = self._last, b""
            self.client.send_data(self.identifier, last, end=False)

    def abandon(self) -> None:
        self._handler = None
        self.client.stats.upstream_rq_tx_reset += 1
        self.client.reset(self.identifier, ErrorCodes.INTERNAL_ERROR)
        self.client.stream_over(self)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        held, self._held = self._held, 0
        self.client.acknowledge(self.identifier, held)

    def tunnel_closed(self) -> None:
        self.client.stream_over(self)

    # From the connection

    def on_head(self, lines: Headers, *, end: bool) -> None:
        """A 1xx or the head. Raises BadHead."""
        handler = self._handler
        if handler is None:
            return
        head = response_head(lines)
        if head.status < 200:
            if end or head.status == 101:
                raise BadHead(BAD_MESSAGE)
            handler.on_informational(head)
            return
        self._head_done = True
        if self._upgrade and 200 <= head.status < 300 and not end:
            self._on_upgraded(handler, head)
            return
        if end or self._head_request or head.status == 204 or head.status == 304:
            self._over(early=not end)
            handler.on_head(head, end=True)
        else:
            handler.on_head(head, end=False)

    def on_data(self, data: bytes, size: int) -> None:
        """Part of the response's body."""
        if self._tunnel is not None:
            self._tunnel.received(data, size)
            return
        if data and self._handler is not None:
            self._handler.on_body(data)
        if self._paused:
            self._held += size
        else:
            self.client.acknowledge(self.identifier, size)

    def on_end(self, trailers: Headers) -> None:
        """The response is whole."""
        if self._tunnel is not None:
            self._tunnel.ended()
            return
        handler = self._handler
        self._over(early=False)
        if handler is not None:
            if trailers:
                handler.on_trailers(trailers)
            else:
                handler.on_end()

    def on_read_end(self) -> None:
        """All that came with one read was told."""
        if self._handler is not None:
            self._handler.on_read_end()

    def on_writable(self, writable: bool) -> None:
        """The upstream reads slower, or again."""
        if self._tunnel is not None:
            self._tunnel.writable(writable)
        elif self._handler is not None:
            self._handler.on_writable(writable)

    def on_reset(self, outcome: Outcome) -> None:
        """There is no more of it."""
        handler, self._handler = self._handler, None
        if self._tunnel is not None:
            self._tunnel.lost()
        elif handler is not None:
            self._count_reset(outcome)
            self.client.stream_over(self)
            handler.on_reset(outcome, "")

    # For itself

    def _count_reset(self, outcome: Outcome) -> None:
        """As Envoy's multiplexed_active_client_base.cc; a reset by the host is counted with the attempt."""
        stats = self.client.stats
        if outcome is Outcome.CONNECTION_TERMINATION:
            stats.upstream_rq_pending_failure_eject += 1
        elif outcome is Outcome.PROTOCOL_ERROR:
            stats.upstream_rq_tx_reset += 1

    def _over(self, *, early: bool) -> None:
        """Nothing more of the response; what the upstream has not read of the request it need not."""
        self._handler = None
        if not self._ended:
            self.client.stats.upstream_rq_tx_reset += 1
        if early or not self._ended:
            self.client.reset(self.identifier, ErrorCodes.INTERNAL_ERROR)
        self.client.stream_over(self)

    def _on_upgraded(self, handler: ResponseHandler, head: ResponseHead) -> None:
        self._handler = None
        self.transport = self._tunnel = StreamTransport(self.client, self.identifier)
        switched = ResponseHead(101, head.headers, head.notable)
        switched.notable[b"upgrade"] = self._upgrade
        if self._key and not value_of(head.headers, ACCEPT):
            switched.headers.append((ACCEPT, accept_of(self._key)))
        handler.on_upgraded(switched, b"")


class Http2Client(Session):
    """One upstream connection: an asyncio.Protocol in all but its base."""

    def __init__(self, pool: Http2Pool, max_streams: int = MAX_STREAMS) -> None:
        super().__init__(pool.host.cluster.http2_stats(), client=True)
        self.pool = pool
        self.peer: Peer | None = None
        self.local_address = ""
        self.requests = 0
        self.idle_since = 0.0
        self.expiry: asyncio.TimerHandle | None = None
        self.usable = True
        self.listed = False
        """The pool has it among those with room."""
        self.closed_here = False
        self.cut = False
        """It ends with requests under way."""
        self.streams: dict[int, Http2Stream] = {}
        self._configured = max_streams
        self._ping: asyncio.TimerHandle | None = None
        """The next ping, or the end when the last is not answered."""
        self.capacity = min(max_streams, pool.learned)
        """Streams that it may carry at once."""
        self._lent = 0
        """Streams lent, begun or not."""
        self._next = 1
        self._reading: list[Http2Stream] = []
        self.stats = pool.host.cluster.stats

    @property
    def room(self) -> bool:
        """It takes another stream."""
        return self.usable and self._lent < self.capacity

    @property
    def idle(self) -> bool:
        """It carries none."""
        return not self._lent

    # What the pool may ask

    def lend(self) -> Http2Stream:
        """A new stream."""
        self._lent += 1
        self.requests += 1
        return Http2Stream(self)

    def close(self) -> None:
        """Close a connection that carries nothing."""
        self.usable = False
        if not self.transport.is_closing():  # the other side may have been first
            self.closed_here = True
            self.send_goaway(0)
            self.transport.close()

    # From its streams

    def begin_stream(self, stream: Http2Stream, lines: Headers, *, end: bool) -> None:
        """Send a request's head."""
        stream.identifier = identifier = self._next
        self._next += 2
        if self._next > HIGHEST_STREAM:
            self.usable = False
        self.streams[identifier] = stream
        self.send_request(identifier, lines, end=end)

    def stream_over(self, stream: Http2Stream) -> None:
        """A stream carries nothing any more."""
        if stream.client_counts:
            stream.client_counts = False
            stream.resume_reading()  # nobody will ask for what was held back; the connection's window must not shrink
            self._lent -= 1
            self.streams.pop(stream.identifier, None)
            self.pool.released(self)

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = transport.get_extra_info("sockname")
        if isinstance(own, tuple):
            self.local_address = f"[{own[0]}]:{own[1]}" if ":" in own[0] else f"{own[0]}:{own[1]}"
        super().connection_made(transport)
        self._ping_later()
        self.pool.opened(self)

    def data_received(self, data: bytes) -> None:
        self.stats.upstream_cx_rx_bytes_total += len(data)
        super().data_received(data)

    def eof_received(self) -> bool:
        self.usable = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self.lost()
        if self._ping is not None:
            self._ping.cancel()
        self._end_all(Outcome.CONNECTION_TERMINATION)
        self.pool.lost(self)

    # From the session

    def head_received(self, stream: int, lines: Headers, *, end: bool) -> None:
        one = self.streams.get(stream)
        if one is None:
            return
        self._note_reading(one)
        try:
            one.on_head(lines, end=end)
        except BadHead as error:
            self._refuse(one, error)

    def data_came(self, stream: int, data: bytes, size: int, *, end: bool) -> None:
        one = self.streams.get(stream)
        if one is None:
            self.acknowledge(stream, size)
            return
        self._note_reading(one)
        one.on_data(data, size)
        if end:
            one.on_end(_NO_TRAILERS)

    def trailers_received(self, stream: int, lines: Headers) -> None:
        one = self.streams.get(stream)
        if one is None:
            return
        try:
            trailers = read_trailers(lines, _NAMES, MAX_HEADERS, MAX_HEAD_BYTES)
        except BadHead as error:
            self._refuse(one, error)
            return
        one.on_end(trailers)

    def reset_received(self, stream: int, code: int) -> None:
        one = self.streams.get(stream)
        if one is not None:
            one.on_reset(_OUTCOMES.get(code, Outcome.REMOTE_RESET))

    def length_broken(self, stream: int) -> None:
        one = self.streams.get(stream)
        if one is not None:
            one.on_reset(Outcome.PROTOCOL_ERROR)

    def stream_writable(self, stream: int, writable: bool) -> None:
        one = self.streams.get(stream)
        if one is not None:
            one.on_writable(writable)

    def goaway_received(self, last: int, code: int) -> None:
        self.stats.upstream_cx_close_notify += 1
        self.usable = False
        for stream in [each for each in self.streams if each > last]:
            self.streams[stream].on_reset(Outcome.REMOTE_REFUSED_STREAM)
        self.pool.discard(self)

    def settings_changed(self) -> None:
        self.pool.learned = self.engine.remote_settings.max_concurrent_streams
        self.capacity = min(self._configured, self.pool.learned)
        self.pool.has_room(self)

    def pong_received(self) -> None:
        self._ping_later()

    def read_ended(self) -> None:
        reading = self._reading
        if reading:
            for stream in reading:
                stream.on_read_end()
            reading.clear()

    def failed(self, details: str) -> None:
        self.stats.upstream_cx_protocol_error += 1
        self.usable = False
        self.closed_here = True
        self._end_all(Outcome.PROTOCOL_ERROR)
        self.transport.close()

    # For itself

    def _ping_later(self) -> None:
        """After the last sign of life (DestinationRule http2KeepAlive, Envoy connection_keepalive)."""
        interval = self.pool.host.cluster.cluster.connection.ping_interval
        if self._ping is not None:
            self._ping.cancel()
        if interval:
            self._ping = asyncio.get_running_loop().call_later(interval, self._ping_now)

    def _ping_now(self) -> None:
        self.ping()
        timeout = self.pool.host.cluster.cluster.connection.ping_timeout
        self._ping = asyncio.get_running_loop().call_later(timeout, self._on_silence)

    def _on_silence(self) -> None:
        self.codec_stats.keepalive_timeout += 1
        self.usable = False
        self.closed_here = True
        self.transport.abort()

    def _note_reading(self, stream: Http2Stream) -> None:
        reading = self._reading
        if not reading or reading[-1] is not stream:
            reading.append(stream)

    def _refuse(self, stream: Http2Stream, error: BadHead) -> None:
        """A response that may not be forwarded."""
        self.codec_stats.count_refused(error.details)
        if error.only_stream:
            self.reset(stream.identifier, ErrorCodes.INTERNAL_ERROR)
            stream.on_reset(Outcome.REMOTE_RESET)  # so Envoy calls it
        else:
            self.fail(ErrorCodes.PROTOCOL_ERROR, error.details)

    def _end_all(self, outcome: Outcome) -> None:
        self.cut = self.cut or bool(self.streams)
        for stream in list(self.streams.values()):
            stream.on_reset(outcome)


def response_head(lines: Headers) -> ResponseHead:
    """Fields of a response to its head. Raises BadHead."""
    if len(lines) > MAX_HEADERS:
        raise BadHead(TOO_MANY, only_stream=True)
    status = 0
    headers: Headers = []
    notable: dict[bytes, bytes] = {}
    size = 0
    for name, value in lines:
        size += len(name) + len(value)
        if name[:1] == b":":
            if name != b":status" or status or headers or notable or len(value) != 3 or not value.isdigit():
                raise BadHead(BAD_MESSAGE)
            status = int(value)
            continue
        fate = (_known.get(name) or _NAMES.learn(name))[1]
        if bad_value(value):
            raise BadHead(BAD_MESSAGE)
        if fate:
            notable.setdefault(name, value)
            if fate == _DROP:
                continue
        headers.append((name, value))
    if status < 100:
        raise BadHead(BAD_MESSAGE)
    if size > MAX_HEAD_BYTES:
        raise BadHead(TOO_LARGE, only_stream=True)
    return ResponseHead(status, headers, notable)


def fields_of(block: bytes) -> Headers:
    """Header lines, each with its CRLF, to fields."""
    found = _blocks.get(block)
    if found is None:
        found = []
        for line in block.split(b"\r\n")[:-1]:
            name, _, value = line.partition(b": ")
            found.append((name, value))
        if len(_blocks) >= _MOST_BLOCKS:
            _blocks.clear()
        _blocks[block] = found
    return found
