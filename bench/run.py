"""The command: starts nginx and the proxies of each scenario, measures them turn by turn, prints a table."""

from __future__ import annotations

import json
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click

from bench import memory
from bench.contestants import STARTERS, VARIANTS, Contestant, Place, watched
from bench.identities import make
from bench.load import LoadResult, run_h2load, run_tlsload, run_wrk
from bench.process import (
    core_seconds,
    cpu_seconds,
    peak_resident_bytes,
    reset_peak,
    resident_bytes,
    wait_until_calm,
)
from bench.scenarios import GIBIBYTE, LARGE_BODY, MESH_PROXIES, SCENARIOS, WATCHED, WORKERS, Scenario
from bench.table import NOTES, Measured, Result, Sample, as_json, machine, render
from bench.upstream import SUBSETS, upstream
from bench.verify import check, counted

SETTLE_SECONDS = 1.0
WARM_UP_SECONDS = 1
NAMES = [*SCENARIOS, LARGE_BODY.name]
SHARED = """\
NGINX AND WRK SHARE THE WORKERS' CORES: there is no third core for them. A second worker takes from them what it
!!! gains, so req/s and latencies say little here, and their ratio is no measure of scaling; compare CPU µs/req."""


@click.command()
@click.option("--scenario", "names", multiple=True, type=click.Choice(NAMES), help="Repeatable.")
@click.option("--all", "every", is_flag=True, help="Every scenario. Without either, routing alone.")
@click.option("--proxy", "proxies", multiple=True, type=click.Choice(list(STARTERS)), help="Only these. Repeatable.")
@click.option("--seconds", default=2, show_default=True, type=click.IntRange(1, 60), help="Of load, each time.")
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1, 100))
@click.option("--patience", default=0.0, help="Seconds to wait for a calm machine before each turn.")
@click.option("--output", default="text", type=click.Choice(["text", "json"]))
@click.option("--proxy-core", type=int, help="The core of the proxy under load. Default: the last one.")
def main(
    names: tuple[str, ...],
    every: bool,
    proxies: tuple[str, ...],
    seconds: int,
    rounds: int,
    patience: float,
    output: str,
    proxy_core: int | None,
) -> None:
    """Measure pyproxy beside Envoy and others: same upstream, same load, same policies, same core."""
    bench = Bench(proxies, seconds=seconds, rounds=rounds, patience=patience, cores=Cores.divide(proxy_core))
    reports = []
    for name in NAMES if every else names or ("routing",):
        if name == LARGE_BODY.name:
            growths = bench.large_body()
            reports.append(memory.as_json(LARGE_BODY.about, growths))
            text = memory.render(LARGE_BODY.about, growths)
        else:
            result = bench.measure(SCENARIOS[name])
            reports.append(as_json(result))
            text = render(result)
        if output == "text":
            click.echo(text + "\n")
    if output == "json":
        click.echo(json.dumps({"machine": machine(), "scenarios": reports}, indent=2))
    else:
        click.echo(f"{NOTES}{machine()}; {rounds} rounds of {seconds} s")


@dataclass(frozen=True)
class Cores:
    """Which cores do what, as taskset writes them."""

    proxy: str
    load: str
    """nginx, wrk and this program."""

    @classmethod
    def divide(cls, proxy: int | None) -> Cores:
        """One core for the proxy, the others for the load; moves this process away. Raises click.UsageError."""
        available = os.sched_getaffinity(0)
        proxy = max(available) if proxy is None else proxy
        others = available - {proxy}
        if proxy not in available or not others:
            raise click.UsageError(f"needs core {proxy} and another; there are {sorted(available)}")
        os.sched_setaffinity(0, others)
        return cls(str(proxy), ",".join(map(str, sorted(others))))

    def paired(self) -> Cores:
        """Two cores for two workers; the load gets the others, or the same two where there are no others."""
        first, *others = self.load.split(",")
        pair = f"{first},{self.proxy}"
        return Cores(pair, ",".join(others) or pair)

    @property
    def shared(self) -> bool:
        """Whether proxy and load are in each other's way."""
        return self.proxy == self.load


