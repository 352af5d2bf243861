"""What the first bytes of a connection decide."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from pyproxy.downstream.entrance import looks_like_http
from tests.in_process import SECONDS, until
from tests.inbound_side import connection, workload


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"G", None),
        (b"GET", None),
        (b"GET ", True),
        (b"GET / HTTP/1.1\r\n", True),
        (b"PROPFIND ", True),
        (b"AB ", False),
        (b"get /", False),
        (b"\x16\x03\x01", False),
        (b"SSH-2.0", False),
        (b"A" * 16, None),
        (b"A" * 17, False),
    ],
)
def test_the_first_bytes_tell_http_from_the_rest(data: bytes, verdict: bool | None) -> None:
    assert looks_like_http(data) is verdict


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["istio"])
    client = context.wrap_bio(incoming, outgoing, server_hostname="reviews")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def test_a_handshake_has_fifteen_seconds(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side, connection(side) as (reader, writer):
        (bound,) = [one for one in side.app.listeners.values() if one.listener.name == "virtualInbound"]
        writer.write(client_hello())
        await reader.readexactly(5)  # the server's part of it begins
        bound.tracker.sweep(side.app.clock.monotonic() + 14)
        assert len(bound.tracker.connections) == 1
        bound.tracker.sweep(side.app.clock.monotonic() + 16)
        async with asyncio.timeout(SECONDS):
            await reader.read()
        await until(lambda: not bound.tracker.connections)
        assert side.stats["downstream_cx_transport_socket_connect_timeout"] == 1


async def test_a_hello_that_does_not_end_has_as_long_as_a_head(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side, connection(side) as (reader, writer):
        (bound,) = [one for one in side.app.listeners.values() if one.listener.name == "virtualInbound"]
        writer.write(client_hello()[:20])
        await until(lambda: any(one.deadline for one in bound.tracker.connections))
        bound.tracker.sweep(side.app.clock.monotonic() + 11)
        async with asyncio.timeout(SECONDS):
            assert await reader.read() == b""
        assert "downstream_cx_transport_socket_connect_timeout" not in side.stats
