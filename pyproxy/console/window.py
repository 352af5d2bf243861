"""The last seconds of every proxy: what came since the oldest reading that is still young enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pyproxy.console.edges import Edge, Totals, merge
from pyproxy.console.reading import Reading

WINDOW_SECONDS = 5.0
"""Rates and percentiles are of so long: shorter jumps about, longer is late."""


@dataclass(frozen=True, slots=True)
class Look:
    """What every proxy that answered said at one moment; `at` is monotonic seconds."""

    at: float
    readings: Mapping[str, Reading]


class Window:
    """The looks of the last WINDOW_SECONDS and the one before them."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()

    def add(self, at: float, readings: Mapping[str, Reading]) -> None:
        """One look more; `readings` is copied."""
        self._looks.append(Look(at, dict(readings)))
        while len(self._looks) > 2 and self._looks[1].at <= at - WINDOW_SECONDS:
            self._looks.popleft()

    @property
    def seconds(self) -> float:
        """Between the oldest look and the newest; 0 while there is but one."""
        return self._looks[-1].at - self._looks[0].at if self._looks else 0.0

    def before(self, address: str) -> Reading | None:
        """A proxy's reading at the beginning of the window."""
        return next((look.readings[address] for look in self._looks if address in look.readings), None)

    def edges(self) -> dict[Edge, Totals]:
        """What every proxy counted within the window, added up."""
        return merge(difference(now, self.before(address)) for address, now in self._newest().items())

    def _newest(self) -> Mapping[str, Reading]:
        return self._looks[-1].readings if self._looks else {}


def difference(now: Reading, before: Reading | None) -> dict[Edge, Totals]:
    """What one proxy counted between two answers. One that was started anew counts from 0.

    A proxy that is new here counted its past before we looked: that is no difference.
    """
    if before is None:
        return {edge: Totals() for edge in now.edges}
    if now.started != before.started:
        return dict(now.edges)
    return {edge: totals.since(before.edges.get(edge)) for edge, totals in now.edges.items()}
