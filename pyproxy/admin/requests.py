"""Requests to an admin port, out of the bytes of one connection: what is asked for; bodies are read and dropped.

aiohttp could do this too, and every proxy would pay for it in memory: docs/decisions/0028-idle-memory.md.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from pyproxy.admin.pages import Query

MAX_HEAD = 64 * 1024
"""Bytes of a request line and its headers; what else came in the same read may be on top."""
IDLE = 3600.0
"""Seconds that a client may leave between two requests: scrapers keep their connections."""
PATIENCE = 60.0
"""Seconds from a request's first bytes to its last."""
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request, whole."""

    method: str
    path: str
    """Without percent-encoding."""
    query: Query
    """Of a name that comes twice the first counts; a name without a value has an empty one."""
    headers: Mapping[str, str]
    """By name in small letters; the values of a name that comes twice are joined by commas (RFC 9110, 5.3)."""
    keep_alive: bool
    knows_chunks: bool
    """Whether the client speaks HTTP/1.1."""


NO_REQUEST = Request("", "", {}, {}, keep_alive=False, knows_chunks=False)
"""What is answered where nothing could be read."""


class Refused(Exception):
    """What came is no request, or too long a one; nothing more can be read from this client."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Requests:
    """The requests of one connection, in order. httptools calls the `on_` methods."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._parser = httptools.HttpRequestParser(self)
        self._whole: deque[Request] = deque()
        self._over = False
        self._begin()

    async def next(self) -> Request | None:
        """The next one; None where the client has left, or keeps silent for too long. Raises Refused."""
        try:
            await self._read_one()
        except (ConnectionError, TimeoutError):
            return None
        return self._whole.popleft() if self._whole else None

    async def _read_one(self) -> None:
        if not self._whole and not self._over:
            async with asyncio.timeout(IDLE):
                await self._read()
            async with asyncio.timeout(PATIENCE):
                while not self._whole and not self._over:
                    await self._read()

    async def _read(self) -> None:
        data = await self._reader.read(_READ)
        self._over = not data
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # the request is whole; what it would change to is not spoken here
            self._over = True
        except httptools.HttpParserError as error:
            raise Refused("This is not HTTP/1.1.", 400) from error
        if not self._head_complete and self._head_size > MAX_HEAD:
            raise Refused("The request's head is too long.", 431)

    # Parser callbacks

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:  # a trailer
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._head_complete = True

    def on_message_complete(self) -> None:
        target = urlsplit(self._url.decode("latin-1"))
        knows_chunks = self._parser.get_http_version() == "1.1"
        request = Request(
            self._parser.get_method().decode(),
            unquote(target.path),
            dict(reversed(parse_qsl(target.query, keep_blank_values=True))),
            self._headers,
            keep_alive=knows_chunks and self._parser.should_keep_alive(),
            knows_chunks=knows_chunks,
        )
        self._whole.append(request)
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_complete = False
        self._head_size = 0
