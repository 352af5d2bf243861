"""Injected delays and aborts."""

from __future__ import annotations

import random

import pytest

from pyproxy.policy.fault import FaultPolicy, roll_abort, roll_delay
from tests.policy.fakes import Rolls


@pytest.mark.parametrize(("roll", "hit"), [(0.0, True), (0.249999, True), (0.25, False), (0.9, False)])
def test_a_quarter_of_a_million(roll: float, hit: bool) -> None:
    policy = FaultPolicy(delay=3.0, delay_per_million=250_000, abort_status=503, abort_per_million=250_000)

    assert roll_delay(policy, Rolls([roll])) == (3.0 if hit else 0.0)
    assert roll_abort(policy, Rolls([roll])) is hit


def test_one_in_a_million_is_possible() -> None:
    policy = FaultPolicy(delay=3.0, delay_per_million=1)

    assert roll_delay(policy, Rolls([0.0000009])) == 3.0
    assert roll_delay(policy, Rolls([0.000001])) == 0.0


def test_nothing_is_rolled_for_what_is_not_configured() -> None:
    rolls = Rolls()

    assert roll_delay(FaultPolicy(delay=0.0, delay_per_million=1_000_000), rolls) == 0.0
    assert roll_delay(FaultPolicy(delay=1.0), rolls) == 0.0
    assert not roll_abort(FaultPolicy(abort_status=500), rolls)
    assert rolls.taken == 0


def test_all_of_them() -> None:
    policy = FaultPolicy(delay=1.0, delay_per_million=1_000_000, abort_status=500, abort_per_million=1_000_000)
    rng = random.Random(1)

    assert all(roll_delay(policy, rng) and roll_abort(policy, rng) for _ in range(100))
