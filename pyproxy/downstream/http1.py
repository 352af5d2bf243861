"""Server side of HTTP/1.1: bytes of one client to exchanges, and their responses to bytes. Parsed by httptools.

Requests on a connection are served one at a time, in order; what a client pipelines waits, unread past what came
with one read. What is ambiguous is answered with 400 and a close, and never reaches an upstream.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import termios
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import httptools

from pyproxy.core.errors import ClientError
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.downstream.closing import reset
from pyproxy.downstream.tracker import Tracker
from pyproxy.proxy import replies
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.exchange import Exchange
from pyproxy.proxy.headers import DROP, HOST, REQUEST_FATES, TRACE
from pyproxy.proxy.timed_exchange import open_exchange
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.wire.http1 import HTTP2_PREFACE, LAST_CHUNK, encode_chunk, encode_response
from pyproxy.wire.names import FORWARD, NameTable

if TYPE_CHECKING:
    from pyproxy.downstream.connect import ConnectHandler
    from pyproxy.proxy.attempt import Attempt

DELAYED_CLOSE: Final = 1.0
"""Seconds that a client has to read a final response before the connection is cut (Envoy delayed_close_timeout)."""
CLOSING_PATIENCE: Final = 30.0
"""Seconds that a client may read nothing of what is left of a connection's last response."""
MAX_EARLY: Final = 64 * 1024
"""Bytes taken of a client that asked for an upgrade before it is answered."""
MAX_CONNECTION_TOKENS: Final = 9
_HEAD_FRAMING: Final = (b"", b"transfer-encoding: chunked\r\n")
"""By minor version: what HEAD is told of a body of unknown length, or of none. As Envoy does."""
_REJECTED_NOMINATIONS: Final = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"})
METHODS: Final = frozenset(
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY OPTIONS "
    b"PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK "
    b"UNSUBSCRIBE".split()
)
"""What Envoy takes for a method; llhttp knows more, of RTSP and others."""
_AUTHORITY: Final = re.compile(rb"(?:\[[^\[\]@/?#\\]+\]|[^\[\]:@/?#\\]+)(?::(\d{1,5}))?(?=[/?]|\Z)")
_NAMED_ERRORS: Final = {
    "Invalid HTTP version": (426, "low_version"),
    "Invalid header value char": (400, "http1.invalid_characters"),
    "Invalid `Transfer-Encoding` header value": (501, "http1.invalid_transfer_encoding"),
    "Empty Transfer-Encoding": (501, "http1.invalid_transfer_encoding"),
    "Transfer-Encoding can't be present with Content-Length": (400, "http1.content_length_and_chunked_not_allowed"),
    "Content-Length can't be present with Transfer-Encoding": (400, "http1.content_length_and_chunked_not_allowed"),
}
"""llhttp's words for a broken head → status and details where Envoy has others than 400 and codec_error."""
_names: Final = NameTable(REQUEST_FATES)
_known: Final = _names.known
_log: Final = logging.getLogger("pyproxy.downstream")


class Queued:
    """A request that waits for the one before it."""

    __slots__ = ("body", "ended", "head", "size")

    def __init__(self, head: RequestHead, size: int) -> None:
        self.head = head
        self.size = size
        self.body: list[bytes] = []
        self.ended = False


