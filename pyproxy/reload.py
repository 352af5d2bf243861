"""Documents to the snapshot that serves: the first load, and every change after it. A bad one changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyproxy.core.loop import Clock
from pyproxy.istio.files import fingerprint
from pyproxy.istio.loader import load
from pyproxy.istio.problems import Problem
from pyproxy.istio.resources import Document
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening, Snapshot

_log = logging.getLogger("pyproxy.config")
LOOK_INTERVAL = 0.2
"""Seconds from one look at the files to the next."""
SETTLE_INTERVAL = 0.05
"""Seconds without change after which a change is whole: editors and `cp` write in several steps."""
MAX_SETTLING = 8
"""Looks after which a change that never ends is read as it is."""
IdentityOf = Callable[[Sequence[Document]], Identity]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one reading of the documents gave; `snapshot` is None when there were errors."""

    snapshot: Snapshot | None
    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    files: tuple[object, ...]
    """The files as they were before."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps the documents from being taken up."""
        return tuple(problem for problem in self.problems if problem.severity == "error")


def read(paths: Sequence[Path], identity_of: IdentityOf, listening: Listening) -> Loaded:
    """Load and compile. Raises CommandError when the workload is in no document."""
    files = fingerprint(paths)
    loaded = load(paths)
    if not loaded.ok:
        return Loaded(None, loaded.documents, loaded.problems, files)
    compilation = compile_snapshot(loaded.documents, identity_of(loaded.documents), listening)
    problems = (*loaded.problems, *compilation.problems)
    failed = any(problem.severity == "error" for problem in compilation.problems)
    return Loaded(None if failed else compilation.snapshot, loaded.documents, problems, files)


@dataclass(slots=True)
class ReloadStatus:
    """How reloads went; metrics and admin show it."""

    successful: bool = True
    succeeded_at: float = 0.0
    """Unix seconds."""
    accepted: int = 0
    rejected: int = 0
    errors: tuple[str, ...] = ()
    """The last rejection's errors; empty after a success."""
    warnings: tuple[str, ...] = ()


class Reloader:
    """Watches the documents and hands good snapshots on."""

    def __init__(
        self,
        paths: Sequence[Path],
        identity_of: IdentityOf,
        listening: Listening,
        take_up: Callable[[Snapshot], None],
        clock: Clock,
    ) -> None:
        self.status = ReloadStatus()
        self._paths = paths
        self._identity_of = identity_of
        self._listening = listening
        self._take_up = take_up
        self._clock = clock
        self._files = fingerprint(paths)
        """As they were before they were last read."""
        self._noticed: frozenset[str] = frozenset()
        self.loaded: Loaded | None = None
        """What was read last and taken up, or is about to be."""

    def accept(self, loaded: Loaded) -> None:
        """Count a success and say what there is to warn about, each thing once."""
        assert loaded.snapshot is not None
        status = self.status
        status.successful = True
        status.succeeded_at = self._clock.time()
        status.accepted += 1
        status.errors = ()
        status.warnings = tuple(str(problem) for problem in loaded.problems)
        for problem in loaded.problems:
            if str(problem) not in self._noticed:
                _log.log(logging.WARNING if problem.severity == "warning" else logging.INFO, "%s", problem)
        self._noticed = frozenset(status.warnings)
        self._files = loaded.files
        self.loaded = loaded

    def reject(self, errors: tuple[str, ...]) -> None:
        """Keep what serves, and say why."""
        self.status.successful = False
        self.status.rejected += 1
        self.status.errors = errors
        for error in errors:
            _log.error("%s", error)
        _log.error("kept the last good configuration: %d error(s) in the documents", len(errors))

    async def reload(self) -> None:
        """Read once; take up or reject."""
        try:
            loaded = await asyncio.to_thread(read, self._paths, self._identity_of, self._listening)
        except Exception as error:  # the last good configuration must survive whatever is in a file
            self.reject((str(error) or repr(error),))
            return
        if loaded.snapshot is None:
            self.reject(tuple(str(problem) for problem in loaded.errors))
            return
        self.loaded = loaded
        self._take_up(loaded.snapshot)
        self.accept(loaded)
        _log.info("took up the documents: version %s", loaded.snapshot.version)

    async def watch(self) -> None:
        """Reload at every change, for ever; also at one that was made while the first documents were read.

        Files are looked at and not watched: a watch is lost with the file or folder that an editor or `mv` replaces,
        and sees nothing on the mounts of Docker Desktop and NFS.
        """
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            files = await asyncio.to_thread(fingerprint, self._paths)
            if files == self._files:
                continue
            for _ in range(MAX_SETTLING):
                before = files
                await asyncio.sleep(SETTLE_INTERVAL)
                files = await asyncio.to_thread(fingerprint, self._paths)
                if files == before:
                    break
            self._files = files
            await self.reload()
