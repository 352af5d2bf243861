"""Wires one process together, starts it, keeps it up to date, drains it; of several, a supervisor does. Knows all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Collection, Mapping, Sequence

from pyproxy.admin.server import AdminServers
from pyproxy.core.errors import CommandError
from pyproxy.core.loop import Clock, spawn
from pyproxy.downstream.listener import BoundListener
from pyproxy.mtls.holding import Holding
from pyproxy.mtls.rotation import watch
from pyproxy.readiness import KEYS_TIMEOUT, announce, complaint, names_known
from pyproxy.reload import Loaded, Reloader, ReloadStatus, read
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Snapshot
from pyproxy.snapshot.request_authentication import fetched_sources
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.upstream.jwks import Fetches, Intervals, KeyFetcher
from pyproxy.worker import Worker, sweep_outliers
from pyproxy.workers.count import worker_count

_log = logging.getLogger("pyproxy")


class App(Worker):
    """A proxy of one process: a worker with its documents and its admin ports."""

    def __init__(self, settings: Settings, clock: Clock | None = None, intervals: Intervals | None = None) -> None:
        """`intervals` say how often the keys of token issuers are fetched."""
        super().__init__(settings, clock, settings.seed)
        self._fetcher = KeyFetcher(self.keys, self.clock, intervals)
        self.started_at = self.clock.time()
        self.ready = False
        self._stopping = asyncio.Event()
        self._reloader = Reloader(settings.config, settings.identity_in, settings.listening, self._take_up, self.clock)

    # What commands call

    async def run(self, loaded: Loaded | None = None) -> None:
        """Start, serve until told to stop, drain. Raises CommandError when it cannot start."""
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stop)
        await self.start(loaded)
        await self._stopping.wait()
        await self.shut_down()

    def stop(self) -> None:
        """Begin the drain; a second call does nothing more."""
        self._stopping.set()

    async def start(self, loaded: Loaded | None = None) -> None:
        """Load what nobody has loaded yet, bind, and say so."""
        if loaded is None:
            loaded = read(self.settings.config, self.settings.identity_in, self.settings.listening)
        if loaded.snapshot is None:
            raise CommandError(complaint(loaded), exit_code=1)
        self.wire(loaded.snapshot)
        self.tls.check(self.settings.expected_identity(loaded.snapshot.identity))
        self._fetcher.follow(fetched_sources(loaded.snapshot.token_rules))
        self._reloader.accept(loaded)
        self.admin = AdminServers(self)
        await self.admin.start()
        await self.bind(loaded.snapshot.listeners)
        await names_known(self.live, self.clock)
        await self._fetcher.first_answers(KEYS_TIMEOUT)
        self._tasks = [
            spawn(self._reloader.watch(), name="watch documents"),
            spawn(watch(self.tls), name="watch certificates"),
            spawn(self.sweep(), name="sweep"),
            spawn(sweep_outliers(self.live), name="sweep outliers"),
        ]
        self.settle()
        self.ready = True
        announce(self.settings, self.addresses(), listens=bool(self.listeners))

    async def shut_down(self) -> None:
        """Drain, then end."""
        _log.info("draining for at most %g s", self.settings.drain_duration)
        self.ready = False
        await self.drain()
        for task in self._tasks:
            task.cancel()
        await self._fetcher.close()
        await self.admin.stop()
        await self.close()
        _log.info("stopped")

    # What admin and metrics read (admin.served.Served)

    @property
    def reload_status(self) -> ReloadStatus:
        """How reloads went."""
        return self._reloader.status

    @property
    def certificates(self) -> Sequence[Holding]:
        """What was read of certificates."""
        return self.tls.holdings

    @property
    def metrics(self) -> IstioMetrics:
        """Istio's."""
        return self.env.metrics

    @property
    def state(self) -> str:
        """Envoy's word for it."""
        if self.env.draining:
            return "DRAINING"
        return "LIVE" if self.ready else "INITIALIZING"

    @property
    def workers(self) -> Sequence[Mapping[str, object]]:
        """None but this process."""
        return ()

    async def gather(self) -> None:
        """All numbers are here already."""

    @property
    def key_fetches(self) -> Collection[Fetches]:
        """How those of token issuers' keys went."""
        return self._fetcher.fetches.values()

    def addresses(self) -> dict[str, str]:
        """Every bound address by its listener's name."""
        bound = {listener.listener.name: _address(listener) for listener in self.listeners.values()}
        return {**bound, **self.admin.addresses()}

    def fail_health_checks(self) -> None:
        """Not ready, and every response says `connection: close`; nothing is refused."""
        self.env.draining = True

    def pass_health_checks(self) -> None:
        """Undo it, unless the process is on its way out."""
        if self.ready:
            self.env.draining = False

    def on_counters_reset(self) -> None:
        """There are no counters elsewhere."""

    def on_levels_changed(self) -> None:
        """There are no loggers elsewhere."""

    # For itself

    def _take_up(self, snapshot: Snapshot) -> None:
        """Swap in a new snapshot, then follow it with the listeners."""
        self.swap(snapshot)
        self._fetcher.follow(fetched_sources(snapshot.token_rules))
        spawn(self._follow(snapshot), name="follow listeners")

    async def _follow(self, snapshot: Snapshot) -> None:
        try:
            await self.bind(snapshot.listeners)
        except CommandError as error:
            _log.error("%s", error)


def _address(bound: BoundListener) -> str:
    address = bound.listener.address
    return address if address.startswith("unix:") else f"{address}:{bound.port}"


def run_app(settings: Settings) -> None:
    """Run a proxy, of one process or of several, until it is told to stop. Raises CommandError."""
    loaded = read(settings.config, settings.identity_in, settings.listening)
    if loaded.snapshot is None:
        raise CommandError(complaint(loaded), exit_code=1)
    workers = worker_count(settings, loaded)
    new_loop = _new_loop()
    with contextlib.suppress(KeyboardInterrupt):
        if workers > 1:
            from pyproxy.workers.supervisor import Supervisor  # one process alone does without what several share

            Supervisor(settings, loaded, workers).run(new_loop)
        else:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(_main(settings, loaded))


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        _log.warning("uvloop is not installed: asyncio's own loop serves, more slowly")
        return None
    return uvloop.new_event_loop


async def _main(settings: Settings, loaded: Loaded) -> None:
    await App(settings).run(loaded)
