"""Wires one worker together, starts it, keeps it up to date, drains it. The only file that knows every package."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Sequence

from pyproxy.admin.server import AdminServers
from pyproxy.core.errors import CommandError
from pyproxy.core.loop import Clock, SystemClock, spawn
from pyproxy.downstream.listener import BoundListener
from pyproxy.proxy.environment import Environment
from pyproxy.reload import Loaded, Reloader, ReloadStatus, read
from pyproxy.runtime.counters import HttpStats, ListenerManagerStats
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Direction, Listener, ListenerKind, Snapshot
from pyproxy.telemetry.access_log import AccessLogger
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata
from pyproxy.upstream.dns import DnsDiscovery, Resolver

_log = logging.getLogger("pyproxy")
SWEEP_INTERVAL = 1.0
OUTLIER_TICK = 0.05
"""Seconds: how late, at most, an outlier detection's `interval` ends."""
RELOAD_SWITCH_INTERVAL = 0.001
"""Seconds for which a reload's thread may keep the interpreter while a request waits (CPython's own: 0.005)."""
IDLE_GRACE = 1.0
"""Seconds after SIGTERM in which an idle client may send one more request and is told to go, before it is cut off."""
READY_TIMEOUT = 30.0
"""Seconds that start-up waits for the first DNS answers before it serves without them."""


