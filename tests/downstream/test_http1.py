"""The server side of HTTP/1.1: keep-alive, order, framing, and bytes that are refused."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.errors import ClientError
from pyproxy.core.http import RequestHead
from pyproxy.downstream.http1 import head_size, split_absolute
from tests.in_process import OK, connected, get, header, rules, service, status, until, upstream, worker

HELLO = service("x", 1) + rules("x", "{directResponse: {status: 200, body: {string: hello}}}")


async def test_pipelined_requests_are_served_in_order(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        client.send(b"".join(get(f"/{number}") for number in range(5)))
        for _ in range(5):
            assert status(await client.response()) == 200
        assert [head.split(b" ")[1] for head in there.heads] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


async def test_a_request_may_come_byte_by_byte(tmp_path: Path) -> None:
    async with worker(tmp_path, HELLO) as app, connected(app) as client:
        for byte in get():
            client.send(bytes((byte,)))
            await client.writer.drain()
        assert (await client.response()).endswith(b"hello")


async def test_the_connection_ends_when_the_client_says_so(tmp_path: Path) -> None:
    async with worker(tmp_path, HELLO) as app, connected(app) as client:
        response = await client.ask(get("/", "x", "connection: close"))
        assert header(response, b"connection") == b"close"
        assert await client.rest() == b""


async def test_what_comes_behind_the_last_request_is_not_served(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        client.send(get("/", "x", "connection: close") + get("/smuggled"))
        await client.rest()
        assert len(there.heads) == 1


async def test_a_body_without_a_length_is_chunked_downstream(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
        response = await client.ask(get())
        assert header(response, b"transfer-encoding") == b"chunked"
        assert response.endswith(b"5\r\nhello\r\n0\r\n\r\n")


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [OK.removesuffix(b"ok")]
        client.send(get(method="HEAD"))
        assert header(await client.head(), b"content-length") == b"2"
        assert status(await client.ask(get())) == 200


async def test_continue_comes_from_the_service(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [b"HTTP/1.1 100 Continue\r\n\r\n" + OK]
        client.send(get("/", "x", "expect: 100-continue", "content-length: 4", method="POST"))
        await until(lambda: bool(there.heads))
        client.send(b"body")
        assert status(await client.head()) == 100
        assert status(await client.response()) == 200


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"GET / HTTP/1.1\nhost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: x-forwarded-for\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: 1,2,3,4,5,6,7,8,9,a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nhost: x\r\n\r\n", 426),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"a%d: b\r\n" % number for number in range(101)) + b"\r\n", 431),
    ],
)
async def test_what_is_ambiguous_or_too_much_is_refused_and_never_forwarded(
    tmp_path: Path, head: bytes, code: int
) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        client.send(head)
        response = await client.rest()
        assert status(response) == code
        assert header(response, b"connection") == b"close"
        assert response.count(b"HTTP/1.1 ") == 1
        assert there.heads == []


async def test_a_slow_head_is_408(tmp_path: Path) -> None:
    async with worker(tmp_path, HELLO) as app, connected(app) as client:
        (bound,) = [one for one in app.listeners.values() if one.listener.name == "virtualOutbound"]
        client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: any(one.deadline for one in bound.tracker.connections))
        bound.tracker.sweep(app.clock.monotonic() + 11)
        assert status(await client.rest()) == 408


async def test_an_idle_connection_is_closed_in_the_end(tmp_path: Path) -> None:
    async with worker(tmp_path, HELLO) as app, connected(app) as client:
        (bound,) = [one for one in app.listeners.values() if one.listener.name == "virtualOutbound"]
        await client.ask(get())
        bound.tracker.sweep(app.clock.monotonic() + 3599)
        assert len(bound.tracker.connections) == 1
        bound.tracker.sweep(app.clock.monotonic() + 3601)
        assert await client.rest() == b""


async def test_a_websocket_becomes_a_tunnel(tmp_path: Path) -> None:
    lines = ("connection: upgrade", "upgrade: websocket")
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst"]
        client.send(get("/", "x", *lines))
        head = await client.head()
        assert (status(head), header(head, b"upgrade")) == (101, b"websocket")
        assert await client.reader.readexactly(5) == b"first"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"http://a.com/b?c", (b"a.com", b"/b?c")),
        (b"HTTP://a.com", (b"a.com", b"/")),
        (b"https://a.com:8443/?c", (b"a.com:8443", b"/?c")),
    ],
)
def test_an_absolute_target_taken_apart(url: bytes, expected: tuple[bytes, bytes]) -> None:
    assert split_absolute(url) == expected


@pytest.mark.parametrize("url", [b"ftp://a.com/", b"http:///a", b"http://user@a.com/", b"a.com:80"])
def test_an_absolute_target_that_is_none(url: bytes) -> None:
    with pytest.raises(ClientError):
        split_absolute(url)


PLACES = st.from_regex(rb"[a-z0-9.-]{1,10}(:[1-9][0-9]{0,3})?", fullmatch=True) | st.just(b"[::1]:80")


@given(
    st.sampled_from([b"http", b"HTTPS"]), PLACES, st.from_regex(rb"(/[a-z/.]{0,8})?(\?[a-z=&?]{0,8})?", fullmatch=True)
)
def test_any_absolute_target_is_taken_apart_as_urllib_does_it(scheme: bytes, authority: bytes, rest: bytes) -> None:
    parts = urlsplit(scheme + b"://" + authority + rest)
    found, target = split_absolute(scheme + b"://" + authority + rest)
    assert found == parts.netloc == authority
    assert target == (rest or b"/")


@given(st.text("htp:/@[]?#ax.0 \\", max_size=16).map(str.encode))
def test_an_absolute_target_has_one_meaning_or_none(url: bytes) -> None:
    """Whatever is taken apart has an authority without anything that another parser could take for its end."""
    try:
        authority, target = split_absolute(url)
    except ClientError:
        return
    assert authority
    assert not set(authority) & set(b"/?#@\\")
    assert target[:1] in (b"/", b"?")


def test_about_the_bytes_of_a_head() -> None:
    head = RequestHead(b"GET", b"/", b"x", [(b"a", b"b")])
    assert head_size(head) == len(b"GET / HTTP/1.1\r\na: b\r\n")
