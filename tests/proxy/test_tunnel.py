"""Two connections joined."""

from __future__ import annotations

import asyncio

import pytest

from pyproxy.proxy.tunnel import Tunnel


class FakeTransport(asyncio.Transport):
    """Keeps what is written, and says what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.did: list[str] = []
        self.protocol: asyncio.BaseProtocol | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.did.append("eof")

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")

    def is_closing(self) -> bool:
        return "close" in self.did

    def close(self) -> None:
        if not self.is_closing():
            self.did.append("close")


Joined = tuple[Tunnel, FakeTransport, FakeTransport, list[tuple[int, int]]]


@pytest.fixture
def joined() -> Joined:
    client, upstream, ended = FakeTransport(), FakeTransport(), list[tuple[int, int]]()
    tunnel = Tunnel(client, upstream, lambda received, sent: ended.append((received, sent)))
    tunnel.start(from_client=b"hello", from_upstream=b"banner")
    return tunnel, client, upstream, ended


def test_what_was_read_before_passes_first(joined: Joined) -> None:
    tunnel, client, upstream, _ = joined
    tunnel.client.data_received(b" there")
    assert (upstream.written, client.written) == (b"hello there", b"banner")
    assert client.protocol is tunnel.client
    assert client.did == upstream.did == ["resume"]


def test_the_slower_side_sets_the_pace(joined: Joined) -> None:
    tunnel, client, upstream, _ = joined
    tunnel.upstream.pause_writing()
    assert client.did == ["resume", "pause"]
    tunnel.upstream.resume_writing()
    assert client.did == ["resume", "pause", "resume"]
    assert upstream.did == ["resume"]


async def test_a_half_close_passes_on_and_the_second_ends_both(joined: Joined) -> None:
    tunnel, client, upstream, ended = joined
    assert tunnel.client.eof_received() is True
    assert upstream.did[-1] == "eof"
    tunnel.upstream.data_received(b"late")
    assert client.written == b"bannerlate"
    assert tunnel.upstream.eof_received() is False
    assert client.is_closing() and upstream.is_closing()
    tunnel.client.connection_lost(None)
    assert ended == []
    tunnel.upstream.connection_lost(None)
    assert ended == [(5, 10)]


async def test_one_side_lost_closes_the_other_and_ends_once(joined: Joined) -> None:
    tunnel, client, _, ended = joined
    tunnel.upstream.connection_lost(ConnectionResetError())
    assert client.is_closing()
    tunnel.client.connection_lost(None)
    tunnel.client.connection_lost(None)
    assert len(ended) == 1


@pytest.mark.parametrize(("side", "why"), [("client", None), ("upstream", ConnectionResetError())])
async def test_who_ended_it_is_remembered(side: str, why: Exception | None, joined: Joined) -> None:
    tunnel, *_ = joined
    first = tunnel.client if side == "client" else tunnel.upstream
    first.connection_lost(why)
    first.peer.connection_lost(ConnectionResetError())
    assert tunnel.lost_by is first
    assert tunnel.reset_by is (first if why else None)
