"""Runs the programs and proxies of the lab, each in a process of its own, at a third of the memory that they would cost
apart: `python -m pyproxy.lab.fleet PLAN`, a JSON file with the members.

One process imports what all of them need and forks; what nobody changes afterwards stays shared. Each member is what
its command would be alone: its entry is called with its arguments, its environment and a log of its own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

SHARED = (
    "pyproxy.app",
    "pyproxy.cli.run",
    "pyproxy.cli.certs_issue",
    "pyproxy.admin.endpoints",
    "pyproxy.admin.statistics",
    "pyproxy.mtls.reading",
    "pyproxy.lab.services",
    "concurrent.futures.thread",
    "cryptography.x509.verification",
    "encodings.idna",
)
"""What members would import themselves, late ones too. By name: the lab does not know what its programs are made of."""
LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Member:
    """One process: what it is called, the function that it runs, and what that function finds."""

    name: str
    entry: str
    """`module:function`, called without arguments."""
    arguments: Sequence[str]
    log: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beside the fleet's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Who runs. `first` ends by itself, and well, before the others start."""

    first: Member
    members: Sequence[Member]


def write_plan(file: Path, plan: Plan) -> None:
    """For `main` to read."""
    file.write_text(json.dumps(asdict(plan)), "utf-8")


def read_plan(file: Path) -> Plan:
    """What `write_plan` wrote."""
    raw = json.loads(file.read_text("utf-8"))
    return Plan(Member(**raw["first"]), [Member(**member) for member in raw["members"]])


def main() -> None:
    """Until SIGTERM, which the members get too, or until one of them ends: exit code 1."""
    plan = read_plan(Path(sys.argv[1]))
    everybody = (plan.first, *plan.members)
    _share(member.entry for member in everybody)
    for member in everybody:  # or its last words could not be looked for should it die before it has opened its log
        Path(member.log).touch(0o600)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # until everybody knows what to do with it
    _, status = os.waitpid(_fork(plan.first), 0)
    if status:
        sys.exit(last_words(plan.first, os.waitstatus_to_exitcode(status)))
    running = {_fork(member): member for member in plan.members}
    for pid, member in running.items():
        print(f"{member.name}: process {pid}", flush=True)
    sys.exit(_watch(running))


def _share(entries: Iterable[str]) -> None:
    from pyproxy.istio.loader import load  # not for who only writes a plan

    for module in (*SHARED, *sorted({entry.partition(":")[0] for entry in entries})):
        importlib.import_module(module)
    load([Path(__file__).parent / "documents"])  # what reading documents builds once: 12 MB each
    gc.collect()
    gc.freeze()  # or the first collection in each member would touch, and so copy, every page


def _watch(running: dict[int, Member]) -> str | int:
    """Wait for all; the exit status, or why the first one ended whom nobody had asked to."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for pid in running:
            with suppress(ProcessLookupError):  # it ended by itself, this moment
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while running:
        pid, status = os.wait()
        member = running.pop(pid)
        if not stopping:
            stop()
            return last_words(member, os.waitstatus_to_exitcode(status))
    return 0


def last_words(member: Member, code: int) -> str:
    """How a member ended, and why as far as its log tells."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    lines = Path(member.log).read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
    return "\n".join([f"{member.name} ended with {how}; its last lines:", *(lines or ["(it logged nothing)"])])


def _fork(member: Member) -> int:
    pid = os.fork()
    if pid == 0:
        _become(member)
    return pid


def _become(member: Member) -> NoReturn:
    """Be this member; never back into the parent's loop."""
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        log = os.open(member.log, os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        _name_process(member.name)
        os.environ.update(member.environment)
        sys.argv[:] = [member.name, *member.arguments]
        module, _, function = member.entry.partition(":")
        getattr(importlib.import_module(module), function)()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _name_process(name: str) -> None:
    """What `top` and `ps -o comm` show, 15 characters of it. Only Linux has it as a file."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name[:15])


if __name__ == "__main__":
    main()
