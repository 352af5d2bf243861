"""Again or not, and after how long. Envoy's retry state, one per exchange."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """As configured. Source: Envoy retry_state_impl.cc; Istio route/retry/retry.go."""

    attempts: int
    """Retries after the first try, as in Istio."""
    retry_on: frozenset[str]
    """Envoy's condition words, HTTP and gRPC together."""
    retriable_status_codes: frozenset[int] = frozenset()
    per_try_timeout: float = 0.0
    """Seconds; 0 is none."""
    backoff_base: float = 0.025
    backoff_max: float = 0.250
    avoid_previous_hosts: bool = True
    host_selection_attempts: int = 5
    retry_remote_localities: bool = False


ISTIO_DEFAULT = RetryPolicy(
    attempts=2,
    retry_on=frozenset(
        {"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"},
    ),
)
ISTIO_INBOUND_DEFAULT = RetryPolicy(attempts=2, retry_on=frozenset({"reset-before-request"}))
