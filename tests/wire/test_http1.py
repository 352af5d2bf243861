"""Heads and framing as bytes."""

import pytest

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.wire.http1 import bodiless, encode_chunk, encode_request, encode_response, reason


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
