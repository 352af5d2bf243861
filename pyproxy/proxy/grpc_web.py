"""gRPC-Web before a service of gRPC: a browser's call becomes one, and its trailers the last frame of a body.

Source: Envoy source/extensions/filters/http/grpc_web/grpc_web_filter.cc, gRPC's PROTOCOL-WEB.md.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.headers import without
from pyproxy.proxy.replies import GRPC_OF_HTTP, percent_encode

if TYPE_CHECKING:
    from pyproxy.proxy.attempt import Attempt

_PROTO: Final = b"application/grpc-web+proto"
_TEXT_PROTO: Final = b"application/grpc-web-text+proto"
_BINARY: Final = frozenset({b"application/grpc-web", _PROTO})
_TEXT: Final = frozenset({b"application/grpc-web-text", _TEXT_PROTO})
_TRAILERS: Final = b"\x80"
_MOST_WORDS: Final = 16384
"""Bytes of a plain answer's body that become grpc-message."""


def is_grpc_web(head: RequestHead) -> bool:
    """By its content type, which must be one of the four."""
    kind = head.notable.get(b"content-type")
    return kind in _BINARY or kind in _TEXT


class GrpcWebCall(ClientStream):
    """One call. Its head is made gRPC's at once; an exchange speaks to the client through it."""

    def __init__(self, stream: ClientStream, head: RequestHead, ctx: RequestContext) -> None:
        self._stream = stream
        self._ctx = ctx
        self._text_request = head.notable[b"content-type"] in _TEXT
        self._text_response = head.get(b"accept") in _TEXT
        self._rest = b""
        """Of a request's base64."""
        self._frames = b""
        """Of a response's message that is not whole yet."""
        self._held: ResponseHead | None = None
        """A plain answer's: it waits for the body, which it will carry."""
        self._closes = False
        self._words = b""
        _make_grpc(head)

    # The request

    def decode(self, chunk: bytes) -> bytes:
        """Bytes of the body as gRPC has them. Raises ValueError for what is not base64."""
        if not self._text_request:
            return chunk
        data = self._rest + chunk
        whole = len(data) // 4 * 4
        self._rest = data[whole:]
        return base64.b64decode(data[:whole], validate=True)

    @property
    def whole(self) -> bool:
        """Nothing is missing behind what was decoded."""
        return not self._rest

    # The response (ClientStream)

    def send_informational(self, head: ResponseHead) -> None:
        self._stream.send_informational(head)

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        plain = not end and not _speaks_grpc(head)
        kind = _TEXT_PROTO if self._text_response else _PROTO
        if end:
            head.headers = [*without(head.headers, b"content-type"), (b"content-type", kind)]
            return self._stream.send_head(head, end=True, close=close)
        head.headers = [*without(head.headers, b"content-type", b"content-length"), (b"content-type", kind)]
        head.notable.pop(b"content-length", None)  # the body will be another
        if plain:
            self._held, self._closes = head, close
            return 0
        return self._stream.send_head(head, end=False, close=close)

    def send_body(self, chunk: bytes) -> None:
        if self._held is not None:
            self._ctx.bytes_sent -= len(chunk)
            self._words += chunk[: _MOST_WORDS - len(self._words)]
        elif self._text_response:
            text = self._encode(chunk)
            self._ctx.bytes_sent += len(text) - len(chunk)
            if text:
                self._stream.send_body(text)
        else:
            self._stream.send_body(chunk)

    def send_end(self) -> None:
        if self._held is not None:
            self._release(self._held)
        else:
            self._stream.send_end()

    def send_trailers(self, trailers: Headers) -> None:
        if self._held is not None:
            self._release(self._held)
            return
        block = b"".join([b"%b:%b\r\n" % line for line in trailers])
        frame = _TRAILERS + len(block).to_bytes(4, "big") + block
        if self._text_response:
            frame = base64.b64encode(frame)
        self._ctx.bytes_sent += len(frame)
        self._stream.send_body(frame)
        self._stream.send_end()

    def flush(self) -> None:
        self._stream.flush()

    def abort(self) -> None:
        self._stream.abort()

    def pause_request(self) -> None:
        self._stream.pause_request()

    def resume_request(self) -> None:
        self._stream.resume_request()

    def switch_to_tunnel(self, attempt: Attempt, rest: bytes) -> None:
        self._stream.switch_to_tunnel(attempt, rest)

    def exchange_finished(self) -> None:
        self._stream.exchange_finished()

    # For itself

    def _release(self, head: ResponseHead) -> None:
        """A plain answer with its body as grpc-message, and the status that its own means."""
        self._held = None
        head.headers.append((b"grpc-status", b"%d" % GRPC_OF_HTTP.get(head.status, 2)))
        if self._words:
            head.headers.append((b"grpc-message", percent_encode(self._words)))
        head.headers.append((b"content-length", b"0"))
        head.notable[b"content-length"] = b"0"
        self._stream.send_head(head, end=True, close=self._closes)

    def _encode(self, chunk: bytes) -> bytes:
        """Whole messages, each a base64 of its own."""
        data = self._frames + chunk
        found = []
        while len(data) >= 5:
            size = 5 + int.from_bytes(data[1:5], "big")
            if len(data) < size:
                break
            found.append(base64.b64encode(data[:size]))
            data = data[size:]
        self._frames = data
        return b"".join(found)


def _make_grpc(head: RequestHead) -> None:
    changed = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    if head.get(b"grpc-accept-encoding") is None:
        changed.append((b"grpc-accept-encoding", b"identity"))
    head.headers = [*without(head.headers, b"content-length", b"content-type", b"te"), *changed]
    head.notable[b"content-type"] = b"application/grpc"
    head.notable.pop(b"content-length", None)


def _speaks_grpc(head: ResponseHead) -> bool:
    kind = head.get(b"content-type") or b""
    if head.status != 200:
        return False
    if kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+"):
        return True
    return kind.partition(b";")[0].rstrip().lower() in _BINARY
