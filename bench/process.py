"""Runs programs pinned to chosen cores and reads their CPU time and memory from /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: Sequence[str], *, cores: str, log: Path) -> Iterator[int]:
    """A program on `cores` (taskset's list); yields its pid and ends it afterwards. Its output goes to `log`."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            ["taskset", "-c", cores, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield child.pid  # taskset replaces itself by the program: same pid
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, *, pid: int, log: Path, seconds: float = 30.0) -> None:
    """Until somebody accepts on the port. Raises RuntimeError, with the end of the log, when nobody does."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    _wait(accepts, pid=pid, log=log, seconds=seconds)


def wait_for_ok(url: str, *, pid: int, log: Path, seconds: float = 120.0) -> None:
    """Until a GET is answered with 200. Raises RuntimeError, with the end of the log, when it never is."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    _wait(answers, pid=pid, log=log, seconds=seconds)


def _wait(condition: Callable[[], bool], *, pid: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or not _alive(pid):
            raise RuntimeError(f"{log.stem} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree so far (proc(5), stat fields 14 and 15)."""
    ticks = 0
    for member in tree(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK


def core_seconds(cores: str) -> float:
    """Time that cores (taskset's list) worked for anybody so far, also for other machines on this hypervisor."""
    return sum(map(_core_seconds, cores.split(",")))


def _core_seconds(core: str) -> float:
    """Of one (proc(5), /proc/stat)."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *columns = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, columns[:8])
            return (user + nice + system + irq + softirq + steal) * TICK
    raise ValueError(f"there is no core {core}")


def wait_until_calm(seconds: float) -> None:
    """Until all cores together have idled nine tenths of half a second, but no longer than `seconds`."""
    deadline = time.monotonic() + seconds
    cores = [f"{core}" for core in range(os.cpu_count() or 1)]
    while time.monotonic() < deadline:
        before = sum(map(core_seconds, cores))
        time.sleep(0.5)
        if sum(map(core_seconds, cores)) - before < 0.1 * 0.5 * len(cores):
            return


def resident_bytes(pid: int) -> int:
    """Resident memory of a process tree now."""
    return sum(_status(member, "VmRSS") for member in tree(pid))


def peak_resident_bytes(pid: int) -> int:
    """The most that a process tree had resident since `reset_peak`; its members' peaks added up."""
    return sum(_status(member, "VmHWM") for member in tree(pid))


def reset_peak(pid: int) -> None:
    """Let the peak begin again from now (proc(5), clear_refs)."""
    for member in tree(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0
