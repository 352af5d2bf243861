"""How a page becomes bytes: framing, headers, and how it stops for traffic and for slow clients."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace

import pytest

from pyproxy.admin import responses
from pyproxy.admin.pages import JSON, Page, text
from pyproxy.admin.requests import Request
from pyproxy.admin.responses import send, slices
from tests.fakes import FakeClock

ASKED = Request("GET", "/", {}, {}, keep_alive=True, knows_chunks=True)


class Writer:
    """Remembers what is written; `takes`: whether the client does."""

    def __init__(self, *, takes: bool = True) -> None:
        self.data = b""
        self._takes = takes

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        if not self._takes:
            await asyncio.Event().wait()


async def sent(page: Page, request: Request = ASKED) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers and body."""
    writer = Writer()
    await send(page, request, writer, FakeClock())  # type: ignore[arg-type]
    head, _, body = writer.data.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, dict(line.split(b": ", 1) for line in lines), body


async def test_a_page_is_chunked_as_its_length_shows_at_its_end() -> None:
    status, headers, body = await sent(text("hello\n"))
    assert status == b"HTTP/1.1 200 OK"
    assert headers[b"Transfer-Encoding"] == b"chunked"
    assert headers[b"Content-Type"] == b"text/plain; charset=UTF-8"
    assert b"Connection" not in headers
    assert headers[b"Date"].endswith(b" GMT")
    assert body == b"6\r\nhello\n\r\n0\r\n\r\n"


async def test_without_chunks_the_connection_s_end_is_the_page_s() -> None:
    old = replace(ASKED, keep_alive=False, knows_chunks=False)
    status, headers, body = await sent(Page(("{}",), 503, JSON), old)
    assert status == b"HTTP/1.1 503 Service Unavailable"
    assert headers[b"Connection"] == b"close"
    assert b"Transfer-Encoding" not in headers
    assert body == b"{}"


async def test_head_is_answered_with_a_head() -> None:
    _, headers, body = await sent(text("hello\n"), replace(ASKED, method="HEAD", headers={"accept-encoding": "gzip"}))
    assert b"Content-Encoding" not in headers
    assert body == b""


async def test_who_takes_gzip_gets_it_over_many_slices() -> None:
    page = Page([f"line {number}\n" * 1000 for number in range(20)])
    old = replace(ASKED, headers={"accept-encoding": "deflate, gzip"}, keep_alive=False, knows_chunks=False)
    _, headers, body = await sent(page, old)
    assert headers[b"Content-Encoding"] == b"gzip"
    assert gzip.decompress(body) == "".join(page.pieces).encode()


async def test_who_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "STALLED", 0.01)
    with pytest.raises(TimeoutError):
        await send(text("hello\n"), ASKED, Writer(takes=False), FakeClock())  # type: ignore[arg-type]


def test_slices_are_worth_a_write_or_empty() -> None:
    clock = FakeClock()

    def pieces() -> list[str]:
        return ["a" * 40_000] * 4

    assert [len(part) for part in slices(Page(pieces()), clock)] == [80_000, 80_000, 0]


def test_a_slice_ends_when_its_time_does() -> None:
    clock = FakeClock()

    def slow() -> object:
        for _ in range(3):
            clock.now += 0.001
            yield "a"

    assert list(slices(Page(slow()), clock)) == [b"", b"", b"", b"aaa"]  # type: ignore[arg-type]
