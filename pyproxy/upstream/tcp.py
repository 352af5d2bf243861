"""A connection to a host of its own, for tunnels: dialled once, never kept."""

from __future__ import annotations

import asyncio

from pyproxy.core.outcome import Outcome
from pyproxy.core.tls import Peer
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.dialling import TCP, TlsDialler, TlsFailed, open_socket, tls_of
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
        self.peer: Peer | None = None
        """The other end of TLS; None: plaintext."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.early += data
        self.transport.pause_reading()


async def dial(host: HostState, contexts: Contexts | None) -> Holding:
    """A connection to the host, secured as its cluster says. Raises DialError."""
    stats = host.cluster.stats
    stats.upstream_cx_total += 1
    host.stats.cx_total += 1
    holding = Holding()
    tls = tls_of(host, contexts)
    try:
        async with asyncio.timeout(host.cluster.cluster.connection.connect_timeout or None):
            if tls is None:
                await open_socket(host, holding)
            else:
                await TlsDialler(host, tls, contexts, "", TCP).connect(holding)
    except TimeoutError:
        stats.upstream_cx_connect_timeout += 1
        raise DialError(Outcome.CONNECTION_TIMEOUT, "") from None
    except TlsFailed as failed:
        _count_failure(host)
        raise DialError(Outcome.REMOTE_CONNECTION_FAILURE, str(failed)) from None
    except OSError as error:
        _count_failure(host)
        raise DialError(*connect_failure(error)) from error
    stats.upstream_cx_active += 1
    host.stats.cx_active += 1
    return holding


def hung_up(host: HostState) -> None:
    """A dialled connection is closed."""
    host.cluster.stats.upstream_cx_active -= 1
    host.cluster.stats.upstream_cx_destroy += 1
    host.stats.cx_active -= 1


def _count_failure(host: HostState) -> None:
    host.cluster.stats.upstream_cx_connect_fail += 1
    host.stats.cx_connect_fail += 1
