"""`process_*` and `python_*`: memory, CPU time and open files of a process and its workers, as every client library
of Prometheus has them. Source: Prometheus, Writing client libraries, Standard and runtime collectors; proc(5).
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyproxy.admin.served import Served
from pyproxy.telemetry.exposition import Family

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process has of the machine."""

    cpu_seconds: float
    started_at: float
    """Unix seconds."""
    virtual_bytes: int
    resident_bytes: int
    open_files: int
    most_open_files: float


def process_metrics(served: Served) -> Iterator[Family]:
    """Sums over the processes; when the first of them started, and how many files one may open. None but on Linux."""
    pids = ["self", *(str(worker["pid"]) for worker in served.workers)]
    usages = [usage for pid in pids if (usage := read_usage(pid)) is not None]
    if usages:
        yield _one("process_virtual_memory_bytes", "Virtual memory.", sum(one.virtual_bytes for one in usages))
        yield _one("process_resident_memory_bytes", "Resident memory.", sum(one.resident_bytes for one in usages))
        yield _one("process_start_time_seconds", "Start, in Unix time.", min(one.started_at for one in usages))
        cpu = sum(one.cpu_seconds for one in usages)
        yield _one("process_cpu_seconds_total", "User and system CPU time.", cpu, kind="counter")
        yield _one("process_open_fds", "Open file descriptors.", sum(one.open_files for one in usages))
        yield _one("process_max_fds", "Most file descriptors at once.", min(one.most_open_files for one in usages))


def python_metrics() -> Iterator[Family]:
    """Version, and what the garbage collector of this process did."""
    info = Family("python_info", "gauge", "Python platform information.")
    major, minor, patch = platform.python_version_tuple()
    info.add(
        1, implementation=platform.python_implementation(), major=major, minor=minor, patchlevel=patch,
        version=platform.python_version(),
    )  # fmt: skip
    yield info
    for name, key, help_ in _COLLECTOR:
        family = Family(f"python_gc_{name}_total", "counter", help_)
        for generation, stats in enumerate(gc.get_stats()):
            family.add(stats[key], generation=str(generation))
        yield family


_COLLECTOR = (
    ("objects_collected", "collected", "Objects collected during gc."),
    ("objects_uncollectable", "uncollectable", "Uncollectable objects found during gc."),
    ("collections", "collections", "Number of times this generation was collected."),
)


def read_usage(pid: str) -> Usage | None:
    """`pid` may be `self`. None where the process has ended, or the system has no /proc."""
    process = _PROC / pid
    try:
        # After the command's name, which may hold anything, come numbers: the third field of proc_pid_stat(5) is first.
        stat = (process / "stat").read_text().rpartition(")")[2].split()
        limits = (process / "limits").read_text()
        open_files = len(os.listdir(process / "fd"))
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return Usage(
        cpu_seconds=(int(stat[11]) + int(stat[12])) / ticks,
        started_at=_booted_at() + int(stat[19]) / ticks,
        virtual_bytes=int(stat[20]),
        resident_bytes=int(stat[21]) * os.sysconf("SC_PAGE_SIZE"),
        open_files=open_files,
        most_open_files=float(_line(limits, "Max open files ").split()[0].replace("unlimited", "inf")),
    )


@cache
def _booted_at() -> int:
    """Unix seconds."""
    return int(_line((_PROC / "stat").read_text(), "btime "))


def _line(text: str, start: str) -> str:
    """What follows at the line that begins so."""
    return text[text.index(start) + len(start) :].partition("\n")[0]


def _one(name: str, help_: str, value: float, *, kind: str = "gauge") -> Family:
    family = Family(name, kind, help_)
    family.add(value)
    return family
