"""Earliest deadline first: weighted turns over entries whose weight may change between turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_PICKS = 429_496_729
_NUDGE = 1e-13


class Edf(Generic[T]):
    """A schedule that gives each entry turns in proportion to its weight, the weights above 0.

    An entry's next turn is due at its last plus 1/weight, the weight read anew each turn; of equal deadlines the entry
    that was put in first is first. Source: Envoy edf_scheduler.h.
    """

    __slots__ = ("_heap", "_order", "_weight")

    def __init__(self, entries: Sequence[T], weight: Callable[[T], float], picks: int) -> None:
        """`picks` turns count as taken: a random number keeps a fleet of proxies out of step."""
        self._weight = weight
        self._heap, left = _after_picks(entries, weight, (picks & 0xFFFF_FFFF) % _MOST_PICKS)
        self._order = len(entries)
        heapify(self._heap)
        for _ in range(left):
            self.pick()

    def pick(self) -> T:
        """Take the next turn. There must be an entry."""
        heap = self._heap
        deadline, _, entry = heap[0]
        order = self._order
        self._order = order + 1
        heapreplace(heap, (deadline + 1.0 / self._weight(entry), order, entry))
        return entry


def _after_picks(
    entries: Sequence[T], weight: Callable[[T], float], picks: int
) -> tuple[list[tuple[float, int, T]], int]:
    """The schedule after nearly all of `picks` turns, in one step, and how many turns are left to take."""
    # The nudge keeps weights that are multiples of one another from meeting at deadlines that differ by rounding.
    weights = [weight(entry) + _NUDGE for entry in entries]
    total = sum(weights)
    heap = []
    left = picks
    for order, (entry, mine) in enumerate(zip(entries, weights, strict=True)):
        taken = int(mine * picks / total)
        if taken and taken / mine >= picks / total:  # rounding gave a turn too many
            taken -= 1
        heap.append(((taken + 1) / mine, order, entry))
        left -= taken
    return heap, left
