"""Connections to one host: lend the most recently used, dial when there is none, queue who waits, close the idle.

Source: Envoy conn_pool_base.cc. A request that finds no idle connection joins the queue; as many connections are
dialled as there are requests waiting. When a dial fails, everyone who waits fails with it, as in Envoy.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from typing import Final

from pyproxy.core.loop import Clock, spawn
from pyproxy.core.outcome import Outcome
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.dialling import TlsDialler, TlsFailed, open_socket
from pyproxy.upstream.http1 import Http1Client
from pyproxy.upstream.stream import Borrower, Lender
from pyproxy.wire.proxy_protocol import NOBODY, Ends

_LOCAL_FAILURES: Final = frozenset(
    {errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EACCES, errno.EPERM}
)

_MOST_DIALS: Final = 3
"""For one occasion. Source: Envoy conn_pool_base.cc, tryCreateNewConnections."""


class HostPool(Lender):
    """The connections to one host, of one worker."""

    __slots__ = (
        "_clock",
        "_connecting",
        "_dialler",
        "_ends",
        "_fresh",
        "_idle",
        "_idle_timer",
        "_open",
        "_retired",
        "_waiting",
        "host",
    )

    def __init__(self, host: HostState, clock: Clock, dialler: TlsDialler | None = None, ends: Ends = NOBODY) -> None:
        """`dialler` secures the connections; None: plaintext. `ends` are those of the only client."""
        self.host = host
        self._ends = ends
        self._clock = clock
        self._dialler = dialler
        self._idle: list[Http1Client] = []
        """The longest idle first."""
        self._idle_timer: asyncio.TimerHandle | None = None
        self._waiting: deque[Borrower] = deque()
        self._fresh: deque[Borrower] = deque()
        """They wait for a connection that has carried nothing yet."""
        self._connecting = 0
        self._open: set[Http1Client] = set()
        self._retired = False

    # What an attempt may ask

    def borrow(self, borrower: Borrower) -> Http1Client | None:
        """An idle connection at once, or None: then the borrower is called later."""
        cluster = self.host.cluster
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                if cluster.ceilings.may_request:
                    return connection
                self._idle.append(connection)
                cluster.stats.upstream_rq_active_overflow += 1
                borrower.on_connect_failed(Outcome.OVERFLOW, "")
                return None
        if not cluster.ceilings.may_wait:
            cluster.stats.upstream_rq_pending_overflow += 1
            borrower.on_turned_away()
            return None
        self._wait(borrower, self._waiting)
        self._dial_for_waiting()
        return None

    def borrow_fresh(self, borrower: Borrower) -> None:
        """A connection that has carried nothing yet."""
        self._wait(borrower, self._fresh)
        self._dial_for_waiting()

    def cancel(self, borrower: Borrower) -> None:
        """The borrower waits no longer; its dial goes on, and then idles."""
        for queue in (self._waiting, self._fresh):
            if borrower in queue:
                queue.remove(borrower)
                break
        else:
            return
        self._waits_no_more()
        self.host.cluster.stats.upstream_rq_cancelled += 1

    # What a connection tells

    def opened(self, connection: Http1Client) -> None:
        """It is there: lend it at once, or keep it."""
        self._connecting -= 1
        self._open.add(connection)
        duration = self.host.cluster.cluster.connection.max_connection_duration
        if duration:
            connection.expiry = asyncio.get_running_loop().call_later(duration, self._expire, connection)
        if self._fresh or self._waiting:
            self._lend(connection, self._fresh or self._waiting)
        elif self._retired:
            connection.close()
        else:
            self._keep(connection)

    def release(self, connection: Http1Client) -> None:
        """Its response is whole: lend it on, keep it, or close it."""
        settings = self.host.cluster.cluster.connection
        limit = settings.max_requests_per_connection
        if limit and connection.requests >= limit and connection.usable:
            connection.usable = False
            self.host.cluster.stats.upstream_cx_max_requests += 1
        if connection.transport.is_closing():
            return  # `lost` is on its way
        if not connection.usable or self._retired:
            connection.close()
            self._dial_for_waiting()  # refused and counted while this one counts, as in Envoy
            self.lost(connection)  # at once: who waits need not wait for the loop to say so
            return
        if self._waiting:
            self._lend(connection, self._waiting)
            self._dial_for_waiting()
            return
        self._keep(connection)

    def discard(self, connection: Http1Client) -> None:
        """It may not be lent again."""
        connection.usable = False
        if connection in self._idle:
            self._idle.remove(connection)

    def lost(self, connection: Http1Client) -> None:
        """It is closed, or will be as soon as the loop comes to it; a second call does nothing."""
        self.discard(connection)
        if connection in self._open:
            self._open.remove(connection)
            if connection.expiry is not None:
                connection.expiry.cancel()
            if self._dialler is not None:
                self._dialler.count_end(connection.transport)
            self.host.count_closed(here=connection.closed_here, cut=connection.cut)
            self._dial_for_waiting()

    # What the runtime may ask (clusters.Pool)

    @property
    def connections(self) -> int:
        """Open or opening."""
        return len(self._open) + self._connecting

    @property
    def in_use(self) -> bool:
        """Somebody has a connection of it, or waits for one."""
        return bool(self._open or self._connecting or self._waiting or self._fresh)

    def drain(self) -> None:
        """The host was ejected: when it is back it gets new connections. Source: Envoy onHostHealthFailure."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        for connection in self._open:
            connection.usable = False  # its response may end

    def retire(self) -> None:
        """Nobody names this host any more."""
        self._retired = True
        self.drain()

    # For itself

    def _wait(self, borrower: Borrower, queue: deque[Borrower]) -> None:
        queue.append(borrower)
        cluster = self.host.cluster
        cluster.ceilings.count_pending(1)
        cluster.stats.upstream_rq_pending_total += 1
        cluster.stats.upstream_rq_pending_active += 1

    def _waits_no_more(self, count: int = 1) -> None:
        cluster = self.host.cluster
        cluster.ceilings.count_pending(-count)
        cluster.stats.upstream_rq_pending_active -= count

    def _dial_for_waiting(self) -> None:
        """One dial for each who waits, under max_connections; a host without any connection may always open one."""
        cluster = self.host.cluster
        for _ in range(_MOST_DIALS):
            if self._connecting >= len(self._waiting) + len(self._fresh):
                return
            allowed = cluster.ceilings.may_connect
            if not allowed:
                cluster.stats.upstream_cx_overflow += 1
            if allowed or not self.connections:
                self._start_dial()
            if not allowed:
                return

    def _start_dial(self) -> None:
        """From here on the connection counts, whether or not it comes to be."""
        self._connecting += 1
        self.host.count_dial()
        self.host.cluster.stats.upstream_cx_http1_total += 1
        spawn(self._dial(), name=f"dial {self.host.key}")

    async def _dial(self) -> None:
        """Connect. That it is there the connection itself says, a turn of the loop before this comes back."""
        cluster = self.host.cluster
        connection = Http1Client(self)
        try:
            async with asyncio.timeout(cluster.cluster.connection.connect_timeout or None):
                await self._connect(connection)
        except TimeoutError:
            if connection not in self._open:
                cluster.stats.upstream_cx_connect_timeout += 1
                self._dial_failed(Outcome.CONNECTION_TIMEOUT, "")
        except TlsFailed as failed:
            self._dial_failed(Outcome.REMOTE_CONNECTION_FAILURE, str(failed))
        except OSError as error:
            self._dial_failed(*connect_failure(error))

    async def _connect(self, connection: Http1Client) -> None:
        if self._dialler is None:
            await open_socket(self.host, connection, self._ends)
        else:
            await self._dialler.connect(connection)

    def _lend(self, connection: Http1Client, queue: deque[Borrower]) -> None:
        borrower = queue.popleft()
        self._waits_no_more()
        cluster = self.host.cluster
        if cluster.ceilings.may_request:
            borrower.on_connected(connection)
            return
        self._keep(connection)
        cluster.stats.upstream_rq_active_overflow += 1
        borrower.on_connect_failed(Outcome.OVERFLOW, "")

    def _keep(self, connection: Http1Client) -> None:
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        if self._idle_timer is None:
            self._time_idle(0.0)

    def _time_idle(self, idled: float) -> None:
        """One timer for all that is idle, set by the longest: one for each request would cost too much."""
        limit = self.host.cluster.cluster.connection.idle_timeout
        if limit:
            self._idle_timer = asyncio.get_running_loop().call_later(limit - idled, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has idled too long."""
        self._idle_timer = None
        limit = self.host.cluster.cluster.connection.idle_timeout
        now = self._clock.monotonic()
        idle = self._idle
        while idle and limit and now - idle[0].idle_since >= limit:
            self.host.cluster.stats.upstream_cx_idle_timeout += 1
            idle.pop(0).close()
        if idle:
            self._time_idle(now - idle[0].idle_since)

    def _expire(self, connection: Http1Client) -> None:
        """It is as old as it may be: its request may end, and no other begins."""
        if connection.usable:
            connection.usable = False
            self.host.cluster.stats.upstream_cx_max_duration_reached += 1
            if connection in self._idle:
                self._idle.remove(connection)
                connection.close()

    def _dial_failed(self, outcome: Outcome, reason: str) -> None:
        self._connecting -= 1
        self.host.count_closed(here=outcome is Outcome.CONNECTION_TIMEOUT, cut=False)
        stats = self.host.cluster.stats
        stats.upstream_cx_connect_fail += 1
        self.host.stats.cx_connect_fail += 1
        waiting = [*self._fresh, *self._waiting]
        self._fresh.clear()
        self._waiting.clear()
        self._waits_no_more(len(waiting))
        stats.upstream_rq_pending_failure_eject += len(waiting)
        for borrower in waiting:
            borrower.on_connect_failed(outcome, reason)


def connect_failure(error: OSError) -> tuple[Outcome, str]:
    """Envoy's word for a failed connect and its transport failure reason, in which no space is left."""
    text = (os.strerror(error.errno) if error.errno else str(error)).replace(" ", "_")
    if error.errno in _LOCAL_FAILURES:
        return Outcome.LOCAL_CONNECTION_FAILURE, f"immediate_connect_error:_{text}"
    return Outcome.REMOTE_CONNECTION_FAILURE, f"delayed_connect_error:_{text}"
