"""The counts under ceilings, in memory that all workers see: made before the fork, one writer per row, no locks."""

from __future__ import annotations

import mmap

from pyproxy.policy.circuit_breaker import COLUMNS, SharedCounts

SLOTS = 65_536
"""Clusters that there can be, by name, as long as the proxy runs. A page of memory is used once it is written to."""
_BYTES = 8


class CountTable:
    """A row of counts for each worker and cluster."""

    def __init__(self, workers: int, slots: int = SLOTS) -> None:
        self._workers = workers
        self._slots = slots
        self._cells = memoryview(mmap.mmap(-1, workers * slots * COLUMNS * _BYTES)).cast("q")

    def of_worker(self, worker: int, slot: int | None) -> SharedCounts | None:
        """A cluster's counts for who writes them; None when the table had no slot left for it."""
        if slot is None:
            return None
        others = [self._row(other, slot) for other in range(self._workers) if other != worker]
        return SharedCounts(self._cells, self._row(worker, slot), others)

    def of_all(self, slot: int | None) -> SharedCounts | None:
        """A cluster's counts for who only reads them."""
        if slot is None:
            return None
        return SharedCounts(self._cells, None, [self._row(worker, slot) for worker in range(self._workers)])

    def clear(self, worker: int, used: int) -> None:
        """A dead worker has nothing in flight, whatever its rows in the first `used` slots still say."""
        start, size = self._row(worker, 0), used * COLUMNS
        self._cells[start : start + size] = memoryview(bytes(size * _BYTES)).cast("q")

    def _row(self, worker: int, slot: int) -> int:
        return (worker * self._slots + slot) * COLUMNS


class Slots:
    """Which clusters have which slots: by name, for ever, so that a reload moves nobody's counts."""

    def __init__(self, limit: int = SLOTS) -> None:
        self.by_name: dict[str, int] = {}
        self._limit = limit

    def assign(self, name: str) -> int | None:
        """The slot of a cluster; None when all are taken."""
        slot = self.by_name.get(name)
        if slot is None and len(self.by_name) < self._limit:
            slot = self.by_name[name] = len(self.by_name)
        return slot
