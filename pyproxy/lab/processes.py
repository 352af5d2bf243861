"""Starts the lab's processes and makes sure that none outlives it, however it ends.

A guard, one `sh`, waits for the end of a pipe that the lab alone holds open. When the lab stops, dies or is killed, the
kernel closes the pipe, and the guard removes the working folder and kills its process group: every child is in it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pyproxy.core.errors import CommandError
from pyproxy.core.loop import spawn

START_SECONDS = 30.0
STOP_SECONDS = 4.0
LOG_LINES = 12
_GUARD = 'cat >/dev/null; rm -rf -- "$1"; kill -KILL 0'


class ChildDied(CommandError):
    """A process of the lab ended by itself. The text has the last lines that it logged."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=1)


class Child:
    """One running process; what it prints is in `log`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    def last_words(self) -> ChildDied:
        """Why it is not there any more, as far as its log tells."""
        code = self.process.returncode
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        lines = self.log.read_text("utf-8", "replace").splitlines()[-LOG_LINES:]
        said = "\n".join(f"    {line}" for line in lines) or "    (it logged nothing)"
        return ChildDied(f"{self.name} ended with {how}; the lab stops. Its last lines:\n{said}")


class Processes:
    """The children, their guard and the working folder, `async with` from the first to the last."""

    folder: Path
    """This lab's own, gone at the end: logs, ready files, and the documents unless the user named a folder."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._guard: asyncio.subprocess.Process
        self._stopping = False
        self._died: asyncio.Future[Child]

    async def __aenter__(self) -> Self:
        self._died = asyncio.get_running_loop().create_future()
        self.folder = Path(tempfile.mkdtemp(prefix="pyproxy-lab-"))
        self._guard = await asyncio.create_subprocess_exec(
            *("sh", "-c", _GUARD, "pyproxy-lab-guard", str(self.folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            process_group=0,  # not the terminal's group: Ctrl-C is for the lab, which stops the others in order
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        for child in self.children:
            if child.running:
                child.process.terminate()
        waiting = [asyncio.ensure_future(child.process.wait()) for child in self.children]
        try:
            if waiting:
                await asyncio.wait(waiting, timeout=STOP_SECONDS)
        finally:
            self.kill()
            await asyncio.gather(self._guard.wait(), *waiting)

    def kill(self) -> None:
        """End what still runs, now. Ours ends it in order first; a second Ctrl-C comes here at once."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()

    async def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start one child in the guard's group, its output in `logs/NAME.log`."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.folder,  # no child may find a `config` or `certs` of the user's
                process_group=self._guard.pid,
            )
        child = Child(name, process, log)
        self.children.append(child)
        spawn(self._watch(child), name=f"watch {name}")
        return child

    async def ready(self, child: Child, test: Callable[[], bool]) -> None:
        """Wait until `test` holds. Raises ChildDied when the child ends first, or takes too long."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not test():
            if not child.running:
                raise child.last_words()
            if asyncio.get_running_loop().time() > deadline:
                raise ChildDied(f"{child.name} was not ready within {START_SECONDS:g} seconds; its log is {child.log}")
            await asyncio.sleep(0.05)

    async def wait_for_a_death(self) -> ChildDied:
        """Returns when a child ends that nobody asked to."""
        child = await asyncio.shield(self._died)
        return child.last_words()

    async def _watch(self, child: Child) -> None:
        await child.process.wait()
        if not self._stopping and not self._died.done():
            self._died.set_result(child)
