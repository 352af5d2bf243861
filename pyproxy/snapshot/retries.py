"""A `retries` block, the mesh's default, or Istio's → the retry policy of a route.

Source: Istio pilot/pkg/networking/core/route/retry/retry.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from pyproxy.istio.networking.virtual_service import HTTPRetry
from pyproxy.policy.retry import ISTIO_DEFAULT, ISTIO_INBOUND_DEFAULT, RetryPolicy

_STATUS_CODES = frozenset(HTTPStatus)
_BY_CODE = "retriable-status-codes"


def compile_retry(block: HTTPRetry | None, *, hashed: bool) -> RetryPolicy | None:
    """The outbound policy; None: no retries. `hashed`: the one destination hashes, so the same host is tried again."""
    base = replace(ISTIO_DEFAULT, avoid_previous_hosts=False) if hashed else ISTIO_DEFAULT
    if block is None:
        return base
    if not block.attempts:
        return None
    avoid = block.retry_ignore_previous_hosts
    return replace(
        base,
        attempts=block.attempts,
        per_try_timeout=block.per_try_timeout or 0.0,
        avoid_previous_hosts=base.avoid_previous_hosts if avoid is None else avoid,
        retry_remote_localities=bool(block.retry_remote_localities),
        **_conditions(block),
    )


def compile_inbound_retry(block: HTTPRetry | None) -> RetryPolicy | None:
    """Towards the own workload: only attempts, conditions and backoff count."""
    if block is None:
        return ISTIO_INBOUND_DEFAULT
    if not block.attempts:
        return None
    return replace(ISTIO_INBOUND_DEFAULT, attempts=block.attempts, **_conditions(block))


def _conditions(block: HTTPRetry) -> Mapping[str, Any]:
    """retryOn, where numbers are status codes, and the backoff, which ends at ten times its base."""
    found: dict[str, Any] = {}
    if block.retry_on:
        words = [word for part in block.retry_on.split(",") if (word := part.strip())]
        codes = frozenset(int(word) for word in words if word.isdigit() and int(word) in _STATUS_CODES)
        conditions = {word for word in words if not (word.isdigit() and int(word) in codes)}
        found["retry_on"] = frozenset(conditions | {_BY_CODE}) if codes else frozenset(conditions)
        found["retriable_status_codes"] = codes
    if block.backoff:
        found |= {"backoff_base": block.backoff, "backoff_max": block.backoff * 10}
    return found
