"""The last good content of a set of certificate files, and whether what lies there now is as good."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pyproxy.core.loop import Clock
from pyproxy.istio.files import stamp
from pyproxy.mtls.material import Material, MaterialError, Sources

_log = logging.getLogger("pyproxy.certs")
PATIENCE = 1.0
"""Seconds for which a broken set may be one that is being replaced file by file."""
Read = Callable[[float], Material]


class Holding:
    """One set of files, looked at again and again."""

    def __init__(self, sources: Sources, read_it: Read | None, clock: Clock) -> None:
        """`read_it` reads and checks the set, given the time; without it `read` does. What is wrong is in `error`."""
        self.sources = sources
        self.material: Material | None = None
        self.error = ""
        """Why the files that are there now are not in use; empty when they are."""
        self.accepted = 0
        self.rejected = 0
        self.succeeded_at = 0.0
        """When a set was last taken up, Unix seconds; 0 when none was."""
        self._read = read_it or self._read_sources
        self._clock = clock
        self._broken_since = 0.0
        self._told = ""
        self._taken = self._seen = self._stamps()
        self._take_up()

    @property
    def path(self) -> str:
        """The first of its files: its name in logs and metrics."""
        return self.sources.certificate or self.sources.ca or self.sources.crl

    @property
    def trouble(self) -> str:
        """What is wrong with the files, and with what is in use; empty when nothing is."""
        material, found = self.material, [self.error] if self.error else []
        if material is not None and material.not_after < self._clock.time():
            found.append(f"{self.path}: in use, and expired; issue it again (pyproxy certs issue)")
        return "; ".join(found)

    def look(self) -> bool:
        """Read the files if they changed and then stayed as they are for one look; give whether their content is
        another than what was in use. A broken set changes nothing, and is tried again at every look.
        """
        seen, self._seen = self._seen, self._stamps()
        fresh = False
        if (self._seen != self._taken or self.error) and self._seen == seen:
            self._taken = seen
            fresh = self._take_up()
        self._tell()
        return fresh

    # For itself

    def _read_sources(self, now: float) -> Material:
        from pyproxy.mtls.reading import read  # here: see facts.py

        return read(self.sources, now)

    def _stamps(self) -> tuple[object, ...]:
        return tuple(stamp(path) for path in self.sources.paths)

    def _take_up(self) -> bool:
        try:
            material = self._read(self._clock.time())
        except MaterialError as error:
            if not self.error:
                self._broken_since = self._clock.monotonic()
            self.error = str(error)
            return False
        fresh = material != self.material
        if fresh or self._told:
            self.accepted += 1
            self.succeeded_at = self._clock.time()
            if self.accepted > 1:
                _log.info("took up %s", material.identity or self.path)
        self.material = material
        self.error = self._told = ""
        return fresh

    def _tell(self) -> None:
        """Say, once, what is wrong and has been for a while."""
        trouble, kept = self.trouble, self.error and self.material is not None
        if self.error and self._clock.monotonic() - self._broken_since < PATIENCE:
            return
        if trouble and trouble != self._told:
            self.rejected += bool(self.error) and self.error not in self._told
            self._told = trouble
            _log.error("%s%s", trouble, "; kept the last good one" if kept else "")
