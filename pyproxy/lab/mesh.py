"""The lab from start to end: documents, processes, traffic, reports.

Read layout.py for who is where, processes.py for why nothing stays behind, report.py for what is shown.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

from aiohttp import ClientSession

from pyproxy.console.console import Console, ConsoleSettings
from pyproxy.console.server import Server
from pyproxy.core.errors import CommandError
from pyproxy.core.loop import SystemClock, spawn
from pyproxy.lab.commands import FLEET, GATEWAY_ADDRESS, clean_environment, plan_lab
from pyproxy.lab.control import Control
from pyproxy.lab.desk import Desk
from pyproxy.lab.director import Director
from pyproxy.lab.fleet import write_plan
from pyproxy.lab.folder import write_documents
from pyproxy.lab.layout import Workload, choose_layout, require_free
from pyproxy.lab.metrics import Edge, Totals, merge
from pyproxy.lab.observe import Observer
from pyproxy.lab.processes import Processes
from pyproxy.lab.report import Report, make_rows, sum_tallies
from pyproxy.lab.running import RunningLab, announce, refuse_second
from pyproxy.lab.stage import link_to
from pyproxy.lab.surroundings import MOST_ERRORS, Surroundings, refused
from pyproxy.lab.traffic import TESTER, TESTER_SHARE, Tally, Traffic
from pyproxy.lab.views import View

CONSOLE_OFFSET = 10
"""A second lab whose page is one port further has a console of its own too."""
WINDOW_SECONDS = 10.0
"""How much of the past a live table sums up."""


@dataclass(frozen=True, slots=True)
class LabSettings:
    """The flags of `pyproxy lab`. Seconds; `duration` None runs until stopped; a `rate` of 0 sends nothing."""

    folder: Path | None = None
    """Where the documents go; None: a temporary folder."""
    duration: float | None = None
    interval: float = 2.0
    rate: float = 20.0
    seed: int = 1
    port: int = 8080
    subnet: str = "127.0.1"
    console_port: int | None = None
    """None: CONSOLE_OFFSET above `port`."""

    @property
    def console(self) -> int:
        """The port of the console."""
        return self.port + CONSOLE_OFFSET if self.console_port is None else self.console_port


async def run_lab(settings: LabSettings, view: View) -> None:
    """Run until the duration is over or a signal comes. Raises CommandError when it cannot start or a child dies."""
    if settings.folder is not None:
        refuse_second(settings.folder)
    workloads = choose_layout(settings.subnet)
    require_free((workload.address, port) for workload in workloads for port in workload.ports())
    require_free([(GATEWAY_ADDRESS, settings.port), (GATEWAY_ADDRESS, settings.console)])
    async with Processes() as processes:
        asked_to_stop = _stop_signals(processes)
        lab = Lab(settings, workloads, processes, view, asked_to_stop)
        ends = {
            spawn(lab.run(), name="lab"),
            spawn(processes.wait_for_a_death(), name="deaths"),
            spawn(asked_to_stop.wait(), name="signals"),
        }
        done, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            if isinstance(death := task.result(), CommandError):
                raise death


def _stop_signals(processes: Processes) -> asyncio.Event:
    """An event that SIGINT, SIGTERM or SIGHUP sets. The second of them does not wait for an orderly end."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            processes.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


