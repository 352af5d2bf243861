"""The first floor: one upstream connection for each client connection, and bytes copied both ways, unread."""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

from bench.baselines.arguments import parse


class Upstream(asyncio.Protocol):
    """The half that faces the service."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        """Bytes for the client."""
        self._client.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Both or none."""
        self._client.close()


class Client(asyncio.Protocol):
    """The half that faces the caller."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._early: list[bytes] = []
        self._upstream: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Dial at once."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        upstream, _ = await loop.create_connection(lambda: Upstream(self._transport), "127.0.0.1", self._port)
        upstream.writelines(self._early)
        self._upstream = upstream

    def data_received(self, data: bytes) -> None:
        """Bytes for the service."""
        if self._upstream is None:
            self._early.append(data)
        else:
            self._upstream.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Both or none."""
        if self._upstream is not None:
            self._upstream.close()


async def serve() -> None:
    """Serve until told to stop."""
    arguments = parse()
    port = arguments.upstreams[arguments.first]
    server = await asyncio.get_running_loop().create_server(
        lambda: Client(port), "127.0.0.1", arguments.port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
