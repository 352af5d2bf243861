"""Where a connection was going. What iptables redirects, tests/integration asks of the kernel."""

from __future__ import annotations

import asyncio

import pytest

from pyproxy.downstream.original_destination import original_destination


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_connection_that_was_not_redirected_was_going_nowhere_else(address: str) -> None:
    seen: list[object] = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            seen.append(original_destination(transport, transport.get_extra_info("sockname")))
            transport.close()

    server = await asyncio.get_running_loop().create_server(Protocol, address, 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert seen == [None]


def test_what_has_no_socket_was_going_nowhere_else() -> None:
    assert original_destination(asyncio.Transport(), ("127.0.0.1", 80)) is None
