"""HTTP/1.1 heads and chunks to bytes, and which framing a message uses. Source: RFC 9112; Envoy http1/codec_impl.cc."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from pyproxy.core.http import RequestHead, ResponseHead

HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""How a client begins that speaks HTTP/2 unasked (RFC 9113, 3.4)."""
LAST_CHUNK: Final = b"0\r\n\r\n"

# Envoy prints "Unknown" for what its table lacks, and RFC 9110's words where Python has older ones.
_UNKNOWN_TO_ENVOY: Final = {102, 103, 418, 451}
_RENAMED: Final = {
    302: "Found",
    413: "Payload Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Entity",
}
REASONS: Final[dict[int, str]] = {
    status.value: _RENAMED.get(status.value, status.phrase) for status in HTTPStatus if status not in _UNKNOWN_TO_ENVOY
} | {599: "Last Unassigned Server Error Code"}
_STATUS_LINES: Final[dict[int, bytes]] = {
    code: f"HTTP/1.1 {code} {REASONS.get(code, 'Unknown')}".encode() for code in range(100, 600)
}

# Methods whose body-less requests carry no content-length (Envoy RequestEncoderImpl).
_NO_LENGTH_METHODS: Final = frozenset({b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"})
# One C call a header; formatting each in Python costs twice as much.
_line: Final = b": ".join


def reason(status: int) -> str:
    """The reason phrase of Envoy's table."""
    return REASONS.get(status, "Unknown")


def encode_request(head: RequestHead, extra: bytes, *, body: bool, sized: bool) -> bytes:
    """A request head for the upstream. `extra`: more header lines, each with its CRLF.

    `body`: a body follows; `sized`: the headers have its content-length. The caller chunks a body that is not sized.
    """
    if body:
        framing = b"\r\n" if sized else b"transfer-encoding: chunked\r\n\r\n"
    else:
        framing = b"\r\n" if sized or head.method in _NO_LENGTH_METHODS else b"content-length: 0\r\n\r\n"
    request_line = b"%b %b HTTP/1.1\r\nhost: %b" % (head.method, head.target, head.authority)
    return b"\r\n".join([request_line, *map(_line, head.headers), extra + framing])


def encode_response(head: ResponseHead, framing: bytes) -> bytes:
    """A response head for the client; `framing`: the last header lines, each with its CRLF."""
    status_line = _STATUS_LINES.get(head.status) or b"HTTP/1.1 %d Unknown" % head.status
    return b"\r\n".join([status_line, *map(_line, head.headers), framing + b"\r\n"])


def encode_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; empty data would end the body, so it gives nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def bodiless(status: int, method: bytes) -> bool:
    """Whether a response has no body whatever its headers say. RFC 9112 section 6.3."""
    return status == 204 or status == 304 or status < 200 or method == b"HEAD"
