"""`python -m bench.profile`: where one request of the routing scenario spends its time inside pyproxy, layer by layer.

The data path runs without sockets, and a timer notes a thousand times a second which function it is in; that costs
nothing between two ticks, so small functions are not made to look dear as a tracing profiler makes them. Time in C
counts for the Python function that called it. What sockets, event loop and kernel cost is what remains of the CPU time
of a real run. Compiled modules have no Python frames to look at, so run this where pyproxy is plain Python, as it is in
this folder; compiled, the same layers cost about half.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import click

import pyproxy
from bench.rig import Rig
from bench.run import Bench, Cores
from bench.scenarios import SCENARIOS
from bench.table import align

LAYERS: dict[str, tuple[str, ...]] = {
    "parse": ("downstream/http1.py", "upstream/http1.py", "core/http.py", "wire/heads.py"),
    "route": (
        "snapshot/",
        "policy/",
        "runtime/clusters.py",
        "runtime/live.py",
        "proxy/environment.py",
        "wire/paths.py",
    ),
    "trace": ("telemetry/request_id.py", "telemetry/trace_headers.py", "core/trace.py"),
    "count": ("telemetry/", "runtime/counters.py"),
    "forward": ("proxy/", "upstream/", "wire/", "core/", ""),
}
"""By the start of a module's path in the package; the first layer that fits. Counters that others add to in passing
are counted where that is done."""
INTERVAL = 0.001
_PACKAGE = str(Path(pyproxy.__file__).parent) + "/"

Function = tuple[str, str]
"""Module path in the package, name."""


def layer_of(module: str) -> str:
    """Which layer a module's time belongs to."""
    return next(layer for layer, starts in LAYERS.items() if module.startswith(starts))


class Sampler:
    """Counts, tick by tick, in which function of pyproxy the main thread is."""

    def __init__(self) -> None:
        self.ticks: Counter[Function] = Counter()
        self.elsewhere = 0
        """Ticks in the rig itself."""

    def __enter__(self) -> Sampler:
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        return self

    def __exit__(self, *exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(_PACKAGE):
                self.ticks[code.co_filename.removeprefix(_PACKAGE), code.co_name] += 1
                return
            if code.co_filename.endswith("bench/rig.py"):
                break
            frame = frame.f_back
        self.elsewhere += 1


async def sample(seconds: float) -> dict[Function, float]:
    """Seconds per request spent in each function itself."""
    rig = Rig(SCENARIOS["routing"].mesh)
    await rig.settle()
    rig.run(2000)
    requests, started = 0, time.perf_counter()
    with Sampler() as sampler:
        while time.perf_counter() - started < seconds:
            rig.run(500)
            requests += 500
    each = (time.perf_counter() - started) / requests / (sampler.ticks.total() + sampler.elsewhere)
    return {function: ticks * each for function, ticks in sampler.ticks.items()}


def render(costs: dict[Function, float], whole: float | None, functions: int) -> str:
    """Costs in seconds per request → two tables. `whole`: CPU time of a request in a real run."""
    layers: Counter[str] = Counter()
    for (module, _), cost in costs.items():
        layers[layer_of(module)] += cost  # type: ignore[assignment]  # a Counter of floats
    inside = sum(costs.values())
    rows = [["layer", "µs/req", "share"]]
    rows += [[layer, f"{layers[layer] * 1e6:.2f}", f"{layers[layer] / inside:.0%}"] for layer in LAYERS]
    rows.append(["all of Python", f"{inside * 1e6:.2f}", ""])
    if whole is not None:
        rows.append(["sockets, loop, kernel", f"{(whole - inside) * 1e6:.2f}", ""])
    top = [["function", "", "µs/req"]]
    for (module, name), cost in sorted(costs.items(), key=lambda item: -item[1])[:functions]:
        top.append([module, name, f"{cost * 1e6:.2f}"])
    return f"{align(rows)}\n\n{align(top)}"


@click.command()
@click.option("--seconds", default=5.0, show_default=True, help="How long to sample.")
@click.option("--functions", default=25, show_default=True, help="How many functions to show.")
@click.option("--sockets/--no-sockets", default=True, help="Also run for real, with nginx and wrk, for what remains.")
def main(seconds: float, functions: int, sockets: bool) -> None:
    """Show the cost of each layer of pyproxy for one request of the routing scenario."""
    costs = asyncio.run(sample(seconds))
    whole = None
    if sockets:
        bench = Bench(("pyproxy",), seconds=2, rounds=3, patience=0.0, cores=Cores.divide(None))
        whole = bench.measure(SCENARIOS["routing"]).middle("pyproxy", lambda one: one.cpu_per_request)
    click.echo(render(costs, whole, functions))


if __name__ == "__main__":
    main()
