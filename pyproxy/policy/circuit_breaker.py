"""Ceilings on connections, pending and running requests and retries. Source: Envoy resource_manager_impl.h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNLIMITED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class CircuitBreakers:
    """One priority's ceilings, per cluster. Istio writes 2**32-1 wherever nothing is said."""

    max_connections: int = UNLIMITED
    max_pending_requests: int = UNLIMITED
    max_requests: int = UNLIMITED
    max_retries: int = UNLIMITED
    retry_budget_percent: float | None = None
    """Given, it takes the place of `max_retries`: retries may be this part of the requests pending and running."""
    retry_budget_min_concurrency: int = 3


CONNECTIONS, PENDING, REQUESTS, RETRIES = range(4)
"""Columns of a row of counts."""
COLUMNS = 4


class SharedCounts:
    """One cluster's counts in a table that all workers see. Each writes its own row; a reader adds the others up.

    `cells` holds 64-bit numbers; `own` and `others` say where in it the rows begin. `own` None: read only.
    """

    __slots__ = ("_cells", "_others", "_own")

    def __init__(self, cells: memoryview, own: int | None, others: Sequence[int]) -> None:
        self._cells = cells
        self._own = own
        self._others = tuple(others)

    def write(self, column: int, count: int) -> None:
        """This worker's count is that now."""
        if self._own is not None:
            self._cells[self._own + column] = count

    def elsewhere(self, column: int) -> int:
        """What the other workers have."""
        cells, total = self._cells, 0
        for row in self._others:
            total += cells[row + column]
        return total


class Ceilings:
    """One cluster's counts under its ceilings. Who takes a place counts it up, and down when it gives it back.

    A check and the count after it are two steps, so that several workers may pass a ceiling by a few, as Envoy's do.
    """

    __slots__ = ("connections", "limits", "pending", "requests", "retries", "shared")

    def __init__(self, limits: CircuitBreakers, shared: SharedCounts | None = None) -> None:
        self.limits = limits
        """May be replaced; the counts stay."""
        self.shared = shared
        """Where the other workers' counts are; None where one process serves."""
        self.connections = 0
        """Open and connecting."""
        self.pending = 0
        """Requests that wait for a connection."""
        self.requests = 0
        """Requests bound to a connection."""
        self.retries = 0
        """Retries that wait or run."""

    def count_connections(self, change: int) -> None:
        """So many more, or fewer."""
        self.connections += change
        if self.shared is not None:
            self.shared.write(CONNECTIONS, self.connections)

    def count_pending(self, change: int) -> None:
        """So many more, or fewer."""
        self.pending += change
        if self.shared is not None:
            self.shared.write(PENDING, self.pending)

    def count_requests(self, change: int) -> None:
        """So many more, or fewer."""
        self.requests += change
        if self.shared is not None:
            self.shared.write(REQUESTS, self.requests)

    def count_retries(self, change: int) -> None:
        """So many more, or fewer."""
        self.retries += change
        if self.shared is not None:
            self.shared.write(RETRIES, self.retries)

    @property
    def may_connect(self) -> bool:
        """A host without any connection may open one even when this is False: Envoy's upstream_cx_overflow."""
        if self.shared is None:
            return self.connections < self.limits.max_connections
        return self.total(CONNECTIONS) < self.limits.max_connections

    @property
    def may_wait(self) -> bool:
        """Asked when no connection is ready; False: overflow, upstream_rq_pending_overflow."""
        if self.shared is None:
            return self.pending < self.limits.max_pending_requests
        return self.total(PENDING) < self.limits.max_pending_requests

    @property
    def may_request(self) -> bool:
        """Asked when a request gets its connection; False: overflow, upstream_rq_active_overflow."""
        if self.shared is None:
            return self.requests < self.limits.max_requests
        return self.total(REQUESTS) < self.limits.max_requests

    @property
    def may_retry(self) -> bool:
        """Asked when a retry is decided; False: upstream_rq_retry_overflow, flag UO."""
        return self.total(RETRIES) < self.max_retries

    @property
    def max_retries(self) -> int:
        """The ceiling on retries as things stand: with a budget it follows the requests."""
        limits = self.limits
        percent = limits.retry_budget_percent
        if percent is None:
            return limits.max_retries
        requests = self.total(REQUESTS) + self.total(PENDING)
        return max(int(percent / 100.0 * requests), limits.retry_budget_min_concurrency)

    def total(self, column: int) -> int:
        """A count of the proxy as a whole, all workers together."""
        if column == CONNECTIONS:
            own = self.connections
        elif column == PENDING:
            own = self.pending
        elif column == REQUESTS:
            own = self.requests
        else:
            own = self.retries
        return own if self.shared is None else own + self.shared.elsewhere(column)
