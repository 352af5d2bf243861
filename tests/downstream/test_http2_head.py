"""Fields of an HTTP/2 request to a head."""

from __future__ import annotations

import pytest

from pyproxy.downstream.http2_head import request_head
from pyproxy.snapshot.model import HttpSettings
from pyproxy.wire.http2_fields import BadHead

SETTINGS = HttpSettings()
PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/p?q")]


def test_the_parts_of_a_head() -> None:
    head, size = request_head([*PSEUDO, (b"x", b" 1\t"), (b"user-agent", b"u")], SETTINGS, secure=True)
    assert (head.method, head.target, head.path, head.authority) == (b"GET", b"/p?q", b"/p", b"a")
    assert (head.scheme, head.headers) == (b"https", [(b"x", b"1"), (b"user-agent", b"u")])
    assert size == sum(len(name) + len(value) for name, value in PSEUDO) + 4 + 11


def test_authority_wins_over_host() -> None:
    head, _ = request_head([*PSEUDO, (b"host", b"b")], SETTINGS, secure=False)
    assert (head.authority, head.notable[b":host"]) == (b"a", b"a")
    assert head.headers == []


def test_a_repeated_line_that_means_something_is_joined() -> None:
    head, _ = request_head(
        [*PSEUDO, (b"origin", b"a"), (b"x", b"1"), (b"origin", b"b"), (b"x", b"2")], SETTINGS, secure=False
    )
    assert head.headers == [(b"origin", b"a,b"), (b"x", b"1"), (b"x", b"2")]
    assert head.notable[b"origin"] == b"a,b"


def test_an_extended_connect_is_the_upgrade_it_would_be_in_http1() -> None:
    lines = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *PSEUDO[1:]]
    head, _ = request_head(lines, SETTINGS, secure=False)
    assert (head.method, head.notable[b"upgrade"], head.notable[b":upgrade"]) == (b"GET", b"websocket", b"1")


def test_a_plain_connect_names_an_authority_alone() -> None:
    head, _ = request_head([(b":method", b"CONNECT"), (b":authority", b"a:1")], SETTINGS, secure=False)
    assert (head.method, head.target) == (b"CONNECT", b"a:1")


@pytest.mark.parametrize(
    "lines",
    [
        [(b":method", b"CONNECT"), *PSEUDO[1:]],
        [*PSEUDO[:3], (b":path", b"")],
        [*PSEUDO[:3], (b":path", b"p")],
        [*PSEUDO[:3], (b":path", b"*")],
        [(b":method", b"G T"), *PSEUDO[1:]],
        [*PSEUDO[:3], (b":path", b"/\r")],
        [*PSEUDO, (b"x", b"1\n2")],
        [*PSEUDO, (b"Upper", b"1")],
        [*PSEUDO, (b"te", b"gzip, trailers")],
    ],
)
def test_what_is_no_head(lines: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadHead) as caught:
        request_head(lines, SETTINGS, secure=False)
    assert not caught.value.only_stream
