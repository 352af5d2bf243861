"""What an admin port makes of the bytes of a connection."""

from __future__ import annotations

import asyncio

import pytest

from pyproxy.admin import requests
from pyproxy.admin.requests import MAX_HEAD, Refused, Request, Requests


def reading(data: bytes, *, end: bool = True) -> Requests:
    """What a client sent; `end`: and nothing more will come."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    if end:
        reader.feed_eof()
    return Requests(reader)


async def every(data: bytes) -> list[Request]:
    """All the requests in it."""
    found, source = [], reading(data)
    while (request := await source.next()) is not None:
        found.append(request)
    return found


async def test_a_request_is_what_is_asked_for() -> None:
    [request] = await every(b"GET /stats%2fall?filter=a%20b+c&usedonly HTTP/1.1\r\nHost: x:1\r\nAccept: */*\r\n\r\n")
    assert (request.method, request.path) == ("GET", "/stats/all")
    assert request.query == {"filter": "a b c", "usedonly": ""}
    assert request.headers == {"host": "x:1", "accept": "*/*"}
    assert request.keep_alive
    assert request.knows_chunks


async def test_the_first_of_two_values_counts_and_two_headers_are_one() -> None:
    [request] = await every(b"GET /?a=1&a=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
    assert request.query == {"a": "1"}
    assert request.headers["host"] == "127.0.0.1, evil.example"  # no name of ours: the guard refuses it


async def test_a_proxy_s_way_of_naming_a_target_is_understood() -> None:
    [request] = await every(b"GET http://127.0.0.1:15000/ready?x HTTP/1.1\r\nHost: 127.0.0.1:15000\r\n\r\n")
    assert (request.path, request.query) == ("/ready", {"x": ""})


async def test_requests_come_in_order_and_bodies_are_dropped() -> None:
    found = await every(
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
        b"GET /c HTTP/1.1\r\n\r\n"
    )
    assert [request.path for request in found] == ["/a", "/b", "/c"]
    assert "trailer" not in found[1].headers


async def test_bytes_may_come_one_at_a_time() -> None:
    reader = asyncio.StreamReader()
    source = Requests(reader)
    waiting = asyncio.ensure_future(source.next())
    for byte in b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nab":
        assert not waiting.done()
        reader.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    request = await waiting
    assert request is not None
    assert request.path == "/a"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",  # its answer ends with the connection
    ],
)
async def test_http_1_0_gets_one_answer_without_chunks(head: bytes) -> None:
    [request] = await every(head)
    assert not request.keep_alive
    assert not request.knows_chunks


async def test_who_asks_for_a_close_gets_it() -> None:
    [request] = await every(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert not request.keep_alive


async def test_an_upgrade_is_not_taken_and_nothing_is_read_behind_it() -> None:
    found = await every(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
    assert [request.path for request in found] == ["/"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET //[ HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        await reading(data).next()
    assert refused.value.status == 400


async def test_a_head_has_its_bounds_and_a_body_none() -> None:
    long = b"GET / HTTP/1.1\r\nx: " + b"a" * MAX_HEAD
    with pytest.raises(Refused) as refused:
        await reading(long, end=False).next()
    assert refused.value.status == 431
    size = 3 * MAX_HEAD
    [request] = await every(b"POST /a HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"a" * size)
    assert request.path == "/a"


async def test_who_leaves_in_the_middle_has_asked_for_nothing() -> None:
    assert await every(b"GET / HTTP/1.1\r\nHost") == []


async def test_who_keeps_silent_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "IDLE", 0.01)
    assert await reading(b"", end=False).next() is None
    monkeypatch.setattr(requests, "PATIENCE", 0.01)
    assert await reading(b"GET / HTTP/1.1\r\n", end=False).next() is None
