"""A reset on a real connection."""

from __future__ import annotations

import asyncio

import pytest

from pyproxy.downstream.closing import reset


class Resetting(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        reset(transport)


async def test_the_other_side_sees_a_reset() -> None:
    server = await asyncio.get_running_loop().create_server(Resetting, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