class Http1Server(ClientStream):
    """One client connection: an asyncio.Protocol in all but its base, which a compiled class cannot have."""

    def __init__(
        self,
        env: Environment,
        connection: ClientConnection,
        tracker: Tracker,
        connect: ConnectHandler | None = None,
    ) -> None:
        # Connection
        self._env = env
        self.connection = connection
        self._tracker = tracker
        self._connect = connect
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use
        self.deadline = 0.0
        """When the head being read must be whole; 0 is never. Monotonic seconds."""
        self.idle_since = 0.0
        self._closing = False
        self._left = -1
        """Bytes that a client had still to read of a closing connection when it was looked at last."""
        self._first = True
        """Whether it is HTTP/1.1 at all is not known yet."""
        self._preface = b""
        """Of HTTP/2, as far as it came."""
        # Request being read
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        """As far as it came; empty but within a head."""
        self._headers: Headers = []
        self._notable: dict[bytes, bytes] = {}
        self._carries_trace = False
        self._head_complete = False
        self._bytes = 0
        """Read since the head, or the last piece of the body, began: no head and no trailers may be so long."""
        # Exchange under way
        self._exchange: Exchange | None = None
        self._writable = True
        """The client reads what it is sent; else what it asks for has to wait."""
        self._queue: deque[Queued] = deque()
        self._keep_alive = True
        self._minor = 1
        self._method = b""
        self._chunked = False
        self._until_close = False
        """The end of the connection is the end of the response: it must not come when the response is not whole."""
        self._out: list[bytes] = []
        self._request_paused = False
        self._unparsed = b""
        """Header lines that frame what the parser gives back unparsed, because the request asks for an upgrade."""
        self._stopped: memoryview | None = None
        """What the parser gave back behind a request that waits for the one before it."""
        self._broken: ClientError | None = None
        """What comes after the requests in the queue cannot be served."""
        self.tunnel: Tunnel | None = None
        """What this connection became."""
        self._early = b""
        """Bytes that came after an upgrade request, before its answer."""

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        stats = self.connection.stats
        stats.downstream_cx_total += 1
        stats.downstream_cx_active += 1
        self._tracker.add(self)
        self.idle_since = self._env.clock.monotonic()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._first:
            data = self._take_first(data)
            if not data:
                return
        self.connection.stats.downstream_cx_rx_bytes_total += len(data)
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._on_upgrade(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._on_parser_error(error)
            return
        exchange = self._exchange
        if exchange is not None:
            exchange.on_read_end()
        if self._bytes or self._url:
            self._on_partial_read(data)

    def eof_received(self) -> bool:
        # Envoy does not serve a half-closed client: an end of input is the client leaving.
        self._client_gone()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._client_gone()
        self._parser = cast(Any, None)  # which holds us: a connection is to be freed now, not by the collector
        self.connection.stats.downstream_cx_active -= 1
        self._tracker.remove(self)

    def pause_writing(self) -> None:
        self._writable = False
        if self._exchange is not None:
            self._exchange.on_client_writable(False)

    def resume_writing(self) -> None:
        self._writable = True
        if self._exchange is not None:
            self._exchange.on_client_writable(True)
        else:
            self._start_queued()

    # Parser callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:  # a trailer: dropped, as Envoy does unless told otherwise
            return
        lower, fate = _known.get(name) or _names.learn(name)
        if fate == FORWARD:
            self._headers.append((lower, value.strip()))
        else:
            self._note(lower, value.strip(), fate)

    def on_headers_complete(self) -> None:
        if self._head_complete or self._closing:
            # Our own head before a body that an upgrade left unparsed; or a request behind the last one.
            self._head_complete = True
            return
        self._head_complete = True
        self.deadline = 0.0
        notable = self._notable
        keep_alive = self._parser.should_keep_alive()
        method: bytes = self._parser.get_method()
        if method not in METHODS:
            raise ClientError("http1.codec_error")
        # llhttp keeps alive by default from 1.1 on, and formatting the version costs as much as parsing a header.
        minor = 1 if keep_alive and b"connection" not in notable else self._version()
        end = self._is_bodiless(minor)  # before Connection may nominate what frames the message
        stops = b"upgrade" in notable and self._parser.should_upgrade()
        framing = _framing(notable) if stops and not end else b""
        head = self._make_head(method, minor, keep_alive=keep_alive)
        if stops and b":upgrade" in notable:
            end, framing = False, b"\r\n"
        self._unparsed = framing
        size = (end and self._bytes) or head_size(head)
        self._bytes = 0
        self._url, self._headers, self._notable, self._carries_trace = b"", [], {}, False
        if self._exchange is not None or self._queue or not self._writable:
            queued = Queued(head, size)
            queued.ended = end
            self._queue.append(queued)
            self.transport.pause_reading()
            return
        self._start(head, size, end=end)

    def on_body(self, chunk: bytes) -> None:
        self._bytes = 0
        if self._queue:
            self._queue[-1].body.append(chunk)
        elif self._exchange is not None:
            self._exchange.on_body(chunk)

    def on_message_complete(self) -> None:
        if self._unparsed:  # says a parser that stops here, whatever follows
            return
        self._bytes = 0
        self._head_complete = False
        if self._queue:
            self._queue[-1].ended = True
        elif self._exchange is not None:
            self._exchange.on_request_end()

    # What an exchange may ask (ClientStream)

    def send_informational(self, head: ResponseHead) -> None:
        if self._minor:
            self._out.append(encode_response(head, b""))
            self.flush()

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        exchange = self._exchange
        sized = b"content-length" in head.notable
        framing = b""
        self._chunked = False
        if head.status == 101:
            data = encode_response(head, b"")
            self._out.append(data)
            return len(data)
        if end:
            if not sized and head.status != 204 and head.status != 304:
                framing = b"content-length: 0\r\n" if self._method != b"HEAD" else _HEAD_FRAMING[self._minor]
        elif not sized:
            if self._minor:
                self._chunked = True
                framing = b"transfer-encoding: chunked\r\n"
            else:
                self._until_close = True
        if not sized and not self._minor:
            self._keep_alive = False
        whole = exchange is None or exchange.request_ended
        if close or not whole or self._env.draining or self._tracker.draining:
            self._keep_alive = False
        if not self._keep_alive:
            framing += b"connection: close\r\n"
        elif not self._minor:
            framing += b"connection: keep-alive\r\n"
        data = encode_response(head, framing)
        if not self._minor:
            data = b"HTTP/1.0" + data[8:]
        self._out.append(data)
        return len(data)

    def send_body(self, chunk: bytes) -> None:
        self._out.append(encode_chunk(chunk) if self._chunked else chunk)

    def send_end(self) -> None:
        if self._chunked:
            self._out.append(LAST_CHUNK)

    def send_trailers(self, trailers: Headers) -> None:
        self.send_end()  # they are dropped, as Envoy does unless told otherwise

    def flush(self) -> None:
        out = self._out
        if out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def abort(self) -> None:
        self.flush()
        self._closing = True
        if self._until_close:
            reset(self.transport)
        else:
            self.transport.close()

    def pause_request(self) -> None:
        self._request_paused = True
        self.transport.pause_reading()

    def resume_request(self) -> None:
        if self._request_paused:
            self._request_paused = False
            if not self._queue and not self.transport.is_closing():
                self.transport.resume_reading()

    def switch_to_tunnel(self, attempt: Attempt, rest: bytes) -> None:
        exchange = self._exchange
        connection = attempt.connection
        assert exchange is not None and connection is not None
        self.flush()
        self.tunnel = tunnel = Tunnel(self.transport, connection.transport, self.tunnel_ended)
        early, self._early = self._early, b""
        exchange.ctx.bytes_received -= len(early)  # the tunnel counts them
        exchange.tunnel_opened(tunnel)
        tunnel.start(from_client=early, from_upstream=rest)

    def exchange_finished(self) -> None:
        exchange, self._exchange = self._exchange, None
        if self._closing:
            self._out.clear()
            return
        self.flush()
        if not self._keep_alive:
            self._close_after_reply(whole=exchange is None or exchange.request_ended)
        elif self._queue:
            # Not from inside the callbacks of the exchange that just ended.
            asyncio.get_running_loop().call_soon(self._start_queued)
        elif self._broken is not None:
            asyncio.get_running_loop().call_soon(self._refuse, self._broken)
        elif exchange is not None:
            self.idle_since = exchange.ctx.response_body_ended
            if (self._bytes or self._url) and not self._head_complete:  # the next head has begun
                self.deadline = self._tracker.head_deadline(self.connection.settings)

    def send_connect_established(self) -> None:
        """CONNECT: the tunnel is open."""
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")

    def tunnel_ended(self, received: int, sent: int) -> None:
        """Both ways of the tunnel that this connection became are at their end."""
        exchange = self._exchange
        self._closing = True
        self.connection.stats.downstream_cx_active -= 1
        self._tracker.remove(self)
        if exchange is not None:
            by_client = self.tunnel is not None and self.tunnel.ended_by is self.tunnel.client
            exchange.tunnel_closed(received, sent, by_client=by_client)

    # From the tracker

    def on_slow_head(self) -> None:
        """A head takes too long: 408."""
        self.deadline = 0.0
        stats = self.connection.stats
        if self._tracker.ends_as_idle(self.connection.settings):
            stats.downstream_rq_idle_timeout += 1
            self._refuse(ClientError(replies.SLOW_HEAD_IDLE.details, status=408))
        else:
            stats.downstream_rq_header_timeout += 1
            self._refuse(ClientError(replies.SLOW_HEAD.details, status=408))

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
        self._closing = True
        self.transport.close()

    def drain(self) -> None:
        """The process goes away: an idle connection ends now, a busy one with its response."""
        if self._closing:
            return
        self._keep_alive = False
        if self._exchange is None and not self._queue and not (self._bytes or self._url or self._unread):
            self._closing = True
            self.transport.close()

    @property
    def _unread(self) -> bool:
        """Bytes have arrived that the event loop has not given us yet: the connection is idle no more."""
        wrapped = self.transport.get_extra_info("socket")
        return wrapped is not None and any(fcntl.ioctl(wrapped.fileno(), termios.FIONREAD, bytes(4)))

    @property
    def closing(self) -> bool:
        """The last response is written; the client has still to read it."""
        return self._closing

    @property
    def busy(self) -> bool:
        """A request is being served."""
        return self._exchange is not None or bool(self._queue)

    # For itself

    def _take_first(self, data: bytes) -> bytes:
        """A client that begins with the preface of HTTP/2 speaks that; else its bytes are to be parsed."""
        data = self._preface + data
        if not HTTP2_PREFACE.startswith(data[: len(HTTP2_PREFACE)]):
            self._first = False
            return data
        if len(data) < len(HTTP2_PREFACE):
            self._preface = data
            self.deadline = self._tracker.head_deadline(self.connection.settings)
            return b""
        from pyproxy.downstream.http2 import Http2Server  # h2 is for those who have such clients

        self._tracker.remove(self)
        self.connection.stats.downstream_cx_total -= 1
        self.connection.stats.downstream_cx_active -= 1
        server = cast(asyncio.Protocol, Http2Server(self._env, self.connection, self._tracker))
        self.transport.set_protocol(server)
        server.connection_made(self.transport)
        server.data_received(data)
        return b""

    def _note(self, name: bytes, value: bytes, fate: int) -> None:
        """A header that means something to us. Repeated: Host and what frames are refused, trace headers stay two
        lines, others become one line with a comma, as Envoy makes it."""
        notable = self._notable
        if fate == HOST:
            if b":host" in notable:
                raise ClientError("http1.duplicate_host")
            notable[b":host"] = value
            return
        if fate == TRACE:
            self._carries_trace = True
        if name not in notable:
            notable[name] = value
        elif name == b"transfer-encoding":
            raise ClientError("http1.codec_error")
        elif fate != TRACE:
            self._join(name, value, fate)
            return
        if fate != DROP:
            self._headers.append((name, value))

    def _join(self, name: bytes, value: bytes, fate: int) -> None:
        """A line more of a header that was there already."""
        joined = self._notable[name] + b"," + value
        self._notable[name] = joined
        if fate != DROP:
            self._headers = [(name, joined) if line[0] == name else line for line in self._headers]

    def _version(self) -> int:
        """The minor version. Raises ClientError where Envoy answers 426."""
        version = self._parser.get_http_version()
        if version == "1.1":
            return 1
        if version == "1.0" and self.connection.settings.accept_http_10:
            return 0
        raise ClientError("low_version", status=426)

    def _make_head(self, method: bytes, minor: int, *, keep_alive: bool) -> RequestHead:
        notable = self._notable
        settings = self.connection.settings
        if len(self._headers) + len(notable) > settings.max_headers:
            self._check_count()
        if self._bytes > settings.max_request_headers_kb * 1024:
            self._check_size()
        if b"connection" in notable:
            self._apply_connection_header(notable[b"connection"].lower())
        authority = notable.get(b":host", b"")
        target = self._url
        if method == b"CONNECT":
            found = _AUTHORITY.fullmatch(target)
            if found is None or not found[1] or int(found[1]) > 65535:
                raise ClientError("http1.invalid_url")
        elif target[:1] != b"/" and (target != b"*" or method != b"OPTIONS"):
            authority, target = split_absolute(target)
            notable[b":host"] = authority
        return RequestHead(
            method,
            target,
            authority,
            self._headers,
            scheme=b"https" if self.connection.tls else b"http",
            minor_version=minor,
            keep_alive=keep_alive,
            notable=notable,
            carries_trace=self._carries_trace,
        )

    def _is_bodiless(self, minor: int) -> bool:
        """Whether nothing follows the head. Raises ClientError on a framing that we do not speak."""
        notable = self._notable
        coding = notable.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise ClientError("http1.invalid_transfer_encoding", status=501)
            if not minor:
                raise ClientError("http1.codec_error")
            return False
        length = notable.get(b"content-length")
        return length is None or length == b"0"

    def _check_count(self) -> None:
        """There may be more lines than a head may have."""
        if len(self._lines()) > self.connection.settings.max_headers:
            raise ClientError("http1.too_many_headers", status=431)

    def _check_size(self) -> None:
        """What was read is more than a head may have; was it the head?"""
        size = len(self._url) + sum(len(name) + len(value) for name, value in self._lines())
        if size > self.connection.settings.max_request_headers_kb * 1024:
            raise ClientError("http1.headers_too_large", status=431)

    def _lines(self) -> Headers:
        """What arrived, with what was taken off."""
        kept = {name for name, _ in self._headers}
        return [*self._headers, *(line for line in self._notable.items() if line[0] not in kept)]

    def _on_partial_read(self, data: bytes) -> None:
        """A read ended inside a head, or inside trailers: they may not grow for ever, nor a head last for ever."""
        if self._bytes > self.connection.settings.max_request_headers_kb * 1024:
            what = "trailers" if self._head_complete else "headers"
            self._refuse(ClientError(f"http1.{what}_too_large", status=431))
        elif self._head_complete:
            pass
        elif self._bytes == len(data) and not data.strip(b"\r\n"):
            self._bytes = 0  # empty lines begin no request
        elif not self.deadline and self._exchange is None:
            self.deadline = self._tracker.head_deadline(self.connection.settings)

    def _apply_connection_header(self, value: bytes) -> None:
        """Take off what Connection nominates. Source: Envoy http1 codec, RFC 9110 section 7.6.1."""
        if value in (b"keep-alive", b"close"):
            return
        tokens = [token.strip() for token in value.split(b",")]
        if len(tokens) > MAX_CONNECTION_TOKENS:
            raise ClientError("http1.connection_header_rejected")
        named = set(tokens)
        if any(token in _REJECTED_NOMINATIONS or token.startswith(b":") for token in named):
            raise ClientError("http1.connection_header_rejected")
        notable = self._notable
        if b"upgrade" in named and notable.get(b"upgrade", b"h2c").lower() != b"h2c" and self._parser.should_upgrade():
            notable[b":upgrade"] = b"1"
        if b"host" in named:
            notable.pop(b":host", None)
        named -= {b"close", b"keep-alive", b"upgrade", b"te", b"host"}
        if named:
            self._headers = [line for line in self._headers if line[0] not in named]
            for name in named:
                notable.pop(name, None)

    def _start(self, head: RequestHead, size: int, *, end: bool) -> Exchange:
        self._keep_alive = head.keep_alive and not self._closing
        self._minor = head.minor_version
        self._method = head.method
        stats = self.connection.stats
        stats.downstream_rq_total += 1
        stats.downstream_rq_http1_total += 1
        stats.downstream_rq_active += 1
        self._exchange = exchange = open_exchange(self._env, self.connection, self, head)
        exchange.reading = True
        exchange.ctx.request_header_bytes = size
        if not self._minor:
            exchange.ctx.protocol = "HTTP/1.0"
        if self._connect is not None and head.method == b"CONNECT":
            self._keep_alive = False
        else:
            exchange.start(end=end)
        return exchange

    def _start_queued(self) -> None:
        """The next pipelined request."""
        if not self._queue or self._exchange is not None or self._closing or not self._writable:
            return
        queued = self._queue.popleft()
        if not self._queue and not self._request_paused:
            self.transport.resume_reading()
        exchange = self._start(queued.head, queued.size, end=queued.ended and not queued.body)
        for chunk in queued.body:
            exchange.on_body(chunk)
        if queued.ended:
            exchange.on_request_end()
        if self._stopped is not None and not self._queue:
            rest, self._stopped = self._stopped, None
            self._on_upgrade(rest)
        exchange.on_read_end()

    def _client_gone(self) -> None:
        self._closing = True
        self._queue.clear()
        exchange = self._exchange
        if exchange is not None:
            exchange.on_client_gone()

    def _on_upgrade(self, rest: memoryview) -> None:
        """The parser stopped: CONNECT, or a request that wants to switch protocols."""
        while self._is_http_still(rest):
            try:
                self._parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                self._on_parser_error(error)
                return

    def _is_http_still(self, rest: memoryview) -> bool:
        """Whether to parse on. Else the rest is a tunnel's, or nobody's, or waits until that is known."""
        exchange = self._exchange
        if self._closing:
            return False
        if self._queue:
            self._stopped = rest
            self.transport.pause_reading()
            return False
        unparsed, self._unparsed = self._unparsed, b""
        if exchange is not None and exchange.head.method == b"CONNECT" and self._connect is not None:
            self._connect.start(self, exchange, bytes(rest))
            return False
        if exchange is not None and exchange.upgrade:
            self._parser = cast(Any, Held(self))
            self.hold(bytes(rest))
            return False
        self._parser = httptools.HttpRequestParser(self)
        if unparsed:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + unparsed + b"\r\n")
            self._url = b""
        return True

    def hold(self, data: bytes) -> None:
        """Bytes behind an upgrade request that has no answer yet."""
        self._bytes = 0
        self._early += data
        if self._exchange is not None:
            self._exchange.on_early_bytes(len(data))
        if len(self._early) > MAX_EARLY:
            self.transport.pause_reading()

    def _on_parser_error(self, error: httptools.HttpParserError) -> None:
        if self._closing:
            return
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if isinstance(cause, ClientError):
            self._refuse(cause)
        elif cause is not None:
            _log.error("a request callback failed", exc_info=cause)
            self.transport.abort()
        elif not self._keep_alive and not self._head_complete and self._exchange is not None:
            # Bytes after a request that said `connection: close`: nobody will answer them.
            self._bytes += 1  # unread, so that the close is a slow one
            self.transport.pause_reading()
            self._exchange.on_read_end()
        else:
            status, details = (
                (400, "http1.codec_error")
                if self._head_complete
                else _NAMED_ERRORS.get(str(error), (400, "http1.codec_error"))
            )
            self._refuse(ClientError(details, status=status))

    def _refuse(self, error: ClientError) -> None:
        """Answer what cannot be served, and close. Source: Envoy's codec errors."""
        if self._closing:
            return
        exchange = self._exchange
        stats = self.connection.stats
        if self._queue or (exchange is not None and exchange.request_ended):
            # A broken request behind those that are being served: it is answered when its turn comes.
            self._broken = error
            if self._queue and not self._queue[-1].ended:
                self._queue.pop()
            self.transport.pause_reading()
            if exchange is not None:
                exchange.on_read_end()
            return
        if exchange is not None:
            if exchange.response_started:
                exchange.on_client_gone(flag="DPE", details=error.details)
                self.abort()
                return
            self._keep_alive = False
            exchange.reply(_reply_to(error))
            return
        stats.downstream_cx_protocol_error += 1
        stats.downstream_rq_total += 1
        stats.downstream_rq_active += 1
        head = RequestHead(b"", b"", b"", [], keep_alive=False)
        self._keep_alive = False
        self._method = b""
        self._minor = 1
        self._exchange = exchange = Exchange(self._env, self.connection, self, head)
        exchange.request_ended = True
        exchange.reply(_reply_to(error))

    def _close_after_reply(self, *, whole: bool) -> None:
        """Close; a client that still sends gets a second to read the reply before a reset could destroy it."""
        self._closing = True
        if whole and not self._bytes:
            self.transport.close()
            return
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.transport.resume_reading()
        asyncio.get_running_loop().call_later(DELAYED_CLOSE, self.transport.close)


