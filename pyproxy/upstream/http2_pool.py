"""HTTP/2 connections to one host: requests share one until it is full, then there is another. Source: as pool.py's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from pyproxy.core.loop import Clock, spawn
from pyproxy.core.outcome import Outcome
from pyproxy.runtime.clusters import HostState
from pyproxy.upstream.dialling import TlsDialler, TlsFailed, open_socket
from pyproxy.upstream.http2 import Http2Client
from pyproxy.upstream.pool import connect_failure
from pyproxy.upstream.stream import Borrower, Lender, RequestStream
from pyproxy.wire.proxy_protocol import NOBODY, Ends

BEFORE_SETTINGS: Final = 100
"""Streams that are begun before a host has said how many it takes. RFC 9113 recommends it no less."""
UNLIMITED: Final = 1 << 30
"""Streams of a connection where no rule says: what the host takes decides (Istio's max_concurrent_streams)."""
_MOST_DIALS: Final = 3
"""For one occasion, as in pool.py."""


class Http2Pool(Lender):
    """The HTTP/2 connections to one host, of one worker."""

    def __init__(self, host: HostState, clock: Clock, dialler: TlsDialler | None = None, ends: Ends = NOBODY) -> None:
        """`dialler` secures the connections; None: plaintext. `ends` are those of the only client."""
        self.host = host
        self._ends = ends
        self._clock = clock
        self._dialler = dialler
        self._open: list[Http2Client] = []
        self._ready: list[Http2Client] = []
        """Those that had room when last looked at; with many streams there are many that have none."""
        self._waiting: deque[Borrower] = deque()
        self._connecting = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._retired = False
        self.learned = BEFORE_SETTINGS
        """Streams that the host takes on a connection, as it said last."""

    # What an attempt may ask

    def borrow(self, borrower: Borrower) -> RequestStream | None:
        """A stream at once, or None: then the borrower is called later."""
        cluster = self.host.cluster
        ready = self._ready
        while ready:
            connection = ready[-1]
            if connection.room:
                if cluster.ceilings.may_request:
                    return self._stream_of(connection)
                cluster.stats.upstream_rq_active_overflow += 1
                borrower.on_connect_failed(Outcome.OVERFLOW, "")
                return None
            connection.listed = False
            ready.pop()
        if not cluster.ceilings.may_wait:
            cluster.stats.upstream_rq_pending_overflow += 1
            borrower.on_turned_away()
            return None
        self.borrow_fresh(borrower)
        return None

    def borrow_fresh(self, borrower: Borrower) -> None:
        """Wait for the next connection, or for room on one."""
        self._waiting.append(borrower)
        cluster = self.host.cluster
        cluster.ceilings.count_pending(1)
        cluster.stats.upstream_rq_pending_total += 1
        cluster.stats.upstream_rq_pending_active += 1
        self._dial_for_waiting()

    def cancel(self, borrower: Borrower) -> None:
        """The borrower waits no longer; its dial goes on."""
        if borrower in self._waiting:
            self._waiting.remove(borrower)
            self._waits_no_more()
            self.host.cluster.stats.upstream_rq_cancelled += 1

    # What a connection tells

    def opened(self, connection: Http2Client) -> None:
        """It is there."""
        self._connecting -= 1
        self._open.append(connection)
        settings = self.host.cluster.cluster.connection
        if settings.max_connection_duration:
            loop = asyncio.get_running_loop()
            connection.expiry = loop.call_later(settings.max_connection_duration, self._expire, connection)
        if self._retired and not self._waiting:
            connection.close()
            return
        self.has_room(connection)
        if connection.idle:
            self._keep(connection)

    def has_room(self, connection: Http2Client) -> None:
        """Streams may begin on it: who waits gets them."""
        cluster = self.host.cluster
        while self._waiting and connection.room:
            borrower = self._waiting.popleft()
            self._waits_no_more()
            if cluster.ceilings.may_request:
                borrower.on_connected(self._stream_of(connection))
            else:
                cluster.stats.upstream_rq_active_overflow += 1
                borrower.on_connect_failed(Outcome.OVERFLOW, "")
        if connection.room and not connection.listed:
            connection.listed = True
            self._ready.append(connection)
        self._dial_for_waiting()

    def released(self, connection: Http2Client) -> None:
        """One of its streams is over."""
        if connection.transport.is_closing():
            return
        if connection.usable:
            self.has_room(connection)
        if not connection.idle:
            return
        if not connection.usable or self._retired:
            connection.close()
            self.lost(connection)
        else:
            self._keep(connection)

    def discard(self, connection: Http2Client) -> None:
        """It takes no new streams."""
        connection.usable = False
        if connection.idle:
            connection.close()

    def lost(self, connection: Http2Client) -> None:
        """It is closed, or will be as soon as the loop comes to it; a second call does nothing."""
        if connection in self._open:
            self._open.remove(connection)
            if connection.listed:
                self._ready.remove(connection)
                connection.listed = False
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
        return bool(self._open or self._connecting or self._waiting)

    def drain(self) -> None:
        """The host was ejected: when it is back it gets new connections."""
        for connection in list(self._open):
            connection.usable = False
            if connection.idle:
                connection.close()

    def retire(self) -> None:
        """Nobody names this host any more."""
        self._retired = True
        self.drain()

    # For itself

    def _stream_of(self, connection: Http2Client) -> RequestStream:
        stream = connection.lend()
        limit = self.host.cluster.cluster.connection.max_requests_per_connection
        if limit and connection.requests >= limit:
            connection.usable = False
            self.host.cluster.stats.upstream_cx_max_requests += 1
        return stream

    def _waits_no_more(self, count: int = 1) -> None:
        cluster = self.host.cluster
        cluster.ceilings.count_pending(-count)
        cluster.stats.upstream_rq_pending_active -= count

    def _dial_for_waiting(self) -> None:
        """Dial while more wait than the connections being made will carry; a host without any may always have one."""
        cluster = self.host.cluster
        each = self._streams_each
        for _ in range(_MOST_DIALS):
            if self._connecting * each >= len(self._waiting):
                return
            allowed = cluster.ceilings.may_connect
            if not allowed:
                cluster.stats.upstream_cx_overflow += 1
            if allowed or not self.connections:
                self._start_dial()
            if not allowed:
                return

    @property
    def _streams_each(self) -> int:
        """What a new connection is expected to carry."""
        connection = self.host.cluster.cluster.connection
        return max(min(connection.max_requests_per_connection or UNLIMITED, self._max_streams, self.learned), 1)

    @property
    def _max_streams(self) -> int:
        return self.host.cluster.cluster.connection.max_concurrent_streams or UNLIMITED

    def _start_dial(self) -> None:
        """From here on the connection counts, whether or not it comes to be."""
        self._connecting += 1
        self.host.count_dial()
        self.host.cluster.stats.upstream_cx_http2_total += 1
        spawn(self._dial(), name=f"dial {self.host.key}")

    async def _dial(self) -> None:
        cluster = self.host.cluster
        connection = Http2Client(self, self._max_streams)
        try:
            async with asyncio.timeout(cluster.cluster.connection.connect_timeout or None):
                if self._dialler is None:
                    await open_socket(self.host, connection, self._ends)
                else:
                    await self._dialler.connect(connection)
        except TimeoutError:
            if connection not in self._open:
                cluster.stats.upstream_cx_connect_timeout += 1
                self._dial_failed(Outcome.CONNECTION_TIMEOUT, "")
        except TlsFailed as failed:
            self._dial_failed(Outcome.REMOTE_CONNECTION_FAILURE, str(failed))
        except OSError as error:
            self._dial_failed(*connect_failure(error))

    def _keep(self, connection: Http2Client) -> None:
        connection.idle_since = self._clock.monotonic()
        if self._idle_timer is None:
            self._time_idle(0.0)

    def _time_idle(self, idled: float) -> None:
        """One timer for all that is idle, set by the longest."""
        limit = self.host.cluster.cluster.connection.idle_timeout
        if limit:
            self._idle_timer = asyncio.get_running_loop().call_later(limit - idled, self._close_idle)

    def _close_idle(self) -> None:
        self._idle_timer = None
        limit = self.host.cluster.cluster.connection.idle_timeout
        now = self._clock.monotonic()
        longest = -1.0
        for connection in [each for each in self._open if each.idle]:
            idled = now - connection.idle_since
            if idled >= limit:
                self.host.cluster.stats.upstream_cx_idle_timeout += 1
                connection.close()
            else:
                longest = max(longest, idled)
        if longest >= 0.0:
            self._time_idle(longest)

    def _expire(self, connection: Http2Client) -> None:
        """It is as old as it may be: its requests may end, and no other begins."""
        if connection.usable:
            connection.usable = False
            self.host.cluster.stats.upstream_cx_max_duration_reached += 1
            if connection.idle:
                connection.close()

    def _dial_failed(self, outcome: Outcome, reason: str) -> None:
        self._connecting -= 1
        self.host.count_closed(here=outcome is Outcome.CONNECTION_TIMEOUT, cut=False)
        stats = self.host.cluster.stats
        stats.upstream_cx_connect_fail += 1
        self.host.stats.cx_connect_fail += 1
        waiting = list(self._waiting)
        self._waiting.clear()
        self._waits_no_more(len(waiting))
        stats.upstream_rq_pending_failure_eject += len(waiting)
        for borrower in waiting:
            borrower.on_connect_failed(outcome, reason)
