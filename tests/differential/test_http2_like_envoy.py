"""The same HTTP/2 frames to a real Envoy, set up as Istio does it, and to pyproxy: what comes of them is the same.

But for GOAWAY: Envoy closes without one where a peer breaks the protocol, pyproxy says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.differential.envoy_process import Envoy
from tests.differential.http1_sides import start_envoy_side, start_our_side
from tests.differential.http2_sides import PSEUDO, Case2, Http2Side, Seen2, data, request, run_both
from tests.differential.test_http1_like_envoy import DOCUMENTS, HOSTS
from tests.peers import Headers, Request, UpstreamConnection, answer_and_close, answer_with

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def response(line: bytes, *lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + line, *lines]) + b"\r\n\r\n" + body


def never(connection: UpstreamConnection, request: Request) -> None:
    """No answer."""


def early(connection: UpstreamConnection, request: Request) -> None:
    """An answer before the body is there."""
    connection.send(response(b"413 Too Big", b"content-length: 2", body=b"no"))


def pseudo(**parts: bytes | None) -> Headers:
    """The pseudo fields with others in place of some, or without."""
    given = {b":" + name.encode(): value for name, value in parts.items()}
    found = [(name, given.get(name, value)) for name, value in PSEUDO]
    return [(name, value) for name, value in found if value is not None]


def trailers(*lines: tuple[bytes, bytes]) -> HeadersFrame:
    return HeadersFrame(1, data=Encoder().encode(lines), flags=["END_HEADERS", "END_STREAM"])


POST = pseudo(method=b"POST")
SOCKET = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:]]
KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
SMTP = [(b":method", b"CONNECT"), (b":protocol", b"smtp"), *PSEUDO[1:]]
TUNNEL = [(b":method", b"CONNECT"), (b":authority", b"app.test:80")]
GRPC = (b"content-type", b"application/grpc")
MANY = [(b"x%d" % number, b"1") for number in range(97)]
LARGE = [
    ContinuationFrame(
        1,
        data=Encoder().encode([(b"x", b"a" * 9000)], huffman=False),
        flags=["END_HEADERS"] if number == 6 else [],
    )
    for number in range(7)
]
SHORT = 1.5
"""Seconds after which a stream is taken for one that nothing ends."""

CASES = {
    "get": Case2((request(),)),
    "te trailers": Case2((request((b"te", b"trailers")),)),
    "te gzip": Case2((request((b"te", b"gzip")),)),
    "cookies": Case2((request((b"cookie", b"a=1"), (b"cookie", b"b=2")),)),
    "post": Case2((request((b"content-length", b"5"), pseudo=POST, end=False), data(b"hello"))),
    "post no length": Case2((request(pseudo=POST, end=False), data(b"hello"))),
    "post short": Case2((request((b"content-length", b"9"), pseudo=POST, end=False), data(b"hello"))),
    "post empty end": Case2((request(pseudo=POST),)),
    "trailers": Case2((request(pseudo=POST, end=False), data(b"hello", end=False), trailers((b"x-t", b"1")))),
    "chunked answer": Case2(
        (request(),),
        answer_with(response(b"200 OK", b"transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")),
    ),
    "until close": Case2((request(),), answer_and_close(response(b"200 OK", body=b"abc"))),
    "head": Case2((request(pseudo=pseudo(method=b"HEAD")),), answer_with(response(b"200 OK", b"content-length: 3"))),
    "204": Case2((request(),), answer_with(response(b"204 No Content"))),
    "304": Case2((request(),), answer_with(response(b"304 Not Modified", b"content-length: 10"))),
    "100": Case2((request(),), answer_with(response(b"100 Continue") + response(b"200 OK", b"content-length: 0"))),
    "103": Case2(
        (request(),), answer_with(response(b"103 Early", b"link: x") + response(b"200 OK", b"content-length: 0"))
    ),
    "expect": Case2(
        (request((b"expect", b"100-continue"), (b"content-length", b"5"), pseudo=POST, end=False), data(b"hello"))
    ),
    "connection header": Case2((request((b"connection", b"close")),)),
    "upper name": Case2((request((b"X-A", b"1")),)),
    "bad name": Case2((request((b"a b", b"1")),)),
    "nul": Case2((request((b"a", b"1\0")),)),
    "crlf": Case2((request((b"a", b"1\r\nb: c")),)),
    "spaces": Case2((request((b"a", b"  1 \t")),)),
    "obs text": Case2((request((b"a", b"\xff")),)),
    "two hosts": Case2((request((b"host", b"a"), (b"host", b"b")),)),
    "host differs": Case2((request((b"host", b"other.test")),)),
    "host alone": Case2((request((b"host", b"app.test"), pseudo=pseudo(authority=None)),)),
    "no authority": Case2((request(pseudo=pseudo(authority=None)),)),
    "empty authority": Case2((request(pseudo=pseudo(authority=b"")),)),
    "bad authority": Case2((request(pseudo=pseudo(authority=b"a b")),)),
    "userinfo": Case2((request(pseudo=pseudo(authority=b"u@app.test")),)),
    "no method": Case2((request(pseudo=pseudo(method=None)),)),
    "odd method": Case2((request(pseudo=pseudo(method=b"FOO")),)),
    "bad method": Case2((request(pseudo=pseudo(method=b"F O")),)),
    "no scheme": Case2((request(pseudo=pseudo(scheme=None)),)),
    "odd scheme": Case2((request(pseudo=pseudo(scheme=b"ftp")),)),
    "https scheme": Case2((request(pseudo=pseudo(scheme=b"https")),)),
    "no path": Case2((request(pseudo=pseudo(path=None)),)),
    "empty path": Case2((request(pseudo=pseudo(path=b"")),)),
    "relative path": Case2((request(pseudo=pseudo(path=b"x")),)),
    "absolute path": Case2((request(pseudo=pseudo(path=b"http://app.test/x")),)),
    "star": Case2((request(pseudo=pseudo(path=b"*", method=b"OPTIONS")),)),
    "fragment": Case2((request(pseudo=pseudo(path=b"/a#b")),)),
    "dots": Case2((request(pseudo=pseudo(path=b"/a/../b")),)),
    "space in path": Case2((request(pseudo=pseudo(path=b"/a b")),)),
    "connect": Case2((request(pseudo=TUNNEL, end=False),)),
    "websocket": Case2(
        (request(KEY, pseudo=SOCKET, end=False),),
        answer_with(response(b"101 Switching Protocols", b"upgrade: websocket", b"connection: Upgrade")),
        patience=SHORT,
    ),
    "websocket without a key": Case2(
        (request(pseudo=SOCKET, end=False),), answer_with(response(b"403 No", b"content-length: 2", body=b"no"))
    ),
    "websocket refused": Case2(
        (request(KEY, pseudo=SOCKET, end=False),), answer_with(response(b"403 No", b"content-length: 2", body=b"no"))
    ),
    "another protocol": Case2((request(pseudo=SMTP, end=False),)),
    "101 headers": Case2((request(*MANY),)),
    "100 headers": Case2((request(*MANY[1:]),)),
    "too large": Case2((HeadersFrame(1, data=Encoder().encode(PSEUDO), flags=["END_STREAM"]), *LARGE)),
    "no route": Case2((request(pseudo=pseudo(authority=b"nobody.test")),)),
    "early": Case2((request((b"content-length", b"50"), pseudo=POST, end=False),), early),
    "reset by client": Case2(
        (request(pseudo=pseudo(path=b"/never")), RstStreamFrame(1, error_code=8)), never, patience=SHORT
    ),
    "refused by client": Case2(
        (request(pseudo=pseudo(path=b"/never")), RstStreamFrame(1, error_code=7)), never, patience=SHORT
    ),
    "leaves": Case2((request(pseudo=pseudo(path=b"/never")),), never, leaves=True),
    "upstream closes": Case2((request(pseudo=POST),), answer_and_close(b"")),
    "upstream cut": Case2((request(),), answer_and_close(response(b"200 OK", b"content-length: 10", body=b"abc"))),
    "upstream garbage": Case2((request(),), answer_with(b"garbage\r\n\r\n")),
    "grpc no route": Case2((request(GRPC, pseudo=pseudo(method=b"POST", authority=b"nobody.test")),)),
    "grpc upstream closes": Case2((request(GRPC, pseudo=POST),), answer_and_close(b"")),
    "zero window update": Case2(
        (WindowUpdateFrame(0, window_increment=1), request()),
    ),
    "data on idle": Case2((data(b"x"),)),
    "even stream": Case2((request(stream=2),), probed=False),
    "ping flood": Case2((*[PingFrame(0, opaque_data=b"12345678") for _ in range(1100)], request())),
    "settings": Case2((SettingsFrame(0, settings={1: 0}), request())),
    "settings bad": Case2((SettingsFrame(0, settings={5: 1}), request())),
    "push": Case2((PushPromiseFrame(1, promised_stream_id=2, data=Encoder().encode(PSEUDO), flags=["END_HEADERS"]),)),
    "priority self": Case2(
        (
            HeadersFrame(
                1,
                data=Encoder().encode(PSEUDO),
                flags=["END_HEADERS", "END_STREAM", "PRIORITY"],
                depends_on=1,
                stream_weight=1,
            ),
        )
    ),
    "priority": Case2(
        (
            HeadersFrame(
                1,
                data=Encoder().encode(PSEUDO),
                flags=["END_HEADERS", "END_STREAM", "PRIORITY"],
                depends_on=0,
                stream_weight=1,
            ),
        )
    ),
    "padded": Case2(
        (
            HeadersFrame(1, data=Encoder().encode(POST), flags=["END_HEADERS", "PADDED"], pad_length=9),
            DataFrame(1, data=b"hello", flags=["END_STREAM", "PADDED"], pad_length=7),
        )
    ),
    "goaway": Case2((GoAwayFrame(0, last_stream_id=0, error_code=0), request()), patience=SHORT),
    "upgrade header": Case2((request((b"upgrade", b"h2c")),)),
}


NOT_THE_SAME = {
    "websocket without a key": "Envoy asks an HTTP/1.1 service without one, as RFC 6455 forbids; pyproxy makes one",
    "ping flood": "Envoy counts what it owes at the end of a read, and so serves what came in the same one",
    "goaway": "Envoy serves no stream behind a client's GOAWAY; RFC 9113 section 6.8 lets it begin them still",
}


@pytest.fixture(scope="module")
def seen(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Seen2, Seen2]]]:
    """Every case through both; (Envoy, pyproxy)."""
    folder = tmp_path_factory.mktemp("http2")
    theirs = start_envoy_side(start_envoy, folder, HOSTS, http2_protocol_options={"allow_connect": True})
    ours, process = start_our_side(folder, DOCUMENTS.replace("REFUSING", "9"))
    try:
        yield run_both(CASES, Http2Side(theirs), Http2Side(ours))
    finally:
        process.close()


@pytest.mark.parametrize("name", CASES)
def test_the_same_frames_have_the_same_effect(name: str, seen: dict[str, tuple[Seen2, Seen2]]) -> None:
    theirs, ours = seen[name]
    if name in NOT_THE_SAME:
        assert theirs != ours
    else:
        assert theirs == ours