class Held:
    """Stands where the parser was, while it is not known whose the bytes are."""

    def __init__(self, server: Http1Server) -> None:
        self._server = server

    def feed_data(self, data: bytes) -> None:
        """As the parser's."""
        self._server.hold(data)


def _reply_to(error: ClientError) -> replies.Reply:
    if error.status == 408:
        return replies.SLOW_HEAD if error.details == replies.SLOW_HEAD.details else replies.SLOW_HEAD_IDLE
    return replies.codec_error(error.status, error.details)


def _framing(notable: dict[bytes, bytes]) -> bytes:
    """The header line that frames a body."""
    length = notable.get(b"content-length")
    return b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %b\r\n" % length


def head_size(head: RequestHead) -> int:
    """About the bytes of a head, where it came in one read with others."""
    return len(head.method) + len(head.target) + 12 + sum(len(name) + len(value) + 4 for name, value in head.headers)


def split_absolute(url: bytes) -> tuple[bytes, bytes]:
    """Authority and the rest of an absolute-form target. Raises ClientError on another scheme or a bad authority."""
    scheme, separator, rest = url.partition(b"://")
    if not separator:
        raise ClientError("http1.invalid_url")
    if scheme.lower() not in (b"http", b"https"):
        raise ClientError("http1.invalid_scheme")
    found = _AUTHORITY.match(rest)
    if found is None or (found[1] and int(found[1]) > 65535):
        raise ClientError("http1.invalid_url")
    return found[0], rest[found.end() :] or b"/"
