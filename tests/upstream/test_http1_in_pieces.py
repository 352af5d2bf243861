"""The client side of HTTP/1.1 takes a response alike however its bytes are cut, and knows a spent connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import Response, World

LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: app.test\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """A response, and what must come of it."""

    data: bytes
    status: int
    body: bytes = b""
    kept: bool = True
    """The connection serves the next request too."""
    whole: bool = True
    request: bytes = GET
    ends: bool = False
    """The upstream closes behind it."""


CASES: dict[str, Case] = {
    "sized": Case(LINE + b"content-length: 5\r\nX-A:  b \r\n\r\nhello", 200, b"hello"),
    "empty": Case(LINE + b"content-length: 0\r\n\r\n", 200),
    "chunked": Case(LINE + CHUNKED + b"5\r\nhello\r\n6;x\r\n world\r\n0\r\nx: y\r\n\r\n", 200, b"hello world"),
    "until close": Case(LINE + b"\r\nhello", 200, b"hello", kept=False, ends=True),
    "says close": Case(LINE + b"connection: close\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", kept=False),
    "HTTP/1.0": Case(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, b"ok", kept=False),
    "HTTP/1.0 that stays": Case(
        b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", 200, b"ok"
    ),
    "no content": Case(b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "not modified": Case(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", 304),
    "HEAD": Case(LINE + b"content-length: 9\r\n\r\n", 200, request=HEAD),
    "HEAD, chunked": Case(LINE + CHUNKED, 200, request=HEAD),
    "100 first": Case(b"HTTP/1.1 100 Continue\r\n\r\n" + LINE + b"content-length: 2\r\n\r\nok", 200, b"ok"),
    "103 first": Case(b"HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n" + LINE + b"content-length: 2\r\n\r\nok", 200, b"ok"),
    "more behind it": Case(LINE + b"content-length: 2\r\n\r\nokmore", 200, b"ok", kept=False),
    "another behind it": Case((LINE + b"content-length: 2\r\n\r\nok") * 2, 200, b"ok", kept=False),
    "a body for HEAD": Case(LINE + b"content-length: 2\r\n\r\nok", 200, kept=False, request=HEAD),
    "CL and TE": Case(LINE + b"content-length: 2\r\n" + CHUNKED + b"0\r\n\r\n", 502, kept=False),
    "two CL": Case(LINE + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok!", 502, kept=False),
    "TE twice": Case(LINE + b"transfer-encoding: chunked\r\n" + CHUNKED + b"0\r\n\r\n", 502, kept=False),
    "gzip": Case(LINE + b"transfer-encoding: gzip\r\n\r\n", 502, kept=False),
    "bare LF": Case(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", 502, kept=False),
    "obs-fold": Case(LINE + b"x: a\r\n b\r\n\r\n", 502, kept=False),
    "a 1xx that is framed": Case(b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\n", 502, kept=False),
    "101 unasked": Case(b"HTTP/1.1 101 X\r\nupgrade: a\r\nconnection: upgrade\r\n\r\n", 502, kept=False),
    "101 without a protocol": Case(b"HTTP/1.1 101 X\r\n\r\n", 502, kept=False),
    "204 with a length": Case(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n", 502, kept=False),
    "status 099": Case(b"HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n", 502, kept=False),
    "closes in the head": Case(LINE + b"content-le", 502, kept=False, ends=True),
    "closes in a sized body": Case(LINE + b"content-length: 5\r\n\r\nhe", 200, b"he", False, False, ends=True),
    "closes in a chunk": Case(LINE + CHUNKED + b"5\r\nhe", 200, b"he", False, False, ends=True),
    "closes before the last chunk": Case(LINE + CHUNKED + b"2\r\nhe\r\n", 200, b"he", False, False, ends=True),
    "breaks a chunk": Case(LINE + CHUNKED + b"2\r\nhe\r\nzz\r\n", 200, b"he", False, False),
}


def two_at(place: int) -> Callable[[bytes], list[bytes]]:
    return lambda data: [data[:place], data[place:]]


def one_by_one(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


def cuts(data: bytes) -> Iterator[Callable[[bytes], list[bytes]]]:
    yield lambda data: [data]
    yield from map(two_at, range(1, len(data)))
    yield one_by_one


@pytest.mark.parametrize("name", CASES)
def test_a_response_is_taken_alike_in_all_pieces(name: str) -> None:
    case = CASES[name]
    with World() as world:
        cluster = world.cluster()
        for cut in cuts(case.data):
            world.network.cut = cut
            world.network.script = [case.data]
            dialled = len(world.network.dials)
            client = world.client()
            client.send(case.request)
            if case.ends:
                world.call(world.network.ends[-1].transport.deliver_end)
            response, *more = client.responses(case.request.partition(b" ")[0])

            assert (response.status, response.whole, more) == (case.status, case.whole, [])
            if case.status != 502:
                assert response.body == case.body or not case.whole
            assert client.closed is not case.whole
            assert cluster.stats.upstream_rq_active == 0
            world.network.cut = lambda data: [data]
            other = world.client()
            other.send(GET)
            assert other.responses()[0].body == b"ok"
            fresh = len(world.network.dials) - dialled
            assert fresh == (dialled == 0) + (not case.kept)
            client.leave()
            other.leave()
            # The next round begins as this one did: with one idle connection.
            assert cluster.stats.upstream_cx_active == 1


def test_bytes_on_an_idle_connection_end_it() -> None:
    with World() as world:
        client = world.client()
        client.send(GET)
        world.call(world.network.ends[0].transport.deliver, b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert world.network.ends[0].transport.aborted
        client.send(GET)
        assert [response.status for response in client.responses()] == [200, 200]
        assert len(world.network.ends) == 2


def test_a_reset_is_no_end_of_a_body() -> None:
    with World() as world:
        world.network.script = [LINE + b"\r\nhello"]
        client = world.client()
        client.send(GET)
        world.call(world.network.ends[0].transport.lose, ConnectionResetError())
        assert client.closed
        (response,) = client.responses()
        assert (response.body, response.whole) == (b"hello", False)


@pytest.mark.parametrize("what", ["head", "trailers", "chunk extension", "1xx"])
def test_nothing_may_grow_for_ever(what: str) -> None:
    beginning = {
        "head": LINE,
        "trailers": LINE + CHUNKED + b"2\r\nok\r\n0\r\n",
        "chunk extension": LINE + CHUNKED + b"2;",
        "1xx": b"",
    }
    piece = {"1xx": b"HTTP/1.1 102 Processing\r\n\r\n", "chunk extension": b"x"}.get(what, b"x-a: y\r\n")
    with World() as world:
        world.network.script = [None]
        client = world.client()
        client.send(GET)
        upstream = world.network.ends[0].transport
        world.call(upstream.deliver, beginning[what])
        for _ in range(60):
            world.call(upstream.deliver, piece * (3000 // len(piece)))
        assert upstream.aborted
        assert client.responses()[-1].status in (200, 502)
        assert world.cluster().stats.upstream_rq_active == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_at_all_make_trouble(data: bytes, ends: bool) -> None:
    with World() as world:
        world.network.script = [data or None]
        client = world.client()
        client.send(GET)
        if ends:
            world.call(world.network.ends[0].transport.deliver_end)
        client.leave()
        assert world.cluster().stats.upstream_rq_active == 0
        assert world.stats.downstream_rq_active == 0


PARTS = [
    LINE,
    CHUNKED,
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"content-length: ",
    b"0",
    b"2",
    b"ok",
    b"HTTP/1.1 100 Continue\r\n\r\n",
]
PARTS += [
    b"x: y\r\n",
    b"connection: close\r\n",
    b"0\r\n\r\n",
    b"2\r\nok\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"transfer-encoding: ",
]
PARTS += [
    b"HTTP/1.1 101 X\r\n",
    b"upgrade: websocket\r\nconnection: upgrade\r\n",
    b":",
    b" ",
    b"\0",
    b"HTTP/1.0 200 OK\r\n",
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=20).map(b"".join), st.booleans(), st.sampled_from([GET, HEAD]))
def test_no_mixture_of_http_makes_trouble(data: bytes, ends: bool, request: bytes) -> None:
    """h11 reads what the client gets; a client that comes afterwards gets its own answer and no other."""
    with World() as world:
        world.network.script = [data or None]
        client = world.client()
        client.send(request)
        if ends:
            world.call(world.network.ends[0].transport.deliver_end)
        found: list[Response] = client.responses(request.partition(b" ")[0])
        assert len(found) <= 1
        client.leave()
        assert world.cluster().stats.upstream_rq_active == 0
        other = world.client()
        world.network.script = []
        other.send(GET)
        assert [response.body for response in other.responses()] == [b"ok"]
        other.leave()
