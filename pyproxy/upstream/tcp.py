"""A plain connection to a host, for tunnels: dialled once, never kept."""

from __future__ import annotations

import asyncio

from pyproxy.core.loop import Clock
from pyproxy.core.outcome import Outcome
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.pool import connect_failure


class DialError(Exception):
    """No connection; `outcome` and `reason` as for an attempt."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(f"{outcome.value} {reason}")
        self.outcome = outcome
        self.reason = reason


class Holding(asyncio.Protocol):
    """Keeps what a server says first until the tunnel takes the transport over."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.early += data
        self.transport.pause_reading()


async def dial(host: HostState, clock: Clock) -> Holding:
    """A connection to the host. Raises DialError."""
    loop = asyncio.get_running_loop()
    stats = host.cluster.stats
    stats.upstream_cx_total += 1
    host.stats.cx_total += 1
    try:
        async with asyncio.timeout(host.cluster.cluster.connection.connect_timeout or None):
            if host.address.startswith("unix:"):
                path = host.address.removeprefix("unix:").replace("///", "/")
                _, holding = await loop.create_unix_connection(Holding, path)
            else:
                _, holding = await loop.create_connection(Holding, host.address, host.port)
    except TimeoutError:
        stats.upstream_cx_connect_timeout += 1
        raise DialError(Outcome.CONNECTION_TIMEOUT, "") from None
    except OSError as error:
        stats.upstream_cx_connect_fail += 1
        host.stats.cx_connect_fail += 1
        raise DialError(*connect_failure(error)) from error
    stats.upstream_cx_active += 1
    host.stats.cx_active += 1
    return holding


def hung_up(host: HostState) -> None:
    """A dialled connection is closed."""
    host.cluster.stats.upstream_cx_active -= 1
    host.cluster.stats.upstream_cx_destroy += 1
    host.stats.cx_active -= 1
