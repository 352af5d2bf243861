"""Client side of HTTP/1.1: one connection to one host, one request at a time, parsed by httptools."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, cast

import httptools

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.upstream.stream import RequestStream, ResponseHandler
from pyproxy.wire.http1 import LAST_CHUNK, encode_chunk, encode_request
from pyproxy.wire.names import NameTable
from pyproxy.wire.websocket import ACCEPT, handshake, value_of

if TYPE_CHECKING:
    from pyproxy.upstream.pool import HostPool

MAX_HEAD_BYTES: Final = 80 * 1024
MAX_HEADERS: Final = 100

# What happens to a response header: forwarded and noted, or noted and taken off (hop-by-hop, or ours to write).
_KEEP, _DROP = 1, 2
FATES: Final = {
    b"connection": _DROP,
    b"keep-alive": _DROP,
    b"proxy-connection": _DROP,
    b"transfer-encoding": _DROP,
    b"upgrade": _DROP,
    b"server": _DROP,
    b"x-envoy-decorator-operation": _DROP,
    b"x-envoy-upstream-service-time": _DROP,
    b"x-envoy-peer-metadata": _DROP,
    b"x-envoy-peer-metadata-id": _DROP,
    b"content-length": _KEEP,
    b"content-type": _KEEP,
    b"date": _KEEP,
    b"grpc-status": _KEEP,
    b"x-envoy-ratelimited": _KEEP,
}
_names: Final = NameTable(FATES)
_known: Final = _names.known

_log: Final = logging.getLogger("pyproxy.upstream")


class _BadResponse(Exception):
    """Raised inside a parser callback: the head parses, but is not one that we may forward."""


class Http1Client(RequestStream):
    """One upstream connection: an asyncio.Protocol in all but its base, which a compiled class cannot have."""

    protocol = "HTTP/1.1"

    def __init__(self, pool: HostPool) -> None:
        # Connection
        self.pool = pool
        self._stats = pool.host.cluster.stats
        self.transport = None  # type: ignore[assignment]  # set before any use, in connection_made
        self.local_address = ""
        self.peer = None
        self.requests = 0
        self.idle_since = 0.0
        self.expiry: asyncio.TimerHandle | None = None
        self.usable = True
        self.closed_here = False
        """We end it, not the upstream."""
        self.cut = False
        """It ends with a request under way."""
        # Request under way
        self._parser = httptools.HttpResponseParser(self)
        self._handler: ResponseHandler | None = None
        self._head_request = False
        self._upgrade = b""
        self._accept = b""
        """What answers the WebSocket key that was made here; empty: none was."""
        self._chunked = False
        """The request's body is."""
        self._out: list[bytes] = []
        self._paused = False
        self._full = False
        """The upstream has still to read much of what was sent."""
        # Response under way
        self._upgrade_head = ResponseHead(101, [])
        self._headers: Headers = []
        self._notable: dict[bytes, bytes] = {}
        self._bytes = 0
        """Read since the response or the last piece of its body began: no head or trailers may be so long."""
        self._begun = False
        """The first byte of a head is there."""
        self._head_done = False
        self._ended = False
        """The handler knows that nothing follows."""
        self._complete = False
        """The last byte of the response is parsed; what follows in the same read is not ours."""
        self._dirty = False
        self._until_close = False

    # What an attempt may ask (RequestStream)

    def begin(self, handler: ResponseHandler, *, head_request: bool, upgrade: bytes) -> None:
        self._handler = handler
        self._head_request = head_request
        self._upgrade = upgrade
        self.requests += 1

    def send_head(self, head: RequestHead, extra: bytes, *, body: bool, sized: bool) -> None:
        if self._upgrade:
            extra += b"upgrade: %b\r\nconnection: %b\r\n" % (self._upgrade, head.notable[b"connection"])
            body = False
            if b":protocol" in head.notable:  # HTTP/2's handshake has no key
                lines, self._accept = handshake(head.headers)
                extra += lines
        self._chunked = body and not sized
        self._out.append(encode_request(head, extra, body=body, sized=sized))

    def send_body(self, chunk: bytes) -> None:
        self._out.append(encode_chunk(chunk) if self._chunked else chunk)

    def send_end(self, trailers: Headers | None) -> None:
        if self._chunked:
            self._out.append(LAST_CHUNK)

    def flush(self) -> None:
        """Write what was sent: in one call, so that it takes one system call."""
        out = self._out
        if out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def abandon(self) -> None:
        """The attempt ends early: this connection cannot be used again."""
        self._handler = None
        self.cut = True
        self._abort()
        self.pool.lost(self)

    def pause_reading(self) -> None:
        """The client reads slowly."""
        self._paused = True
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        """The client reads again."""
        self._paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def tunnel_closed(self) -> None:
        self.pool.lost(self)

    def close(self) -> None:
        """Close an idle connection."""
        self.usable = False
        self.closed_here = True
        self.transport.close()

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        own = transport.get_extra_info("sockname")
        if isinstance(own, tuple):
            self.local_address = f"[{own[0]}]:{own[1]}" if ":" in own[0] else f"{own[0]}:{own[1]}"
        self.pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._handler is None:
            self.pool.discard(self)
            self._abort()
            return
        size = len(data)
        self._stats.upstream_cx_rx_bytes_total += size
        self._bytes += size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._on_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if not self._survives(error):
                return
        if self._complete:
            self._release()
        elif self._bytes > MAX_HEAD_BYTES:
            self._reset(Outcome.PROTOCOL_ERROR)
        elif self._head_done and self._handler is not None:
            self._handler.on_read_end()

    def eof_received(self) -> bool:
        self.usable = False
        if self._handler is None:
            self.pool.discard(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        handler, self._handler = self._handler, None
        if handler is not None:
            self._tell(handler, exc)
        self.pool.lost(self)
        self._parser = cast(Any, None)  # which holds us: a connection is to be freed now, not by the collector

    def pause_writing(self) -> None:
        self._full = True
        if self._handler is not None:
            self._handler.on_writable(False)

    def resume_writing(self) -> None:
        self._full = False
        if self._handler is not None:
            self._handler.on_writable(True)

    # Parser callbacks

    def on_message_begin(self) -> None:
        self._begun = True
        if self._complete:
            self._dirty = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:  # a trailer
            return
        lower, fate = _known.get(name) or _names.learn(name)
        value = value.strip()
        if fate:
            notable = self._notable
            if lower not in notable:
                notable[lower] = value
            elif lower == b"transfer-encoding":
                raise _BadResponse("http1.invalid_transfer_encoding")
            if fate == _DROP:
                return
        self._headers.append((lower, value))

    def on_headers_complete(self) -> None:
        handler = self._handler
        if self._complete or handler is None:
            return
        status: int = self._parser.get_status_code()
        notable = self._notable
        head = ResponseHead(status, self._headers, notable)
        length = notable.get(b"content-length")
        coding = notable.get(b"transfer-encoding")
        if self._bytes > MAX_HEAD_BYTES or len(self._headers) + len(notable) > MAX_HEADERS:
            self._check_size()
        if status < 200:
            self._on_early_head(handler, head, framed=length is not None or coding is not None)
            return
        self._head_done = True
        self.usable = self.usable and self._parser.should_keep_alive()
        if self._head_request or status == 204 or status == 304 or length == b"0":
            if status == 204 and (length is not None or coding is not None):
                _take_framing_off(head)
            self._ended = True
            self._complete = self._head_request
            handler.on_head(head, end=True)
            return
        if length is None and coding is None:
            self._until_close = True
        elif coding is not None and coding.lower() != b"chunked":
            raise _BadResponse("http1.invalid_transfer_encoding")
        handler.on_head(head, end=False)

    def on_body(self, chunk: bytes) -> None:
        if self._complete:
            self._dirty = True
        elif self._handler is not None:
            self._bytes = 0
            self._handler.on_body(chunk)

    def on_message_complete(self) -> None:
        if not self._head_done or self._complete:  # a 1xx, or more than one answer
            self._begun = False
            return
        self._complete = True
        if self._handler is not None and not self._ended:
            self._handler.on_end()

    # For itself

    def _tell(self, handler: ResponseHandler, exc: Exception | None) -> None:
        """Whose response it was: it is over, be it whole or not."""
        if self._until_close and exc is None:
            handler.on_end()
            return
        self.cut = True
        begun = self._begun or self._head_done
        handler.on_reset(Outcome.PROTOCOL_ERROR if begun else Outcome.CONNECTION_TERMINATION, "")

    def _survives(self, error: httptools.HttpParserError) -> bool:
        """Whether the response is whole in spite of a parser error: then only this connection is lost."""
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else None
        if cause is not None and not isinstance(cause, _BadResponse):
            _log.error("an upstream callback failed", exc_info=cause)
        if self._complete:
            self._dirty = True
            return True
        self._reset(Outcome.PROTOCOL_ERROR)
        return False

    def _release(self) -> None:
        """The response is whole and all its bytes are parsed."""
        if self._head_request:
            # The parser still waits for the body that HEAD announces and never has.
            self._parser = httptools.HttpResponseParser(self)
        if self._paused:  # for who was paused, what is left is no longer this connection's affair
            self.resume_reading()
        self._handler = None
        self._headers = []
        self._notable = {}
        self._bytes = 0
        self._begun = self._head_done = self._ended = self._complete = self._until_close = False
        if self._dirty or self._out or self._full:
            self.usable = False
        self.pool.release(self)

    def _on_early_head(self, handler: ResponseHandler, head: ResponseHead, *, framed: bool) -> None:
        """A head that is not the last: a 1xx, which may not frame a body, or the 101 that was asked for."""
        if head.status < 100 or framed or (head.status == 101 and not self._upgrade):
            raise _BadResponse("http1.codec_error")
        self._headers, self._notable = [], {}
        if head.status == 101:
            if self._accept:
                if value_of(head.headers, ACCEPT) not in (self._accept, b""):
                    raise _BadResponse("http1.codec_error")
                head.headers = [line for line in head.headers if line[0] != ACCEPT]
            self._upgrade_head = head
        else:
            handler.on_informational(head)

    def _check_size(self) -> None:
        """What was read is more than a head may have; was it the head?"""
        headers = [*self._headers, *((name, value) for name, value in self._notable.items() if FATES[name] == _DROP)]
        if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
            raise _BadResponse("http1.headers_too_large")

    def _reset(self, outcome: Outcome) -> None:
        handler, self._handler = self._handler, None
        self.cut = self.cut or handler is not None
        self._abort()
        if handler is not None:
            handler.on_reset(outcome, "")

    def _abort(self) -> None:
        self.usable = False
        self.closed_here = True
        self.transport.abort()

    def _on_upgrade(self, rest: bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        self._handler = None
        self.usable = False
        handler.on_upgraded(self._upgrade_head, rest)


def _take_framing_off(head: ResponseHead) -> None:
    """204 has no body and says nothing of one. Raises _BadResponse when it does. RFC 9110 section 8.6."""
    if b"transfer-encoding" in head.notable or head.notable[b"content-length"] != b"0":
        raise _BadResponse("http1.codec_error")
    head.headers = [line for line in head.headers if line[0] != b"content-length"]
