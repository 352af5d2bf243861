"""Writes a page to an admin port's client, in slices so short that traffic does not notice."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from email.utils import formatdate

from pyproxy.admin.pages import Page
from pyproxy.admin.requests import Request
from pyproxy.core.loop import Clock
from pyproxy.wire.http1 import LAST_CHUNK, encode_chunk, reason

SLICE = 0.001
"""Seconds of work on a page before the event loop gets its turn."""
STALLED = 60.0
"""Seconds for a client to take a slice."""
_CHUNK = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_HEADERS = {
    "Cache-Control": "no-cache, max-age=0",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Server": "pyproxy",
}


async def send(page: Page, request: Request, writer: asyncio.StreamWriter, clock: Clock) -> None:
    """One answer. Its length shows when it ends: it is chunked, or ends with the connection.

    Raises ConnectionError or TimeoutError where the client does not take it.
    """
    bodiless = request.method == "HEAD"
    packed = not bodiless and "gzip" in request.headers.get("accept-encoding", "")
    writer.write(_head(page, request, clock, packed=packed))
    pieces = slices(page, clock)
    for data in () if bodiless else _packed(pieces) if packed else pieces:
        writer.write(encode_chunk(data) if request.knows_chunks else data)
        async with asyncio.timeout(STALLED):
            await writer.drain()
        await asyncio.sleep(0)
    if request.knows_chunks and not bodiless:
        writer.write(LAST_CHUNK)


def slices(page: Page, clock: Clock) -> Iterator[bytes]:
    """The page in parts that are worth a write, or that took a slice to make; such a part may be empty."""
    until = clock.monotonic() + SLICE
    gathered: list[bytes] = []
    size = 0
    for piece in page.pieces:
        encoded = piece.encode(errors="replace") if isinstance(piece, str) else piece
        gathered.append(encoded)
        size += len(encoded)
        if size >= _CHUNK:
            yield b"".join(gathered)
            gathered, size = [], 0
        elif clock.monotonic() < until:
            continue
        else:
            yield b""
        until = clock.monotonic() + SLICE
    yield b"".join(gathered)


def _packed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same, compressed: as fast as can be, for the sake of traffic."""
    packer = zlib.compressobj(zlib.Z_BEST_SPEED, wbits=_GZIP)
    for part in parts:
        yield packer.compress(part)
    yield packer.flush()


def _head(page: Page, request: Request, clock: Clock, *, packed: bool) -> bytes:
    headers = {**_HEADERS, "Content-Type": page.content_type, "Date": formatdate(clock.time(), usegmt=True)}
    if packed:
        headers["Content-Encoding"] = "gzip"
    if request.knows_chunks:
        headers["Transfer-Encoding"] = "chunked"
    if not request.keep_alive:
        headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {page.status} {reason(page.status)}\r\n{lines}\r\n".encode()
