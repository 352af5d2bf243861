"""Runs scenarios in a lab: puts a step's documents, knobs and load in place, judges it, and puts everything back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyproxy.core.errors import CommandError
from pyproxy.core.loop import spawn
from pyproxy.istio.files import fingerprint
from pyproxy.lab.load import Generator, Load
from pyproxy.lab.samples import Samples
from pyproxy.lab.scenario import Finding, Measured, Scenario, Step, judge
from pyproxy.lab.scenarios import find_scenario
from pyproxy.lab.stage import Stage
from pyproxy.lab.surroundings import Surroundings

TAKE_UP_SECONDS = 30.0
"""How long the proxies may need for changed documents: on a busy machine, more than five seconds."""
GLANCE_SECONDS = 0.1
PATIENCE = 30.0
"""Seconds beyond those that a step needs to settle."""
WATCH_SECONDS = 0.3


@dataclass
class Event:
    """Something that happened; `at` is Unix seconds."""

    at: float
    what: str


@dataclass
class Run:
    """One scenario from its start to its end, for the report."""

    scenario: Scenario
    began: float
    first: Samples
    log_sizes: dict[str, int]
    events: list[Event] = field(default_factory=list)
    findings: dict[int, list[Finding]] = field(default_factory=dict)
    """Of each step, by its number from 1, as last checked."""
    ended: float | None = None
    last: Samples | None = None
    """At the end."""
    logs: dict[str, str] = field(default_factory=dict)
    """At the end."""

    def note(self, what: str) -> None:
        self.events.append(Event(time.time(), what))


@dataclass
class Window:
    """From when on a step is measured."""

    samples: Samples
    log_sizes: dict[str, int]
    began: float


class Director:
    """At most one scenario at a time. `on_stage` is told whether one runs: the usual visitors make room for it."""

    def __init__(
        self, lab: Surroundings, documents: Path, seed: int, on_stage: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._lab = lab
        self._documents = documents
        self._stage = Stage(documents)
        self._seed = seed
        self._on_stage = on_stage
        self._busy = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._generator: Generator | None = None
        self._window: Window | None = None
        self._number = 0
        self._running = False
        self.run: Run | None = None
        """The one that runs, or the last one that ran."""

    # What commands ask

    async def start(self, name: str, number: int = 1) -> dict[str, Any]:
        """Begin a scenario, or go to a step of the one that runs."""
        scenario = find_scenario(name)
        if not 1 <= number <= len(scenario.steps):
            raise CommandError(f"{name} has the steps 1 to {len(scenario.steps)}, not {number}")
        if self._running and self.run is not None and self.run.scenario.name != name:
            other = self.run.scenario.name
            raise CommandError(f"the scenario {other} is running. End it first: pyproxy lab reset")
        async with self._busy:
            await self._put_in_place(scenario, number)
        return await self.status()

    async def check(self, name: str = "", answer: str = "") -> dict[str, Any]:
        """Judge the step that is in force, once it has been measured long enough."""
        run = self._require(name)
        step = run.scenario.steps[self._number - 1]
        async with self._busy:
            await self._noticed(step)
            errors = await self._lab.refusals()
            findings = [] if errors else judge(step, await self._measure(step, answer))
            run.findings[self._number] = findings
            ok = bool(findings) and all(finding.ok for finding in findings)
            run.note(f"step {self._number} checked: {'holds' if ok else 'does not hold'}")
        last = self._number == len(run.scenario.steps)
        return {
            "scenario": run.scenario.name,
            "step": self._number,
            "steps": len(run.scenario.steps),
            "title": step.title,
            "ok": ok,
            "errors": errors,
            "findings": [finding.as_json() for finding in findings],
            "next": "" if last or not ok else f"pyproxy lab scenario {run.scenario.name} {self._number + 1}",
            "unchecked": self._unchecked(run) if last and ok else [],
            "because": run.scenario.because if last and ok else "",
        }

    async def reset(self) -> dict[str, Any]:
        """Everything as before the scenario: documents, knobs, load, ejections, counters."""
        begun = time.monotonic()  # noqa: TID251 - how long a command took is no decision
        async with self._busy:
            name = await self._clear()
        return {"ended": name, "seconds": round(time.monotonic() - begun, 2)}  # noqa: TID251 - as above

    async def close(self) -> None:
        """The lab ends: put the user's documents back, ask nobody any more."""
        await self._stop_load()
        self._stage.restore()

    async def status(self) -> dict[str, Any]:
        """What runs, since when, and what has been found."""
        if not self._running or self.run is None:
            return {"scenario": "", "errors": await self._lab.refusals()}
        scenario, step = self.run.scenario, self.run.scenario.steps[self._number - 1]
        met = self._generator.met if self._generator else None
        return {
            "scenario": scenario.name,
            "title": scenario.title,
            "step": self._number,
            "steps": len(scenario.steps),
            "step_title": step.title,
            "question": scenario.question,
            "teaches": scenario.teaches,
            "documents": [] if scenario.secret else sorted(step.documents),
            "knobs": {} if scenario.secret else {name: dict(knobs) for name, knobs in step.knobs.items()},
            "loads": [_load_text(load) for load in step.loads],
            "watch": [self._lab.here(command) for command in step.watch],
            "measured_seconds": round(self._measured_seconds(), 1),
            "needed_seconds": step.settle + step.seconds,
            "requests": met.answered if met else 0,
            "failed": sum(n for status, n in met.statuses.items() if not 200 <= status < 400) if met else 0,
            "checked": {
                str(number): all(finding.ok for finding in found) for number, found in self.run.findings.items()
            },
            "errors": await self._lab.refusals(),
        }

    async def samples(self) -> tuple[Samples, dict[str, str]]:
        """The numbers of the last run, and what its proxies logged."""
        run = self.run
        if run is None:
            return await self._lab.read(), self._lab.logged_since({})
        if run.last is not None:
            return run.last.since(run.first), run.logs
        return (await self._lab.read()).since(run.first), self._lab.logged_since(run.log_sizes)

    # Steps

    async def _put_in_place(self, scenario: Scenario, number: int) -> None:
        step = scenario.steps[number - 1]
        await self._stop_load()
        self._on_stage(True)
        if not self._running:
            self.run = Run(scenario, time.time(), await self._lab.read(), self._lab.log_sizes())
            self._running = True
        assert self.run is not None
        self._number = number
        self.run.note(f"step {number}: {step.title}")
        self._stage.begin()
        await self._lab.turn(step.knobs, self._seed)
        await self._taken_up(lambda: self._stage.put(step.documents))
        self._generator = Generator(step.loads, self._lab.aim, f"{self._seed}/{scenario.name}/{number}")
        self._tasks = [
            spawn(self._generator.run(), name="scenario load"),
            spawn(self._follow(step), name="scenario watch"),
        ]

    async def _clear(self) -> str:
        """The name of the scenario that ran."""
        name = ""
        await self._stop_load()
        if self._running and self.run is not None:
            name = self.run.scenario.name
            self.run.last, self.run.logs = await self._lab.read(), self._lab.logged_since(self.run.log_sizes)
            self.run.ended = time.time()
            self.run.note("reset")
        await self._lab.turn({}, self._seed)
        await self._taken_up(self._stage.restore)
        await self._lab.reset_counters()
        self._running = False
        self._on_stage(False)
        return name

    async def _stop_load(self) -> None:
        tasks, self._tasks, self._window = self._tasks, [], None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._generator = None

    async def _taken_up(self, change: Callable[[], bool]) -> None:
        """Make a change of the documents; wait until every proxy has taken it up, or refused it."""
        before = await self._lab.reloads()
        if change():
            await self._all_beyond(before)

    async def _all_beyond(self, before: dict[str, float]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKE_UP_SECONDS
        while loop.time() < deadline:
            await asyncio.sleep(GLANCE_SECONDS)
            now = await self._lab.reloads()
            if all(now[name] > count for name, count in before.items()):
                return

    async def _follow(self, step: Step) -> None:
        """Begin to measure once the load has settled, and again whenever the student has changed a document."""
        await asyncio.sleep(step.settle)
        reloads, files = await self._open_window(), fingerprint([self._documents])
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if (now := fingerprint([self._documents])) != files:
                self._window = None
                if self.run is not None:
                    self.run.note("the documents were changed")
                await self._all_beyond(reloads)
                reloads, files = await self._open_window(), now

    async def _open_window(self) -> dict[str, float]:
        reloads = await self._lab.reloads()
        samples = await self._lab.read()
        if self._generator is not None:
            self._generator.forget()
        self._window = Window(samples, self._lab.log_sizes(), asyncio.get_running_loop().time())
        return reloads

    # Judging

    def _require(self, name: str) -> Run:
        """The run that a check is about. Raises CommandError with what to do."""
        if name:
            find_scenario(name)
        if not self._running or self.run is None:
            raise CommandError(f"no scenario is running. Start it first: pyproxy lab scenario {name or 'NAME'}")
        running = self.run.scenario.name
        if name not in ("", running):
            raise CommandError(
                f"the scenario {running} is running, not {name}. Check that one (pyproxy lab check {running}), "
                f"or go on to the other: pyproxy lab reset && pyproxy lab scenario {name}"
            )
        return self.run

    async def _noticed(self, step: Step) -> None:
        """Wait until a document that was saved this moment has been taken up or refused, and the load has settled."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + step.settle + PATIENCE
        await asyncio.sleep(WATCH_SECONDS + GLANCE_SECONDS)
        while self._window is None:
            if loop.time() > deadline:
                raise CommandError(
                    "nothing could be measured: the proxies do not answer. pyproxy lab reset, or a new lab"
                )
            await asyncio.sleep(GLANCE_SECONDS)

    async def _measure(self, step: Step, answer: str) -> Measured:
        """Wait until there is enough to judge."""
        while self._measured_seconds() < step.seconds:
            await asyncio.sleep(GLANCE_SECONDS)
        window, generator = self._window, self._generator
        assert window is not None and generator is not None
        seconds = self._measured_seconds()
        now = await self._lab.read()
        logs = self._lab.logged_since(window.log_sizes)
        return Measured(seconds, now.since(window.samples), now, generator.met, logs, answer)

    def _measured_seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._window.began if self._window is not None else 0.0

    def _unchecked(self, run: Run) -> list[int]:
        """Steps that have not been checked, or did not hold."""
        good = {number for number, found in run.findings.items() if found and all(finding.ok for finding in found)}
        return [number for number in range(1, len(run.scenario.steps) + 1) if number not in good]


def _load_text(load: Load) -> str:
    """`reviews, 50 requests a second, by way of productpage-v1's sidecar`."""
    speed = f"{load.clients} clients that do not pause" if load.clients else f"{load.rate:g} requests a second"
    if load.spike[0]:
        speed += f" after {load.spike[0]:g} s of {load.spike[1]:g}"
    if load.to == "page":
        return f"the page, {speed}"
    if load.to.startswith("plain:"):
        return f"{load.to.removeprefix('plain:')}, {speed}, without a certificate"
    return f"{load.to}{f' {load.path}' if load.path else ''}, {speed}, by way of {load.via}'s sidecar"
