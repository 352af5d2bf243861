"""The server side of HTTP/1.1 answers alike however its bytes are cut: whole, in two anywhere, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import OK, Seen, World

HEAD = b"HTTP/1.1\r\nhost: app.test\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
SERVED: dict[str, bytes] = {
    "GET": b"GET /a?b HTTP/1.1\r\nhost: app.test\r\nx-a: 1\r\nX-B:  two \r\nx-c:\r\n\r\n",
    "sized": b"POST /a " + HEAD + b"content-length: 5\r\n\r\nhello",
    "chunked": b"POST /a " + HEAD + CHUNKED + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nx-t: 1\r\n\r\n",
    "no body": b"POST /a " + HEAD + b"\r\n",
    "three": b"GET /1 " + HEAD + b"\r\nPOST /2 " + HEAD + b"content-length: 2\r\n\r\nhiGET /3 " + HEAD + b"\r\n",
    "leading lines": b"\r\n\r\nGET /a " + HEAD + b"\r\n",
    "absolute form": b"GET http://app.test/a HTTP/1.1\r\nhost: other\r\n\r\n",
    "connection: close": b"GET /a " + HEAD + b"connection: close\r\n\r\n",
    "nominations": b"GET /a " + HEAD + b"connection: x-a, keep-alive\r\nx-a: 1\r\nx-b: 2\r\n\r\n",
    "h2c, sized": b"POST /a " + HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 5\r\n\r\nhello",
    "h2c, chunked": b"POST /a " + HEAD + b"connection: upgrade\r\nupgrade: h2c\r\n" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n",
    "h2c, then another": b"GET /1 " + HEAD + b"connection: upgrade\r\nupgrade: h2c\r\n\r\nGET /2 " + HEAD + b"\r\n",
}
REFUSED: dict[str, bytes] = {
    "bare LF": b"GET /a HTTP/1.1\nhost: app.test\n\n",
    "obs-fold": b"GET /a " + HEAD + b"x: a\r\n b\r\n\r\n",
    "CL and TE": b"POST /a " + HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE": b"POST /a " + HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /a " + HEAD + b"host: b\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "HTTP/1.0": b"GET /a HTTP/1.0\r\nhost: app.test\r\n\r\n",
    "bad chunk": b"POST /a " + HEAD + CHUNKED + b"5\r\nhello\r\nzz\r\n",
    "fragment": b"GET /a#b " + HEAD + b"\r\n",
    "unknown method": b"FOO /a " + HEAD + b"\r\n",
    "upgrade to something": b"GET /a " + HEAD + b"connection: upgrade\r\nupgrade: x\r\n\r\nmore",
    "CONNECT": b"CONNECT app.test:80 HTTP/1.1\r\nhost: app.test:80\r\n\r\nmore",
    "second is broken": b"GET /1 " + HEAD + b"\r\nGET /2 " + HEAD + b"x : y\r\n\r\n",
}


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, in two at every place, byte by byte."""
    yield [data]
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]
    yield [bytes((byte,)) for byte in data]


@dataclass
class Outcome:
    """What came of some bytes."""

    received: bytes
    statuses: list[int]
    closed: bool
    upstream: list[Seen]
    """Whole requests, without what is random in them."""


def outcome(world: World, pieces: list[bytes]) -> Outcome:
    world.network.requests.clear()
    client = world.client()
    client.send(*pieces)
    seen = [request for request in world.network.requests if request.whole]
    for request in seen:
        request.headers = [line for line in request.headers if not line[0].startswith((b"x-b3-", b"x-request-id"))]
    result = Outcome(client.received, [each.status for each in client.responses()], client.closed, seen)
    client.leave()
    return result


@pytest.mark.parametrize("name", SERVED)
def test_requests_are_served_alike_in_all_pieces(name: str) -> None:
    with World() as world:
        whole = outcome(world, [SERVED[name]])
        assert whole.upstream
        assert whole.statuses == [200] * len(whole.upstream)
        for pieces in cuts(SERVED[name]):
            assert outcome(world, pieces) == whole, pieces


@pytest.mark.parametrize("name", REFUSED)
def test_requests_are_refused_alike_in_all_pieces(name: str) -> None:
    with World() as world:
        whole = outcome(world, [REFUSED[name]])
        assert whole.closed
        assert whole.statuses[-1] > 399
        for pieces in cuts(REFUSED[name]):
            assert outcome(world, pieces) == whole, pieces