class Lab:
    """One run: start everything, then report on it at every interval."""

    def __init__(
        self,
        settings: LabSettings,
        workloads: tuple[Workload, ...],
        processes: Processes,
        view: View,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._workloads = workloads
        self._processes = processes
        self._view = view
        self._stop = stop
        self._clock = SystemClock()
        self._proxies = ("gateway", *(workload.name for workload in workloads))
        self._documents = (settings.folder or processes.folder / "documents").absolute()
        self._page = f"http://{GATEWAY_ADDRESS}:{settings.port}/productpage"

    async def run(self) -> None:
        """Until the duration is over or it is cancelled."""
        kept = write_documents(self._documents, self._workloads, self._settings.port)
        metrics = await self._start()
        traffic = Traffic(self._page, self._settings.rate, random.Random(self._settings.seed))
        visits = spawn(traffic.run(), name="traffic") if self._settings.rate else None
        try:
            async with ClientSession() as session, self._orders(session, traffic), self._console() as console:
                self._view.greet(
                    greeting(self._settings, self._workloads, self._documents, kept, self._processes.folder, console)
                )
                with self._view:
                    await self._report(Observer(session, metrics), traffic)
        finally:
            if visits is not None:
                visits.cancel()
                await asyncio.gather(visits, return_exceptions=True)

    @asynccontextmanager
    async def _orders(self, session: ClientSession, traffic: Traffic) -> AsyncIterator[None]:
        """Take orders from commands in other terminals."""

        def on_stage(taken: bool) -> None:
            traffic.paused = taken

        folder, seed = self._processes.folder, self._settings.seed
        surroundings = Surroundings(self._workloads, self._page, folder, session)
        director = Director(surroundings, self._documents, seed, on_stage)
        token = secrets.token_urlsafe(24)
        control = Control(token)
        await control.start(GATEWAY_ADDRESS)
        try:
            about = RunningLab(os.getpid(), control.url, token, str(self._documents), str(folder), self._page, seed)
            control.orders = Desk(director, about, self._stop).orders()
            announce(folder, about)
            link_to(self._documents, folder)
            yield
        finally:
            await control.stop()
            await director.close()

    @asynccontextmanager
    async def _console(self) -> AsyncIterator[str]:
        """The page that shows the mesh; its address, with the token."""
        folder = self._processes.folder
        admins = [bound_address(folder / f"{name}.ready", "admin") for name in self._proxies]
        async with Console(
            ConsoleSettings(admins, [self._documents], [folder / "logs"], title="The bookshop")
        ) as console:
            server = Server(console, GATEWAY_ADDRESS, self._settings.console, "--console-port")
            await server.start()
            try:
                yield server.url
            finally:
                await server.stop()

    # Starting

    async def _start(self) -> dict[str, str]:
        """Start everything and wait until all is ready. Returns where each proxy has its metrics."""
        folder = self._processes.folder
        plan = plan_lab(self._workloads, self._documents, folder, self._settings.seed)
        write_plan(folder / "plan.json", plan)
        (folder / "logs").mkdir(exist_ok=True)
        fleet = self._processes.start("the mesh", [*FLEET, str(folder / "plan.json")], clean_environment())
        ready = partial(self._processes.ready, fleet)
        waits = [ready((folder / f"{name}.ready").exists) for name in self._proxies]
        waits += [ready(partial(_listens, each.address, each.app_port)) for each in self._workloads]
        await asyncio.gather(*waits)
        addresses = {workload.name: f"{workload.address}:{workload.metrics_port}" for workload in self._workloads}
        return {"gateway": bound_address(folder / "gateway.ready", "metrics"), **addresses}

    # Reporting

    async def _report(self, observer: Observer, traffic: Traffic) -> None:
        settings = self._settings
        started = last = self._clock.monotonic()
        window: deque[Interval] = deque(maxlen=max(1, round(WINDOW_SECONDS / settings.interval)))
        if not self._view.windowed:
            window = deque(maxlen=1)
        ends = inf if settings.duration is None else started + settings.duration
        while last < ends:
            await asyncio.sleep(max(0.0, min(last + settings.interval, ends) - self._clock.monotonic()))
            edges = await observer.interval()
            now = self._clock.monotonic()
            window.append(Interval(now - last, edges, traffic.take()))
            last = now
            self._view.show(self._summary(window, observer.refusing()))

    def _summary(self, window: Sequence[Interval], refusing: list[str]) -> Report:
        seconds = sum(interval.seconds for interval in window)
        edges = merge(interval.edges for interval in window)
        rows = make_rows(edges, self._proxies, seconds)
        tally = sum_tallies([interval.tally for interval in window])
        return Report(self._clock.time(), seconds, rows, tally, self._notes(refusing))

    def _notes(self, refusing: list[str]) -> tuple[str, ...]:
        """What is wrong with the documents, in the words of the first proxy that refused them."""
        if not refusing:
            return ()
        log = self._processes.folder / "logs" / f"{refusing[0]}.log"
        errors = refused(log.read_text("utf-8", "replace"))
        return ("The documents have an error; the last good ones serve on.", *errors[:MOST_ERRORS])


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened between two readings: seconds, who asked whom, what the users met."""

    seconds: float
    edges: dict[Edge, Totals]
    tally: Tally


def bound_address(ready_file: Path, name: str) -> str:
    """`ip:port` of one of a proxy's listeners, from what it wrote when it was ready."""
    return str(json.loads(ready_file.read_text("utf-8"))["addresses"][name])


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((address, port)) == 0


def greeting(
    settings: LabSettings,
    workloads: Sequence[Workload],
    documents: Path,
    kept: Sequence[str],
    folder: Path,
    console: str,
) -> str:
    """Where things are, and what to try first. `folder` is the lab's own, which goes away."""
    page = f"http://{GATEWAY_ADDRESS}:{settings.port}/productpage"
    first = workloads[0]
    lines = [
        "",
        "The bookshop is open. Ctrl-C closes it and leaves nothing behind.",
        "",
        f"  page        {page}",
        f"  console     {console}",
        f"  documents   {documents}" + ("" if settings.folder else "   (goes away at the end; --dir DIR keeps it)"),
        *([f"              as you left them: {', '.join(kept)}"] if kept else []),
        f"  sidecars    {', '.join(f'{workload.name} {workload.address}' for workload in workloads)}",
        f"              admin http://{first.address}:{first.admin_port}/ "
        f"metrics http://{first.address}:{first.metrics_port}/stats/prometheus",
        f"  identities  pyproxy certs show --certs {folder / 'certs'}",
        f"  logs        {folder / 'logs'}",
    ]
    if settings.rate:
        who = f"{TESTER_SHARE:.0%} of them {TESTER}'s"
        lines.append(f"  traffic     {settings.rate:g} visits a second, {who}, seed {settings.seed}")
    lines += [
        "",
        f"  try         edit {documents}/reviews.yaml, save, and watch the table",
        f"              curl -H 'end-user: {TESTER}' {page}",
        "              pyproxy lab scenario list          in another terminal: lessons, each with a check",
        "",
    ]
    return "\n".join(lines)
