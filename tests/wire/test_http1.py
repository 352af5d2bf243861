"""Heads and framing as bytes; h11 says whether they are what they should be."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.wire.http1 import LAST_CHUNK, bodiless, encode_chunk, encode_request, encode_response, reason


def request(method: bytes = b"GET", **extra: bytes) -> RequestHead:
    return RequestHead(method, b"/a?b=c", b"x.example", [(b"accept", b"*/*"), *extra.items()])  # type: ignore[list-item]


def test_a_request_is_its_line_the_host_and_the_headers_in_order() -> None:
    sent = encode_request(request(), b"x-more: 1\r\n", body=False, sized=False)
    assert sent == b"GET /a?b=c HTTP/1.1\r\nhost: x.example\r\naccept: */*\r\nx-more: 1\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"])
def test_a_request_that_seldom_has_a_body_says_nothing_of_having_none(method: bytes) -> None:
    assert b"content-length" not in encode_request(request(method), b"", body=False, sized=False)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"OPTIONS"])
def test_any_other_says_that_it_has_none(method: bytes) -> None:
    assert encode_request(request(method), b"", body=False, sized=False).endswith(b"\r\ncontent-length: 0\r\n\r\n")


def test_a_body_is_framed_by_its_length_if_that_is_known() -> None:
    sized = encode_request(request(b"POST"), b"", body=True, sized=True)
    assert b"transfer-encoding" not in sized
    assert encode_request(request(b"POST"), b"", body=True, sized=False).endswith(
        b"\r\ntransfer-encoding: chunked\r\n\r\n"
    )


def test_a_response_has_envoys_reason_phrase() -> None:
    head = ResponseHead(302, [(b"location", b"/")])
    assert encode_response(head, b"connection: close\r\n") == (
        b"HTTP/1.1 302 Found\r\nlocation: /\r\nconnection: close\r\n\r\n"
    )
    assert encode_response(ResponseHead(299, []), b"").startswith(b"HTTP/1.1 299 Unknown\r\n")
    assert encode_response(ResponseHead(799, []), b"").startswith(b"HTTP/1.1 799 Unknown\r\n")
    assert (reason(413), reason(418), reason(503)) == ("Payload Too Large", "Unknown", "Service Unavailable")


def test_a_chunk_without_data_would_end_the_body() -> None:
    assert encode_chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert encode_chunk(b"") == b""


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [(200, b"GET", False), (200, b"HEAD", True), (204, b"GET", True), (304, b"GET", True), (103, b"GET", True)],
)
def test_which_responses_have_no_body_whatever_they_say(status: int, method: bytes, expected: bool) -> None:
    assert bodiless(status, method) is expected


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!#$%&'*+^`|~", min_size=1, max_size=12).map(
    lambda text: b"x-" + text.encode()
)
VALUES = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f", exclude_categories=["Cc", "Zs"]),
    max_size=20,
).map(lambda text: text.encode("latin-1"))
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=6)
PIECES = st.lists(st.binary(max_size=50), max_size=5)


@given(st.sampled_from([b"GET", b"POST", b"DELETE", b"PATCH"]), LINES, PIECES, st.booleans())
def test_another_parser_reads_the_request_that_was_written(
    method: bytes, lines: list[tuple[bytes, bytes]], pieces: list[bytes], sized: bool
) -> None:
    body = b"".join(pieces)
    headers = [*lines, (b"content-length", b"%d" % len(body))] if sized else lines
    data = encode_request(RequestHead(method, b"/a", b"x", headers), b"x-more: 1\r\n", body=bool(body), sized=sized)
    data += body if sized else b"".join(map(encode_chunk, pieces)) + LAST_CHUNK if body else b""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)

    request = parser.next_event()
    assert isinstance(request, h11.Request)
    assert (request.method, request.target) == (method, b"/a")
    assert [line for line in request.headers if line[0].startswith(b"x-")] == [*lines, (b"x-more", b"1")]
    assert read_body(parser) == body
    assert parser.trailing_data[0] == b""


@given(st.integers(200, 999), LINES, PIECES)
def test_another_parser_reads_the_response_that_was_written(
    status: int, lines: list[tuple[bytes, bytes]], pieces: list[bytes]
) -> None:
    data = encode_response(ResponseHead(status, lines), b"transfer-encoding: chunked\r\n")
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    parser.receive_data(data + b"".join(map(encode_chunk, pieces)) + LAST_CHUNK)

    response = parser.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == status
    assert [line for line in response.headers if line[0].startswith(b"x-")] == lines
    if not bodiless(status, b"GET"):
        assert read_body(parser) == b"".join(pieces)


def read_body(parser: h11.Connection) -> bytes:
    body = b""
    while isinstance(event := parser.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return body
