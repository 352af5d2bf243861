"""Several workers as one proxy: forks them, replaces them, reads the documents, resolves names, judges hosts, adds up.

It carries no traffic. What all workers must agree on is decided here, in the same objects as a single process has
(`Live`, `ClusterState`, `OutlierDetector`), which therefore serve the admin pages as they are.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import random
import signal
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pyproxy.admin.server import AdminServers
from pyproxy.core.errors import CommandError
from pyproxy.core.loop import SystemClock, spawn
from pyproxy.mtls.contexts import Contexts
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.rotation import watch
from pyproxy.policy.token_rules import KeySource
from pyproxy.readiness import KEYS_TIMEOUT, READY_TIMEOUT, announce, names_known
from pyproxy.reload import Loaded, Reloader, ReloadStatus
from pyproxy.runtime.clusters import HostState
from pyproxy.runtime.counters import (
    HttpStats,
    ListenerManagerStats,
    ListenerStats,
    TcpProxyStats,
    TcpStats,
    TracerStats,
)
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Snapshot
from pyproxy.snapshot.request_authentication import fetched_sources
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.upstream.dns import DnsDiscovery, Resolver
from pyproxy.upstream.jwks import Fetches, KeyFetcher
from pyproxy.wire.http2_stats import Http2Stats
from pyproxy.worker import listener_key, sweep_outliers
from pyproxy.workers.discovery import AnswerTeller
from pyproxy.workers.numbers import Numbers, add, counters_of, show, show_http2
from pyproxy.workers.nursery import Nursery
from pyproxy.workers.process import WorkerProcess, place_of
from pyproxy.workers.seat import Seat
from pyproxy.workers.sharing import Entry, SupervisorSharing, record
from pyproxy.workers.sockets import HeldListener
from pyproxy.workers.table import CountTable, Slots

_log = logging.getLogger("pyproxy")
KEEP_INTERVAL = 5.0
"""Seconds between two looks at every worker's counters: so much of them is lost, at most, when one is killed."""
SHORT_LIFE = 5.0
"""Seconds; who replaces a worker that lived shorter waits a moment first, so that failing to start costs little."""
LONGEST_PAUSE = 5.0
END_GRACE = 2.0
"""Seconds after the drain time until a worker that is still there is killed."""