class App:
    """One worker: a snapshot, its clusters, its listeners, its admin ports."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.rng = random.Random(settings.seed)
        self.started_at = self.clock.time()
        self.listeners: dict[tuple[object, ...], BoundListener] = {}
        self.draining_listeners: list[BoundListener] = []
        self.http_stats: dict[str, HttpStats] = {}
        self.listener_stats = ListenerManagerStats()
        self.ready = False
        self.resolver = Resolver()
        self._access_log: AccessLogger | None = None
        self._stopping = asyncio.Event()
        self._reloader = Reloader(settings.config, settings.identity_in, settings.listening, self._take_up, self.clock)
        self.live: Live = None  # type: ignore[assignment]  # set in start, before any use
        self.env: Environment = None  # type: ignore[assignment]  # likewise

    # What commands call

    async def run(self) -> None:
        """Start, serve until told to stop, drain. Raises CommandError when it cannot start."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        await self.start()
        await self._stopping.wait()
        await self.shut_down()

    def stop(self) -> None:
        """Begin the drain; a second call does nothing more."""
        self._stopping.set()

    async def start(self) -> None:
        """Load, bind, and say so."""
        loaded = read(self.settings.config, self.settings.identity_in, self.settings.listening)
        if loaded.snapshot is None:
            raise CommandError(_complaint(loaded), exit_code=1)
        self._wire(loaded.snapshot)
        self._reloader.accept(loaded)
        self.admin = AdminServers(self)
        await self.admin.start()
        await self._bind(loaded.snapshot)
        await self._wait_for_names()
        self._tasks = [
            spawn(self._reloader.watch(), name="watch documents"),
            spawn(self._sweep(), name="sweep"),
            spawn(self._sweep_outliers(), name="sweep outliers"),
        ]
        gc.collect()
        gc.freeze()  # what start-up made stays; no later collection need look at it
        sys.setswitchinterval(RELOAD_SWITCH_INTERVAL)
        self.ready = True
        self._announce()

    async def shut_down(self) -> None:
        """Drain: ask every client to go, then take no more, and let open requests end; `drain_duration` in all."""
        _log.info("draining for at most %g s", self.settings.drain_duration)
        self.ready = False
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
        for task in self._tasks:
            task.cancel()
        for state in self.live.serving.clusters.values():
            self.live.discoverer.forget(state)
            state.retire()
        await self.admin.stop()
        if self._access_log is not None:
            self._access_log.close()
        _log.info("stopped")

    async def _until_closed(self, bound: Sequence[BoundListener], deadline: float) -> None:
        while any(listener.connections for listener in bound) and self.clock.monotonic() < deadline:
            await asyncio.sleep(0.02)

    # What admin and metrics read

    @property
    def reload_status(self) -> ReloadStatus:
        """How reloads went."""
        return self._reloader.status

    @property
    def metrics(self) -> IstioMetrics:
        """This worker's."""
        return self.env.metrics

    @property
    def state(self) -> str:
        """Envoy's word for it."""
        if self.env.draining:
            return "DRAINING"
        return "LIVE" if self.ready else "INITIALIZING"

    def fail_health_checks(self) -> None:
        """Not ready, and every response says `connection: close`; nothing is refused."""
        self.env.draining = True

    def pass_health_checks(self) -> None:
        """Undo it, unless the process is on its way out."""
        if self.ready:
            self.env.draining = False

    def drain_listeners(self, *, inbound_only: bool, graceful: bool, keep_listening: bool) -> None:
        """Responses say `connection: close`; the sockets close now, or after the drain time, or never."""
        loop = asyncio.get_running_loop()
        for bound in self.listeners.values():
            if inbound_only and bound.listener.http.direction is not Direction.INBOUND:
                continue
            bound.tracker.draining = True
            if not keep_listening:
                loop.call_later(self.settings.drain_duration if graceful else 0, bound.stop_accepting)

    # For itself

    def _wire(self, snapshot: Snapshot) -> None:
        discovery = DnsDiscovery(self.resolver, self.rng)
        self.live = Live(snapshot, discovery, self.clock, self.rng)
        self.env = Environment(
            live=self.live,
            clock=self.clock,
            rng=self.rng,
            metrics=IstioMetrics(snapshot.identity),
            resolve=self.resolver.addresses,
            own_metadata=own_metadata(snapshot.identity),
        )
        self._set_access_log(snapshot)

    def _set_access_log(self, snapshot: Snapshot) -> None:
        if self._access_log is not None:
            if self._access_log.settings == snapshot.access_log:
                return
            self._access_log.close()
        self._access_log = AccessLogger(snapshot.access_log, self.clock) if snapshot.access_log.path else None
        self.env.access_log = self._access_log

    def _take_up(self, snapshot: Snapshot) -> None:
        """Swap in a new snapshot, then follow it with the listeners."""
        self.live.swap(snapshot)
        self._set_access_log(snapshot)
        spawn(self._follow(snapshot), name="follow listeners")

    async def _follow(self, snapshot: Snapshot) -> None:
        try:
            await self._bind(snapshot)
        except CommandError as error:
            _log.error("%s", error)

    async def _bind(self, snapshot: Snapshot) -> None:
        """Start the listeners that are new, keep those that stay, drain those that are gone.

        Raises CommandError about addresses that cannot be had, once all others are bound.
        """
        wanted = {_key(listener): listener for listener in snapshot.listeners}
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
            bound = BoundListener(self.env, listener, stats, self.settings.request_headers_timeout)
            try:
                await bound.start()
            except CommandError as error:
                refused.append(str(error))
                self.listener_stats.listener_create_failure += 1
                continue
            self.listeners[key] = bound
            self.listener_stats.listener_added += 1
        self._count_listeners()
        if refused:
            raise CommandError("\n".join(refused), exit_code=1)

    async def _wait_for_names(self) -> None:
        waiting = [state for state in self.live.serving.clusters.values() if not state.ready]
        deadline = self.clock.monotonic() + READY_TIMEOUT
        while any(not state.ready for state in waiting) and self.clock.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def _sweep_outliers(self) -> None:
        while True:
            await asyncio.sleep(OUTLIER_TICK)
            self.live.sweep_outliers()

    async def _sweep(self) -> None:
        """Housekeeping, once a second."""
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

    def _count_listeners(self) -> None:
        self.listener_stats.total_listeners_active = len(self.listeners)
        self.listener_stats.total_listeners_draining = len(self.draining_listeners)

    def addresses(self) -> dict[str, str]:
        """Every bound address by its listener's name."""
        bound = {listener.listener.name: _address(listener) for listener in self.listeners.values()}
        return {**bound, **self.admin.addresses()}

    def _announce(self) -> None:
        if self.settings.gateway and not self.listeners:
            labels = ",".join(f"{name}={value}" for name, value in self.settings.labels.items()) or "none"
            _log.warning("no Gateway document has a server for labels %s: give --labels that its selector fits", labels)
        addresses = self.addresses()
        _log.info("ready: %s", "  ".join(f"{name}={address}" for name, address in addresses.items()))
        path = self.settings.ready_file
        if path is not None:
            partial = path.with_name(path.name + ".partial")
            partial.write_text(json.dumps({"pid": os.getpid(), "addresses": addresses}) + "\n")
            partial.replace(path)


def _key(listener: Listener) -> tuple[object, ...]:
    """Two listeners with one key share a socket across a reload."""
    return listener.kind, listener.address, listener.port, listener.name if listener.port == 0 else ""


def _prefix(listener: Listener) -> str:
    """The connection manager's statistics prefix, as Istio names them."""
    if listener.kind is ListenerKind.INBOUND_CAPTURE:
        return "inbound_0.0.0.0_15006"
    return f"{listener.http.direction.value}_{listener.address}_{listener.port}"


def _address(bound: BoundListener) -> str:
    address = bound.listener.address
    return address if address.startswith("unix:") else f"{address}:{bound.port}"


def _complaint(loaded: Loaded) -> str:
    errors = "\n".join(str(problem) for problem in loaded.errors)
    return f"{errors}\n{len(loaded.errors)} error(s) in the documents; `pyproxy validate` shows them too"


def run_app(settings: Settings) -> None:
    """Run one worker until it is told to stop. Raises CommandError."""
    try:
        import uvloop
    except ImportError:
        _log.warning("uvloop is not installed: asyncio's own loop serves, more slowly")
        asyncio.run(App(settings).run())
        return
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_main(settings))


async def _main(settings: Settings) -> None:
    await App(settings).run()
