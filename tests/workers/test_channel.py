"""Messages over a socket pair: whole, in order, plain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from pyproxy.workers.channel import Channel, Message


class End:
    def __init__(self) -> None:
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.closed = asyncio.Event()
        self.channel = Channel(self.heard.put_nowait, self.closed.set)

    async def next(self) -> Message:
        return await asyncio.wait_for(self.heard.get(), 60)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    pair = End(), End()
    for end, sock in zip(pair, socket.socketpair(), strict=True):
        sock.setblocking(False)
        await end.channel.open(sock)
    yield pair
    for end in pair:
        end.channel.close()
        await asyncio.wait_for(end.closed.wait(), 60)


async def test_what_is_said_arrives_in_order_and_whole(ends: tuple[End, End]) -> None:
    one, other = ends
    large = {("label", "other"): [1, 2.5, None], "bytes": b"x" * 3_000_000}
    one.channel.send("first", 1)
    one.channel.send("large", large)
    one.channel.send("last")
    assert [await other.next() for _ in range(3)] == [("first", 1), ("large", large), ("last",)]
    other.channel.send("back", True)
    assert await one.next() == ("back", True)


async def test_a_message_may_come_a_byte_at_a_time() -> None:
    end = End()
    for byte in (frame := _frame(("a", 1)) + _frame(("b", 2))):
        end.channel.data_received(bytes([byte]))
    assert len(frame) > 10
    assert [end.heard.get_nowait() for _ in range(2)] == [("a", 1), ("b", 2)]
    assert end.heard.empty()


async def test_only_plain_data_is_said(ends: tuple[End, End]) -> None:
    with pytest.raises(ValueError, match="unmarshallable"):
        ends[0].channel.send("object", object())


async def test_the_end_of_the_other_process_is_told_once_and_silences(ends: tuple[End, End]) -> None:
    one, other = ends
    one.channel.send("goodbye")
    one.channel.close()
    assert await other.next() == ("goodbye",)
    await asyncio.wait_for(other.closed.wait(), 60)
    other.channel.send("anyone?")
    assert other.channel.unsent_bytes == 0


def _frame(message: Message) -> bytes:
    import marshal

    body = marshal.dumps(message)
    return len(body).to_bytes(4, "big") + body
