"""Carries traffic in one process: a snapshot, its clusters, its listeners, their upkeep and their drain."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import sys
from collections.abc import Iterable, Sequence

from pyproxy.core.errors import CommandError
from pyproxy.core.loop import Clock, SystemClock, spawn
from pyproxy.core.streams import Streams
from pyproxy.downstream.listener import BoundListener, stats_name
from pyproxy.mtls.contexts import Contexts
from pyproxy.proxy.environment import Environment
from pyproxy.runtime.clusters import Sharing
from pyproxy.runtime.counters import (
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    TcpProxyStats,
    TcpStats,
    TracerStats,
)
from pyproxy.runtime.keyring import KeyRing
from pyproxy.runtime.live import Discoverer, Live
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Direction, Listener, ListenerKind, Snapshot
from pyproxy.telemetry.access_logs import AccessLogs
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata
from pyproxy.upstream.dns import DnsDiscovery, Resolver
from pyproxy.wire.http2_stats import Http2Stats

_log = logging.getLogger("pyproxy")
SWEEP_INTERVAL = 1.0
OUTLIER_TICK = 0.05
"""Seconds: how late, at most, an outlier detection's `interval` ends."""
RELOAD_SWITCH_INTERVAL = 0.001
"""Seconds for which a reload's thread may keep the interpreter while a request waits (CPython's own: 0.005)."""
SPANS_LEFT = 1.0
"""Seconds that a collector has for what is left, at the end or when nobody names it any more."""
IDLE_GRACE = 1.0
"""Seconds after SIGTERM in which an idle client may send one more request and is told to go, before it is cut off."""


