from __future__ import annotations

import asyncio

import pytest

from pyproxy.upstream.tunnelling import OPEN, Asking
from tests.fakes import FakeTransport

OK = b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n"


def asking() -> Asking:
    made = Asking(b"", "target.test:443")
    transport = FakeTransport()
    transport.set_protocol(made)
    made.connection_made(transport)
    assert transport.written == b"CONNECT target.test:443 HTTP/1.1\r\nhost: target.test:443\r\n\r\n"
    return made


@pytest.mark.parametrize("pieces", [[OK + b"early"], [bytes((byte,)) for byte in OK + b"early"]])
async def test_what_is_behind_the_answer_is_the_other_ends(pieces: list[bytes]) -> None:
    one = asking()
    for piece in pieces:
        one.data_received(piece)
    assert await one.answered == OPEN
    assert one.early == b"early"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", "tunnel_response:403"),
        (b"HTTP/1.0 407 Who\r\n\r\n", "tunnel_response:407"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", OPEN),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OPEN),
        (b"garbage\r\n\r\n", ""),
        (b"x" * 100_000, ""),
    ],
)
async def test_an_answer_decides(answer: bytes, reason: str) -> None:
    one = asking()
    one.data_received(answer)
    assert await one.answered == reason
    assert one.early == b""


async def test_an_end_is_no_answer() -> None:
    ended, lost = asking(), asking()
    ended.eof_received()
    lost.connection_lost(None)
    assert await ended.answered == await lost.answered == ""
    await asyncio.sleep(0)
