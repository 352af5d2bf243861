"""A connection to a host of its own, for tunnels: dialled once, never kept. Source: Envoy conn_pool_base.cc."""

from __future__ import annotations

import asyncio

from pyproxy.core.outcome import Outcome
from pyproxy.core.tls import Peer
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.dialling import TCP, TlsDialler, TlsFailed, open_socket, tls_of
from pyproxy.upstream.pool import connect_failure
from pyproxy.wire.peer_exchange import PEER_EXCHANGE, FrameReader
from pyproxy.wire.proxy_protocol import NOBODY, Ends


class DialError(Exception):
    """No connection; `outcome` and `reason` as for an attempt."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(f"{outcome.value} {reason}")
        self.outcome = outcome
        self.reason = reason


class Holding(asyncio.Protocol):
    """Says who we are where that was agreed on, and keeps what a server says first until the tunnel takes over."""

    def __init__(self, own_frame: bytes) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use
        self.early = b""
        self.ended = False
        """The server has sent all it will send."""
        self.peer: Peer | None = None
        """The other end of TLS; None: plaintext."""
        self.frame: FrameReader | None = None
        """Where the server's proxy says who it is; None: it does not."""
        self._own_frame = own_frame

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if self.peer is not None and self.peer.alpn == PEER_EXCHANGE:
            self.frame = FrameReader()
            self.transport.write(self._own_frame)

    def data_received(self, data: bytes) -> None:
        if self.frame is not None:
            data = self.frame.feed(data)
        if data:
            self.early += data
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self.frame is not None and not self.frame.done:
            self.early = self.frame.end()
        return True


async def dial(host: HostState, contexts: Contexts | None, own_frame: bytes, ends: Ends = NOBODY) -> Holding:
    """A connection to the host, secured as its cluster says, for a client with these ends. Raises DialError."""
    holding = Holding(own_frame)
    await connect(holding, host, contexts, ends)
    return holding


async def connect(holding: Holding, host: HostState, contexts: Contexts | None, ends: Ends = NOBODY) -> None:
    """Likewise, for a protocol that is there already. Raises DialError.

    From here on it counts as a request too: that is what balancers and `/clusters` look at. `hung_up` ends both.
    """
    cluster = host.cluster
    stats = cluster.stats
    if not cluster.ceilings.may_connect:
        stats.upstream_cx_overflow += 1
        raise DialError(Outcome.OVERFLOW, "")
    if not cluster.ceilings.may_wait:
        stats.upstream_rq_pending_overflow += 1
        raise DialError(Outcome.OVERFLOW, "")
    host.count_dial()
    stats.upstream_rq_pending_total += 1
    _count_waiting(host, 1)
    try:
        await _connect(holding, host, contexts, ends)
    except DialError as error:
        stats.upstream_cx_connect_fail += 1
        stats.upstream_rq_pending_failure_eject += 1
        host.stats.cx_connect_fail += 1
        host.count_closed(here=error.outcome is Outcome.CONNECTION_TIMEOUT, cut=False)
        if host.monitor is not None:
            host.monitor.record_failure(error.outcome)
        raise
    except asyncio.CancelledError:
        host.count_closed(here=True, cut=False)
        raise
    finally:
        _count_waiting(host, -1)
    host.begin_request()
    _count_success(host)


def hung_up(host: HostState, *, here: bool = True) -> None:
    """A dialled connection is closed, by us or not."""
    host.end_tunnel()
    host.count_closed(here=here, cut=True)


async def _connect(holding: Holding, host: HostState, contexts: Contexts | None, ends: Ends) -> None:
    tls = tls_of(host, contexts)
    try:
        async with asyncio.timeout(host.cluster.cluster.connection.connect_timeout or None):
            if tls is None:
                await open_socket(host, holding, ends)
            else:
                await TlsDialler(host, tls, contexts, "", TCP, ends).connect(holding)
    except TimeoutError:
        host.cluster.stats.upstream_cx_connect_timeout += 1
        raise DialError(Outcome.CONNECTION_TIMEOUT, "") from None
    except TlsFailed as failed:
        raise DialError(Outcome.REMOTE_CONNECTION_FAILURE, str(failed)) from None
    except OSError as error:
        raise DialError(*connect_failure(error)) from error


def _count_waiting(host: HostState, change: int) -> None:
    host.cluster.ceilings.count_pending(change)
    host.cluster.stats.upstream_rq_pending_active += change
    host.stats.rq_pending_active += change


def _count_success(host: HostState) -> None:
    """For outlier detection a connection that was made is all the success that there is."""
    if host.monitor is None:
        return
    policy = host.cluster.cluster.outlier
    if policy is not None and policy.split_local_origin:
        host.monitor.record_connected()
    else:
        host.monitor.record_response(200)