class Worker:
    """The data path of one process. Alone it is half of an App; of several, each is in a process of its own."""

    def __init__(self, settings: Settings, clock: Clock | None = None, seed: int | str | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.rng = random.Random(seed)
        self._streams = None if seed is None else Streams(seed)
        self.listeners: dict[tuple[object, ...], BoundListener] = {}
        self.draining_listeners: list[BoundListener] = []
        self.http_stats: dict[str, HttpStats] = {}
        self.connection_stats: dict[str, ListenerStats] = {}
        self.http2_stats = Http2Stats()
        self.tcp_stats = TcpStats()
        self.tcp_proxies: dict[str, TcpProxyStats] = {}
        self.tracer_stats: dict[str, TracerStats] = {}
        self.listener_stats = ListenerManagerStats()
        self.resolver = Resolver()
        self.keys = KeyRing()
        self._access_log: AccessLogs | None = None
        self.tls: Contexts = None  # type: ignore[assignment]  # set in wire, before any use
        self.live: Live = None  # type: ignore[assignment]  # likewise
        self.env: Environment = None  # type: ignore[assignment]  # likewise

    def wire(self, snapshot: Snapshot, discoverer: Discoverer | None = None, sharing: Sharing | None = None) -> None:
        """Make the parts, for a first snapshot. What is not given is this process's own."""
        discovery = discoverer or DnsDiscovery(self.resolver, self.rng)
        self.tls = Contexts(self.settings.certificates_of(snapshot.identity), self.clock)
        self.tls.follow(snapshot)
        self.live = Live(snapshot, discovery, self.clock, self.rng, sharing, self._streams, self.keys)
        self.env = Environment(
            live=self.live,
            clock=self.clock,
            rng=self.rng,
            metrics=IstioMetrics(snapshot.identity),
            resolve=self.resolver.addresses,
            streams=self._streams,
            tls=self.tls,
            http2_stats=self.http2_stats,
            tcp_stats=self.tcp_stats,
            tcp_proxies=self.tcp_proxies,
        )
        self._tell_by(snapshot)

    def swap(self, snapshot: Snapshot) -> None:
        """Serve by a new snapshot from now on; `bind` follows with the listeners."""
        self.tls.follow(snapshot)
        self.live.swap(snapshot)
        self._tell_by(snapshot)

    async def bind(self, listeners: Iterable[Listener]) -> None:
        """Start the listeners that are new, keep those that stay, drain those that are gone.

        Raises CommandError about addresses that cannot be had, once all others are bound.
        """
        wanted = {listener_key(listener): listener for listener in listeners}
        for key in [key for key in self.listeners if key not in wanted]:
            gone = self.listeners.pop(key)
            gone.stop_accepting()
            gone.tracker.draining = True  # the sweep closes what is still idle then
            self.draining_listeners.append(gone)
            self.listener_stats.listener_removed += 1
        refused: list[str] = []
        for key, listener in wanted.items():
            bound = self.listeners.get(key)
            if bound is not None:
                bound.listener = listener
                continue
            stats = self.http_stats.setdefault(_prefix(listener), HttpStats())
            connections = self.connection_stats.setdefault(stats_name(listener), ListenerStats())
            bound = BoundListener(self.env, listener, stats, self.settings.request_headers_timeout, connections)
            try:
                await bound.start(self.socket_for(listener))
            except CommandError as error:
                refused.append(str(error))
                self.listener_stats.listener_create_failure += 1
                continue
            self.listeners[key] = bound
            self.listener_stats.listener_added += 1
        self._count_listeners()
        if refused:
            raise CommandError("\n".join(refused), exit_code=1)

    def socket_for(self, listener: Listener) -> socket.socket | None:
        """The socket of a listener, already bound; None: it binds one itself. Raises CommandError."""
        return None

    def settle(self) -> None:
        """What start-up made stays: no later collection need look at it. A reload's thread lets requests through."""
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(RELOAD_SWITCH_INTERVAL)

    async def sweep(self) -> None:
        """Housekeeping, once a second, for ever."""
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            self.live.sweep()
            now = self.clock.monotonic()
            for bound in [*self.listeners.values(), *self.draining_listeners]:
                bound.tracker.sweep(now)
            for bound in self.draining_listeners:
                bound.drain()
            self.draining_listeners = [bound for bound in self.draining_listeners if bound.connections]
            self._count_listeners()
            if self._access_log is not None:
                self._access_log.flush()

    def drain_listeners(self, *, inbound_only: bool, graceful: bool, keep_listening: bool) -> None:
        """Responses say `connection: close`; the sockets close now, or after the drain time, or never."""
        loop = asyncio.get_running_loop()
        for bound in self.listeners.values():
            if inbound_only and bound.listener.http.direction is not Direction.INBOUND:
                continue
            bound.tracker.draining = True
            if not keep_listening:
                loop.call_later(self.settings.drain_duration if graceful else 0, bound.stop_accepting)

    async def drain(self) -> None:
        """Ask every client to go, then take no more, and let open requests end; `drain_duration` in all."""
        self.env.draining = True
        bound = [*self.listeners.values(), *self.draining_listeners]
        now, grace = self.clock.monotonic(), min(IDLE_GRACE, self.settings.drain_duration / 2)
        await self._until_closed(bound, now + grace * 0.75)
        for listener in bound:
            listener.stop_accepting()
        await self._until_closed(bound, now + grace)  # who has just connected has a request to send
        for listener in bound:
            listener.drain()
        await self._until_closed(bound, now + self.settings.drain_duration)
        for listener in bound:
            listener.abort()

    async def close(self) -> None:
        """Send the last spans; let go of upstreams and of the access log."""
        if self.env.spans is not None:
            await self.env.spans.close(SPANS_LEFT)
        for state in self.live.serving.clusters.values():
            self.live.discoverer.forget(state)
            state.retire()
        if self._access_log is not None:
            self._access_log.close()

    # For itself

    async def _until_closed(self, bound: Sequence[BoundListener], deadline: float) -> None:
        while any(listener.connections for listener in bound) and self.clock.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def _tell_by(self, snapshot: Snapshot) -> None:
        """Who we are, and what we tell of whom, is as the documents have it now."""
        self._set_access_log(snapshot)
        self.env.introduce_as(own_metadata(snapshot.identity))
        self.env.metrics.follow(snapshot.identity, snapshot.telemetry)
        sides = (snapshot.telemetry.client.tracing, snapshot.telemetry.server.tracing)
        if self.env.spans is None:
            if all(side.export is None for side in sides):
                return
            from pyproxy.proxy.spans import Spans  # most meshes have no collector

            self.env.spans = Spans(self.env, self.tracer_stats)
        for reports in self.env.spans.follow(snapshot.identity, snapshot.telemetry):
            spawn(reports.close(SPANS_LEFT), name="send the last spans")

    def _set_access_log(self, snapshot: Snapshot) -> None:
        telemetry = snapshot.telemetry
        if self._access_log is not None:
            if self._access_log.fits(telemetry):
                return
            self._access_log.close()
        logged = telemetry.client.access_logs or telemetry.server.access_logs
        self._access_log = AccessLogs(telemetry, self.clock) if logged else None
        self.env.access_log = self._access_log

    def _count_listeners(self) -> None:
        self.listener_stats.total_listeners_active = len(self.listeners)
        self.listener_stats.total_listeners_draining = len(self.draining_listeners)


async def sweep_outliers(live: Live) -> None:
    """Judge the intervals of outlier detection as they end, for ever."""
    while True:
        await asyncio.sleep(OUTLIER_TICK)
        live.sweep_outliers()


def listener_key(listener: Listener) -> tuple[object, ...]:
    """Two listeners with one key share a socket across a reload."""
    return listener.kind, listener.address, listener.port, listener.name if listener.port == 0 else ""


def _prefix(listener: Listener) -> str:
    """The connection manager's statistics prefix, as Istio names them."""
    if listener.kind is ListenerKind.INBOUND_CAPTURE:
        return "inbound_0.0.0.0_15006"
    return f"{listener.http.direction.value}_{listener.address}_{listener.port}"