class Supervisor:
    """The process that the user started (admin.served.Served)."""

    def __init__(self, settings: Settings, loaded: Loaded, workers: int) -> None:
        assert loaded.snapshot is not None
        self.settings = settings
        self.clock = SystemClock()
        self.started_at = self.clock.time()
        self.listeners: dict[tuple[object, ...], HeldListener] = {}
        self.http_stats: dict[str, HttpStats] = {}
        self.connection_stats: dict[str, ListenerStats] = {}
        self.http2_stats = Http2Stats()
        self.tcp_stats = TcpStats()
        self.tcp_proxies: dict[str, TcpProxyStats] = {}
        self.tracer_stats: dict[str, TracerStats] = {}
        self.listener_stats = ListenerManagerStats()
        self.metrics = IstioMetrics(loaded.snapshot.identity)
        self.metrics.follow(loaded.snapshot.identity, loaded.snapshot.telemetry)
        self.ready = False
        self.draining = False
        self.live: Live = None  # type: ignore[assignment]  # set in _begin, before any use
        self._loaded = loaded
        self._count = workers
        self._table = CountTable(workers)
        self._slots = Slots()
        self._seats: list[Seat] = []
        self._retired: Numbers = {}
        """Counters of workers that are gone."""
        self._short_lives = 0
        self._standing: tuple[object, ...] = ()
        """A drain of listeners that whoever takes a dead worker's place must begin with too."""

    def run(self, new_loop: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        """Serve until told to stop, then drain. Raises CommandError when it cannot start."""
        gc.collect()
        gc.freeze()  # so that pages with what is there already stay shared
        self._nursery = Nursery(lambda *arguments: self._run_worker(new_loop, *arguments))
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(self._run())
        finally:
            self._nursery.close()

    def _run_worker(
        self,
        new_loop: Callable[[], asyncio.AbstractEventLoop] | None,
        number: int,
        channel: socket.socket,
        descriptors: socket.socket,
    ) -> None:
        """In the worker's process."""
        first = self._loaded.snapshot
        assert first is not None
        channel.setblocking(False)

        async def work() -> None:
            await WorkerProcess(self.settings, number, self._table, first).run(channel, descriptors)

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(work())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        try:
            await self._begin()
            await self._stopping.wait()
        finally:
            await self._end()

    async def _begin(self) -> None:
        settings, snapshot = self.settings, self._loaded.snapshot
        assert snapshot is not None
        rng = random.Random(settings.seed)
        self._names = AnswerTeller(lambda cluster, places: self._tell_all("hosts", cluster, places))
        self.live = Live(
            snapshot,
            DnsDiscovery(Resolver(), rng, self._names.on_answer),
            self.clock,
            rng,
            SupervisorSharing(self._table, self._slots, self.clock, rng, self._on_health),
        )
        self.live.keys.on_change(lambda source, text: self._tell_all(*_keys_message(source, text)))
        self._fetcher = KeyFetcher(self.live.keys, self.clock)
        self._fetcher.follow(fetched_sources(snapshot.token_rules))
        self._tls = Contexts(settings.certificates_of(snapshot.identity), self.clock)
        self._tls.check(settings.expected_identity(snapshot.identity))
        self._tls.follow(snapshot)
        self._reloader = Reloader(settings.config, settings.identity_in, settings.listening, self._take_up, self.clock)
        self._reloader.accept(self._loaded)
        self.admin = AdminServers(self)
        await self.admin.start()
        refused = self._hold(snapshot)
        if refused:
            raise CommandError("\n".join(refused), exit_code=1)
        self._documents = self._announcement(self._loaded)
        for number in range(self._count):
            self._seats.append(await self._new_seat(number))
        await names_known(self.live, self.clock)
        await self._fetcher.first_answers(KEYS_TIMEOUT)
        await self._all_serve()
        self._tasks = [
            spawn(self._reloader.watch(), name="watch documents"),
            spawn(watch(self._tls), name="watch certificates"),
            spawn(sweep_outliers(self.live), name="sweep outliers"),
            spawn(self._keep_counters(), name="keep counters"),
        ]
        self.ready = True
        announce(settings, self.addresses(), listens=bool(self.listeners))

    async def _all_serve(self) -> None:
        deadline = self.clock.monotonic() + READY_TIMEOUT
        while not self._stopping.is_set():
            if any(seat.ended.is_set() for seat in self._seats):
                raise CommandError("a worker process ended before all could serve: see the log above", exit_code=1)
            if all(seat.version for seat in self._seats):
                return
            if self.clock.monotonic() > deadline:
                raise CommandError(f"a worker process does not serve after {READY_TIMEOUT:g} s", exit_code=1)
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        _log.info("draining for at most %g s", self.settings.drain_duration)
        self._stopping.set()
        self.ready = False
        self.draining = True
        self._tell_all("stop")
        try:
            async with asyncio.timeout(self.settings.drain_duration + END_GRACE):
                for seat in self._seats:
                    await seat.ended.wait()
        except TimeoutError:
            for seat in self._seats:
                seat.kill()
        for task in getattr(self, "_tasks", ()):
            task.cancel()
        for held in self.listeners.values():
            held.close()
        if self.live is not None:
            for state in self.live.serving.clusters.values():
                self.live.discoverer.forget(state)
            await self._fetcher.close()
            await self.admin.stop()
        _log.info("stopped")

    # Workers

    async def _new_seat(self, number: int) -> Seat:
        """A worker that knows all that the others know."""
        seat = Seat(number, self.clock, self._on_outcomes, self._on_ended)
        await seat.start(self._nursery)
        unix = [held for held in self.listeners.values() if held.is_unix]
        self._tell_documents(seat, unix)
        for cluster, places in self._names.told.items():
            seat.tell("hosts", cluster, places)
        for source, text in self.live.keys.items():
            seat.tell(*_keys_message(source, text))
        for name, state in self.live.serving.clusters.items():
            if state.cluster.outlier is not None:
                for host in state.hosts:
                    if not host.healthy:
                        seat.tell("health", name, host.key, False)
        return seat

    def _on_ended(self, seat: Seat) -> None:
        """Its numbers stay, but for what it had in flight; another takes its place."""
        self._table.clear(seat.number, len(self._slots.by_name))
        add(self._retired, counters_of(seat.numbers, self.live))
        seat.numbers = {}
        if self._stopping.is_set() or not self.ready:
            return
        lived = self.clock.monotonic() - seat.started_at
        _log.error("worker %d ended unasked after %.1f s; another takes its place", seat.pid, lived)
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE else 0
        spawn(self._replace(seat), name=f"replace worker {seat.number}")

    async def _replace(self, gone: Seat) -> None:
        if self._short_lives > 1:
            await asyncio.sleep(min(LONGEST_PAUSE, 0.1 * 2.0**self._short_lives))
        if self._stopping.is_set():
            return
        try:
            seat = await self._new_seat(gone.number)
        except OSError as error:
            _log.error("cannot replace worker %d: %s", gone.pid, error)
            if all(seat.ended.is_set() for seat in self._seats):
                self.stop()
            return
        self._seats[gone.number] = seat
        if self.draining:
            seat.tell("fail", True)
        if self._standing:
            seat.tell(*self._standing)
        self._tell_levels([seat])

    def _tell_all(self, *message: object) -> None:
        for seat in self._seats:
            seat.tell(*message)

    # Ejections

    def _on_outcomes(self, entries: list[Entry]) -> None:
        clusters = self.live.serving.clusters
        for cluster, key, what, times in entries:
            state = clusters.get(str(cluster))
            host = state.host(str(key)) if state is not None else None
            if host is not None and host.monitor is not None:
                record(host.monitor, what, times)  # type: ignore[arg-type]

    def _on_health(self, cluster: str, host: HostState) -> None:
        self._tell_all("health", cluster, host.key, host.healthy)

    # Documents

    def _take_up(self, snapshot: Snapshot) -> None:
        """They compile: swap here, then have every worker swap for itself."""
        loaded = self._reloader.loaded
        assert loaded is not None
        before = set(self.listeners)
        self.live.swap(snapshot)
        self._tls.follow(snapshot)
        self.metrics.follow(snapshot.identity, snapshot.telemetry)
        self._fetcher.follow(fetched_sources(snapshot.token_rules))
        self._names.keep(list(snapshot.clusters))
        for refusal in self._hold(snapshot):
            _log.error("%s", refusal)
        self._documents = self._announcement(loaded)
        new = [held for key, held in self.listeners.items() if key not in before and held.is_unix]
        for seat in self._seats:
            self._tell_documents(seat, new)

    def _announcement(self, loaded: Loaded) -> tuple[object, ...]:
        assert loaded.snapshot is not None
        ports = {place_of(held.listener): held.port for held in self.listeners.values()}
        return loaded.snapshot.version, pickle.dumps(loaded.documents), dict(self._slots.by_name), ports

    def _tell_documents(self, seat: Seat, unix: Sequence[HeldListener]) -> None:
        """`unix` are the sockets that the worker has not been passed yet."""
        for held in unix:
            seat.pass_socket(held.socket)
        seat.tell("documents", *self._documents, [place_of(held.listener) for held in unix])

    def _hold(self, snapshot: Snapshot) -> list[str]:
        """Have every address that the snapshot names, and no other; what cannot be had."""
        wanted = {listener_key(listener): listener for listener in snapshot.listeners}
        stats = self.listener_stats
        still_bound = set()
        for key in [key for key in self.listeners if key not in wanted]:
            gone = self.listeners.pop(key)
            gone.close()
            still_bound.add(gone.port)  # at the workers, until they have swapped
            stats.listener_removed += 1
        refused = []
        for key, listener in wanted.items():
            held = self.listeners.get(key)
            if held is not None:
                held.listener = listener
                continue
            try:
                self.listeners[key] = HeldListener(listener, alone=listener.port not in still_bound)
                stats.listener_added += 1
            except CommandError as error:
                refused.append(str(error))
                stats.listener_create_failure += 1
        stats.total_listeners_active = len(self.listeners)
        return refused

    # Numbers

    async def gather(self) -> None:
        """Ask every worker and add up."""
        await asyncio.gather(*(seat.report() for seat in self._seats if seat.version))
        total: Numbers = {}
        add(total, self._retired)
        for seat in self._seats:
            add(total, seat.numbers)
        http, connections, tcp = self.http_stats, self.connection_stats, self.tcp_stats
        show(total, self.live, http, connections, tcp, self.tcp_proxies, self.tracer_stats)
        show_http2(total, self.live, self.http2_stats)
        self.metrics.load(total.get("istio", {}))
        connections = total.get("connections", {})
        for held in self.listeners.values():
            held.connections = connections.get(held.listener.name, 0)

    async def _keep_counters(self) -> None:
        while True:
            await asyncio.sleep(KEEP_INTERVAL)
            await self.gather()

    # What admin and metrics read, and what operators ask for (admin.served.Served)

    @property
    def reload_status(self) -> ReloadStatus:
        """How reloads went."""
        return self._reloader.status

    @property
    def key_fetches(self) -> Collection[Fetches]:
        """How those of token issuers' keys went."""
        return self._fetcher.fetches.values()

    @property
    def certificates(self) -> Sequence[Holding]:
        """What was read of certificates; every worker reads for itself."""
        return self._tls.holdings

    @property
    def state(self) -> str:
        """Envoy's word for it."""
        if self.draining:
            return "DRAINING"
        return "LIVE" if self.ready else "INITIALIZING"

    @property
    def workers(self) -> Sequence[Mapping[str, object]]:
        """Every worker process and the documents that it serves by."""
        return [{"pid": seat.pid, "version": seat.version} for seat in self._seats]

    def addresses(self) -> dict[str, str]:
        """Every bound address by its listener's name."""
        return {**{held.listener.name: held.shown for held in self.listeners.values()}, **self.admin.addresses()}

    def stop(self) -> None:
        """Begin the drain; a second call does nothing more."""
        self._stopping.set()

    def fail_health_checks(self) -> None:
        """Not ready, and every response says `connection: close`; nothing is refused."""
        self.draining = True
        self._tell_all("fail", True)

    def pass_health_checks(self) -> None:
        """Undo it, unless the process is on its way out."""
        if self.ready:
            self.draining = False
            self._tell_all("fail", False)

    def drain_listeners(self, *, inbound_only: bool, graceful: bool, keep_listening: bool) -> None:
        """Responses say `connection: close`; the sockets close now, or after the drain time, or never."""
        self._standing = ("drain_listeners", inbound_only, graceful, keep_listening)
        self._tell_all(*self._standing)

    def on_counters_reset(self) -> None:
        """At the workers too; what those that are gone had counted is forgotten."""
        self._retired = {}
        self._tell_all("reset")

    def on_levels_changed(self) -> None:
        """At the workers too."""
        self._tell_levels(self._seats)

    def _tell_levels(self, seats: Sequence[Seat]) -> None:
        loggers: dict[str, Any] = logging.root.manager.loggerDict
        levels = {name: one.level for name, one in loggers.items() if isinstance(one, logging.Logger)}
        for seat in seats:
            seat.tell("levels", {name: level for name, level in levels.items() if name.split(".")[0] == "pyproxy"})


def _keys_message(source: KeySource, text: bytes) -> tuple[object, ...]:
    """What workers are told of an issuer's keys."""
    return "keys", source.issuer, source.uri, source.timeout, text
