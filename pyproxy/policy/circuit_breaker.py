"""Ceilings on connections, pending and running requests and retries. Source: Envoy resource_manager_impl.h."""

from __future__ import annotations

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


class Ceilings:
    """One cluster's counts under its ceilings. Who takes a place counts it up, and down when it gives it back.

    A check and the count after it are two steps, so that several workers may pass a ceiling by a few, as Envoy's do.
    """

    __slots__ = ("connections", "limits", "pending", "requests", "retries")

    def __init__(self, limits: CircuitBreakers) -> None:
        self.limits = limits
        """May be replaced; the counts stay."""
        self.connections = 0
        """Open and connecting."""
        self.pending = 0
        """Requests that wait for a connection."""
        self.requests = 0
        """Requests bound to a connection."""
        self.retries = 0
        """Retries that wait or run."""

    @property
    def may_connect(self) -> bool:
        """A host without any connection may open one even when this is False: Envoy's upstream_cx_overflow."""
        return self.connections < self.limits.max_connections

    @property
    def may_wait(self) -> bool:
        """Asked when no connection is ready; False: overflow, upstream_rq_pending_overflow."""
        return self.pending < self.limits.max_pending_requests

    @property
    def may_request(self) -> bool:
        """Asked when a request gets its connection; False: overflow, upstream_rq_active_overflow."""
        return self.requests < self.limits.max_requests

    @property
    def may_retry(self) -> bool:
        """Asked when a retry is decided; False: upstream_rq_retry_overflow, flag UO."""
        return self.retries < self.max_retries

    @property
    def max_retries(self) -> int:
        """The ceiling on retries as things stand: with a budget it follows the requests."""
        limits = self.limits
        percent = limits.retry_budget_percent
        if percent is None:
            return limits.max_retries
        return max(int(percent / 100.0 * (self.requests + self.pending)), limits.retry_budget_min_concurrency)