def test_a_tail_stays_for_the_next_request() -> None:
    with World() as world:
        client = world.client()
        client.send(SERVED["GET"] + SERVED["sized"][:30])
        assert [response.whole for response in client.responses()] == [True]
        client.send(SERVED["sized"][30:] + SERVED["chunked"])
        assert [response.body for response in client.responses()] == [b"ok"] * 3
        assert [request.body for request in world.network.requests] == [b"", b"hello", b"hello world"]


# Random requests, randomly cut

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=12).map(str.encode)
VALUE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f", exclude_categories=["Cc"]),
    max_size=20,
).map(lambda text: text.encode("latin-1").strip(b" \t"))
TAKEN = {b"host", b"connection", b"te", b"upgrade", b"expect", b"trailer", b"referer", b"cookie", b"keep-alive"}
BODIES = st.binary(max_size=300)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Seen]:
    """The bytes of a request, and the request."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"]))
    target = b"/" + b"/".join(
        draw(st.lists(st.text("abcXYZ019-_~", min_size=1, max_size=5).map(str.encode), max_size=3))
    )
    lines = draw(st.lists(st.tuples(TOKEN.map(lambda name: b"x-t-" + name), VALUE), max_size=4))
    head = b"\r\n".join(
        [b"%b %b HTTP/1.1" % (method, target), b"host: app.test", *(b"%b: %b" % line for line in lines)]
    )
    framing = draw(st.sampled_from(["none", "sized", "chunked"]))
    if framing == "none":
        return head + b"\r\n\r\n", Seen(method, target, lines, b"", True)
    body = draw(BODIES)
    if framing == "sized":
        return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body, Seen(method, target, lines, body, True)
    sizes = draw(st.lists(st.integers(1, 100), min_size=1, max_size=5))
    chunks, start = b"", 0
    for size in itertools.cycle(sizes):
        piece = body[start : start + size]
        if not piece:
            break
        chunks += b"%x\r\n%b\r\n" % (len(piece), piece)
        start += size
    return head + b"\r\n" + CHUNKED + chunks + b"0\r\n\r\n", Seen(method, target, lines, body, True)


@settings(max_examples=150, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=5), st.lists(st.integers(0, 3000), max_size=6))
def test_what_is_sent_is_what_arrives_in_order(sent: list[tuple[bytes, Seen]], places: list[int]) -> None:
    data = b"".join(raw for raw, _ in sent)
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    with World() as world:
        world.network.script = [
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%d" % (len(str(number)), number)
            for number in range(len(sent))
        ]
        client = world.client()
        client.send(*(data[start:end] for start, end in itertools.pairwise(ends)))

        assert [int(response.body) for response in client.responses()] == list(range(len(sent)))
        arrived = world.network.requests
        assert [(seen.method, seen.target, seen.body) for seen in arrived] == [
            (seen.method, seen.target, seen.body) for _, seen in sent
        ]
        for seen, (_, asked) in zip(arrived, sent, strict=True):
            assert [line for line in seen.headers if line[0].startswith(b"x-t-")] == asked.headers


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_no_bytes_at_all_make_trouble(data: bytes, places: list[int]) -> None:
    """Whatever comes: an answer or silence, nothing left behind, and the next client is served."""
    with World() as world:
        client = world.client()
        ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
        client.send(*(data[start:end] for start, end in itertools.pairwise(ends)))
        client.leave()
        other = world.client()
        other.send(SERVED["GET"])
        assert other.received.endswith(OK[-2:])
        assert world.stats.downstream_rq_active == 0
        other.leave()


PARTS = [b"GET ", b"POST ", b"/", b" HTTP/1.1", b"\r\n", b"\n", b"\r", b"host: app.test", b":", b" ", b"a", b"0", b"5"]
PARTS += [
    b"content-length: ",
    b"transfer-encoding: chunked",
    b"connection: ",
    b"upgrade",
    b"upgrade: websocket",
    b"\0",
    b";",
]
PARTS += [b"\r\n\r\n", b"CONNECT app.test:80", b"expect: 100-continue", b"HTTP/1.1 200 OK", b"0\r\n\r\n", b"x: y\r\n"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=30).map(b"".join))
def test_no_mixture_of_http_makes_trouble(data: bytes) -> None:
    """h11 reads everything that goes upstream: it would refuse what is no request."""
    with World() as world:
        client = world.client()
        client.send(b"GET /first " + HEAD + b"\r\n" + data)
        client.leave()
        assert world.network.requests[0].target == b"/first"
        assert world.stats.downstream_rq_active == 0
        assert world.cluster().stats.upstream_rq_active == 0