class Bench:
    """One invocation's choices."""

    def __init__(self, proxies: tuple[str, ...], *, seconds: int, rounds: int, patience: float, cores: Cores) -> None:
        self._proxies = proxies
        self._seconds = seconds
        self._rounds = rounds
        self._patience = patience
        self._cores = cores

    def measure(self, scenario: Scenario) -> Result:
        """All rounds of one scenario. Proxies run all the time; only one at a time has work."""
        cores = self._cores.paired() if scenario.proxies == WORKERS else self._cores
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            mesh = scenario.mesh
            identities = make(folder / "identities") if mesh.mutual_tls else None
            asked = identities.service if identities is not None and not mesh.inbound else None
            nginx = stack.enter_context(
                upstream(folder, cores=cores.load, failing=mesh.failing, certificates=asked, http2=mesh.http2)
            )
            place = Place(folder, cores.proxy, mesh, nginx.ports, identities)
            contestants = self._start(scenario, place, stack, cores)
            measured = {contestant.name: Measured(remark=contestant.remark) for contestant in contestants}
            time.sleep(SETTLE_SECONDS)
            for contestant in contestants:
                measured[contestant.name].idle_bytes = resident_bytes(contestant.pid)
                check(contestant, scenario.mesh)
                _load(scenario, contestant, seconds=WARM_UP_SECONDS, cores=cores.load, folder=folder)
                reset_peak(contestant.pid)
            before = {contestant.name: counted(contestant) for contestant in contestants}
            for number in range(self._rounds):
                for contestant in contestants if number % 2 == 0 else contestants[::-1]:
                    measured[contestant.name].samples.append(self._sample(scenario, contestant, cores, folder))
            for contestant in contestants:
                self._finish(contestant, measured[contestant.name], before[contestant.name])
        warning = SHARED if cores.shared else ""
        return Result(scenario.name, scenario.about, measured, scenario.reference, warning, scenario.digits)

    def large_body(self) -> dict[str, memory.Growth]:
        """How much memory a body of 1 GiB costs each proxy, one after the other."""
        growths = {}
        for name in self._proxies or MESH_PROXIES:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
                port = stack.enter_context(memory.peer(GIBIBYTE))
                place = Place(folder, self._cores.proxy, LARGE_BODY.mesh, dict.fromkeys(SUBSETS, port))
                contestant = stack.enter_context(STARTERS[name](place))
                time.sleep(SETTLE_SECONDS)
                growths[name] = memory.measure(contestant, GIBIBYTE)
        return growths

    def _start(self, scenario: Scenario, place: Place, stack: ExitStack, cores: Cores) -> list[Contestant]:
        if scenario.proxies == WATCHED:
            return stack.enter_context(watched(place, cores.load))
        fixed = not VARIANTS.keys().isdisjoint(scenario.proxies)
        names = scenario.proxies if fixed else self._proxies or scenario.proxies
        return [stack.enter_context((STARTERS | VARIANTS)[name](place)) for name in names]

    def _sample(self, scenario: Scenario, contestant: Contestant, cores: Cores, folder: Path) -> Sample:
        wait_until_calm(self._patience)
        with contestant.meanwhile():
            used, worked = cpu_seconds(contestant.pid), core_seconds(cores.proxy)
            load = _load(scenario, contestant, seconds=self._seconds, cores=cores.load, folder=folder)
            return Sample(load, cpu_seconds(contestant.pid) - used, core_seconds(cores.proxy) - worked)

    def _finish(self, contestant: Contestant, measured: Measured, before: int | None) -> None:
        measured.loaded_bytes = peak_resident_bytes(contestant.pid)
        after = counted(contestant)
        if before is not None and after is not None:
            sent = sum(sample.load.requests for sample in measured.samples)
            measured.uncounted = max(0, sent - (after - before))


def _load(scenario: Scenario, contestant: Contestant, *, seconds: int, cores: str, folder: Path) -> LoadResult:
    """By wrk; HTTP/2 by h2load; by tlsload where a certificate is asked for, which neither can show."""
    if scenario.load.streams:
        return run_h2load(scenario, contestant.port, seconds=seconds, cores=cores, folder=folder)
    if contestant.certificate is None:
        return run_wrk(scenario, contestant.port, seconds=seconds, cores=cores, folder=folder)
    return run_tlsload(scenario, contestant.port, contestant.certificate, seconds=seconds, cores=cores, folder=folder)
