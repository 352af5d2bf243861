"""Ceilings of a cluster."""

from __future__ import annotations

import pytest

from pyproxy.policy.circuit_breaker import UNLIMITED, Ceilings, CircuitBreakers


def test_istio_limits_nothing() -> None:
    ceilings = Ceilings(CircuitBreakers())
    ceilings.connections = ceilings.pending = ceilings.requests = ceilings.retries = 1_000_000

    assert ceilings.may_connect
    assert ceilings.may_wait
    assert ceilings.may_request
    assert ceilings.may_retry
    assert ceilings.max_retries == UNLIMITED


@pytest.mark.parametrize(
    ("count", "limit", "check"),
    [
        ("connections", "max_connections", "may_connect"),
        ("pending", "max_pending_requests", "may_wait"),
        ("requests", "max_requests", "may_request"),
        ("retries", "max_retries", "may_retry"),
    ],
)
def test_a_ceiling_is_reached_at_its_number(count: str, limit: str, check: str) -> None:
    ceilings = Ceilings(CircuitBreakers(**{limit: 2}))
    found = []
    for number in range(4):
        setattr(ceilings, count, number)
        found.append(getattr(ceilings, check))

    assert found == [True, True, False, False]


def test_other_limits_leave_the_counts() -> None:
    ceilings = Ceilings(CircuitBreakers(max_requests=1))
    ceilings.requests = 1
    assert not ceilings.may_request

    ceilings.limits = CircuitBreakers(max_requests=2)

    assert ceilings.requests == 1
    assert ceilings.may_request


@pytest.mark.parametrize(
    ("requests", "pending", "allowed"),
    [(0, 0, 3), (14, 0, 3), (15, 0, 3), (19, 0, 3), (20, 0, 4), (15, 9, 4), (100, 0, 20)],
)
def test_a_retry_budget_follows_the_requests_and_never_falls_below_its_minimum(
    requests: int, pending: int, allowed: int
) -> None:
    ceilings = Ceilings(CircuitBreakers(max_retries=0, retry_budget_percent=20.0, retry_budget_min_concurrency=3))
    ceilings.requests, ceilings.pending = requests, pending

    assert ceilings.max_retries == allowed
    ceilings.retries = allowed - 1
    assert ceilings.may_retry
    ceilings.retries = allowed
    assert not ceilings.may_retry
