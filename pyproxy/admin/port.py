"""One listening socket with its pages, on aiohttp: answers in slices so short that traffic does not notice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping

from aiohttp import web

from pyproxy.admin.endpoints import Endpoint, answer
from pyproxy.admin.guard import Guard
from pyproxy.admin.pages import Page, text
from pyproxy.admin.served import Served
from pyproxy.core.errors import cannot_listen

_log = logging.getLogger("pyproxy.admin")
SLICE = 0.001
"""Seconds of work on a page before the event loop gets its turn."""
_CHUNK = 64 * 1024
_HEADERS = {
    "Cache-Control": "no-cache, max-age=0",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'",
    "Server": "pyproxy",
}


class Port:
    """One listening socket and its pages. Without a guard it is open to every name: probes and scrapers use many."""

    def __init__(
        self,
        name: str,
        address: str,
        port: int,
        served: Served,
        endpoints: Mapping[str, Endpoint],
        guard: Guard | None = None,
    ) -> None:
        self.name = name
        self.bound = ""
        self._address = address
        self._port = port
        self._served = served
        self._endpoints = endpoints
        self._guard = guard
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen. Raises CommandError that names the flag."""
        self._runner = web.ServerRunner(web.Server(self._serve, access_log=None, logger=_log), shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._address, self._port, reuse_address=True).start()
        except OSError as error:
            flag = f"--{self.name}-port"
            elsewhere = f"{flag} (0: any free one)"
            raise cannot_listen(f"{self._address}:{self._port}", flag, elsewhere, error) from error
        host, port = self._runner.addresses[0][:2]
        self.bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close the socket and what is connected to it."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._guard.refusal(request.method, request.headers) if self._guard else ""
        if refusal:
            return await self._send(request, text(refusal + "\n", 403))
        endpoint = self._endpoints.get(request.path)
        if endpoint is not None and endpoint.adds_up:
            await self._served.gather()
        return await self._send(
            request, answer(self._served, self._endpoints, request.method, request.path, request.query)
        )

    async def _send(self, request: web.BaseRequest, page: Page) -> web.StreamResponse:
        response = web.StreamResponse(status=page.status, headers={**_HEADERS, "Content-Type": page.content_type})
        bodiless = request.method == "HEAD"
        if not bodiless and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        try:
            await response.prepare(request)
            for chunk in () if bodiless else self._slices(page):
                if chunk:
                    await response.write(chunk)
                await asyncio.sleep(0)
            await response.write_eof()
        except ConnectionResetError:
            # A prober may leave with the status alone. aiohttp ends whatever is returned, and what is compressed cannot
            # be ended twice; an empty answer goes nowhere without a word.
            return web.Response()
        return response

    def _slices(self, page: Page) -> Iterator[bytes]:
        """The page in parts that are worth a write, or that took a slice to make; such a part may be empty."""
        clock = self._served.clock
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
