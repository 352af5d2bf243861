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
    retry_budget_min_concurrency: int = 3
