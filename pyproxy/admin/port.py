"""One listening socket with its pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from pyproxy.admin.endpoints import Endpoint, answer
from pyproxy.admin.guard import Guard
from pyproxy.admin.pages import Page, text
from pyproxy.admin.requests import NO_REQUEST, Refused, Request, Requests
from pyproxy.admin.responses import send
from pyproxy.admin.served import Served
from pyproxy.core.errors import cannot_listen
from pyproxy.core.loop import spawn

CLOSING = 1.0
"""Seconds for who is being answered while the port closes."""


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
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None] | None] = set()

    async def start(self) -> None:
        """Listen. Raises CommandError that names the flag."""
        try:
            self._server = await asyncio.start_server(self._on_client, self._address, self._port, reuse_address=True)
        except OSError as error:
            flag = f"--{self.name}-port"
            elsewhere = f"{flag} (0: any free one)"
            raise cannot_listen(f"{self._address}:{self._port}", flag, elsewhere, error) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        self.bound = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Close the socket and what is connected to it."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for client in self._clients - self._answering:
            client.cancel()
        if self._clients:
            _, late = await asyncio.wait(self._clients, timeout=CLOSING)
            for client in late:
                client.cancel()

    # One client

    def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = spawn(self._converse(Requests(reader), writer), name=f"{self.name} client")
        self._clients.add(client)
        client.add_done_callback(self._clients.discard)

    async def _converse(self, requests: Requests, writer: asyncio.StreamWriter) -> None:
        """Until either side has had enough. A client may leave at any time."""
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, TimeoutError):
            try:
                await self._answer_all(requests, writer)
            except Refused as refused:
                await send(text(f"{refused}\n", refused.status), NO_REQUEST, writer, self._served.clock)

    async def _answer_all(self, requests: Requests, writer: asyncio.StreamWriter) -> None:
        client = asyncio.current_task()
        while self._server is not None and (request := await requests.next()) is not None:
            self._answering.add(client)
            try:
                await send(await self._page(request), request, writer, self._served.clock)
            finally:
                self._answering.discard(client)
            if not request.keep_alive:
                break

    async def _page(self, request: Request) -> Page:
        refusal = self._guard.refusal(request.method, request.headers) if self._guard else ""
        if refusal:
            return text(refusal + "\n", 403)
        endpoint = self._endpoints.get(request.path)
        if endpoint is not None and endpoint.adds_up:
            await self._served.gather()
        return answer(self._served, self._endpoints, request.method, request.path, request.query)
