"""The client side of HTTP/1.1: which responses are whole, which connections can be used again."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from pyproxy.downstream.http1 import Http1Server
from pyproxy.upstream.http1 import Http1Client
from tests.in_process import connected, get, header, service, status, upstream, worker


@pytest.mark.parametrize(
    ("answer", "method"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "GET"),
        (b"HTTP/1.1 204 No\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 No\r\ncontent-length: 10\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\ntrailer: x\r\n\r\n", "GET"),
        (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "GET"),
    ],
)
async def test_a_whole_response_leaves_the_connection_usable(tmp_path: Path, answer: bytes, method: str) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app:
        there.answers = [answer]
        async with connected(app) as client:
            client.send(get("/", "x", "connection: close", method=method))
            assert b" 20" in await client.rest() or b"304" in answer
        async with connected(app) as client:
            assert status(await client.ask(get())) == 200
        assert there.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_one_that_closes_or_says_more_is_not_used_again(tmp_path: Path, answer: bytes) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [answer]
        assert (await client.ask(get())).endswith(b"\r\n\r\na")
        assert (await client.ask(get())).endswith(b"\r\n\r\nok")
        assert there.connections == 2


async def test_a_connection_that_ends_is_freed_at_once_on_both_sides(tmp_path: Path) -> None:
    def left() -> int:
        return sum(isinstance(each, Http1Server | Http1Client) for each in gc.get_objects())

    gc.collect()
    before = left()
    gc.disable()  # a cycle would wait for the collector
    try:
        async with upstream() as there, worker(tmp_path, service("x", there.port)) as app:
            there.answers = [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
            async with connected(app) as client:
                assert status(await client.ask(get())) == 200
                assert left() > before
            for _ in range(100):
                if left() <= before:
                    break
                await asyncio.sleep(0.001)
            assert left() <= before
    finally:
        gc.enable()


async def test_a_body_may_end_with_the_connection(tmp_path: Path) -> None:
    async def then_close() -> bytes:
        there.answers = [b""]
        return b"HTTP/1.1 200 OK\r\n\r\n"

    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [then_close]
        client.send(get())
        head = await client.head()
        assert (status(head), header(head, b"transfer-encoding")) == (200, b"chunked")
        there.hang_up()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"a" * 90_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"a%d: b\r\n" % number for number in range(101)) + b"\r\n",
    ],
)
async def test_a_response_that_is_none_is_502(tmp_path: Path, answer: bytes) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [answer]
        response = await client.ask(get())
        assert status(response) == 502
        assert b"reset reason: protocol error" in response
        assert status(await client.ask(get())) == 200
