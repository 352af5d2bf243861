"""Starts the lab's processes and makes sure that none outlives it, however it ends.

A guard, one `sh`, waits for the end of a pipe that the lab alone holds open. When the lab stops, dies or is killed, the
kernel closes the pipe, and the guard removes the working folder and kills its process group: every child is in it.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pyproxy.core.errors import CommandError

START_SECONDS = 60.0
STOP_SECONDS = 4.0
GLANCE_SECONDS = 0.05
"""Between two looks at the children: cheaper than a watcher thread for each."""
LOG_LINES = 12
_GUARD = 'cat >/dev/null; rm -rf -- "$1"; kill -KILL 0'


class ChildDied(CommandError):
    """A process of the lab ended by itself. The text has the last lines that it logged."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=1)


class Child:
    """One running process; what it prints is in `log`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def last_words(self) -> ChildDied:
        """Why it is not there any more, as far as its log tells."""
        code = self.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
        said = "\n".join(f"    {line}" for line in lines) or "    (it logged nothing)"
        return ChildDied(f"{self.name} ended with {how}; the lab stops. Its last lines:\n{said}")


class Processes:
    """The children, their guard and the working folder, `async with` from the first to the last."""

    folder: Path
    """This lab's own, gone at the end: logs, ready files, and the documents unless the user named a folder."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._guard: subprocess.Popen[bytes]

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="pyproxy-lab-"))
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "pyproxy-lab-guard", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # not the terminal's group: Ctrl-C is for the lab, which stops the others in order
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self.children:
            if child.running:
                child.process.terminate()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_SECONDS
        try:
            while any(child.running for child in self.children) and loop.time() < deadline:
                await asyncio.sleep(GLANCE_SECONDS)
        finally:
            self.kill()
            self._guard.wait()
            for child in self.children:
                child.process.kill()  # for the day that somebody has killed the guard
                child.process.wait()

    def kill(self) -> None:
        """End what still runs, now. Ours ends it in order first; a second Ctrl-C comes here at once."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start one child in the guard's group, its output in `logs/NAME.log`."""
        self.children.append(self._spawn(name, command, environment))
        return self.children[-1]

    async def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """As `start`, for a command that ends by itself. Raises ChildDied when it ends badly, or takes too long."""
        child = self._spawn(name, command, environment)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        try:
            while child.running:
                if loop.time() > deadline:
                    raise ChildDied(f"{name} was not done within {START_SECONDS:g} seconds; its log is {child.log}")
                await asyncio.sleep(GLANCE_SECONDS)
        finally:
            child.process.kill()
            child.process.wait()
        if child.process.returncode:
            raise child.last_words()

    def _spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.folder,  # no child may find a `config` or `certs` of the user's
                process_group=self._guard.pid,
            )
        return Child(name, process, log)

    async def ready(self, child: Child, test: Callable[[], bool]) -> None:
        """Wait until `test` holds. Raises ChildDied when the child ends first, or takes too long."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS
        while not test():
            if not child.running:
                raise child.last_words()
            if loop.time() > deadline:
                raise ChildDied(f"{child.name} was not ready within {START_SECONDS:g} seconds; its log is {child.log}")
            await asyncio.sleep(GLANCE_SECONDS)

    async def wait_for_a_death(self) -> ChildDied:
        """Returns when a child has ended; as long as `async with` lasts, nobody asked it to."""
        while all(child.running for child in self.children):
            await asyncio.sleep(GLANCE_SECONDS)
        return next(child for child in self.children if not child.running).last_words()
