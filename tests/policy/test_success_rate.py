"""Success rates of one interval."""

from __future__ import annotations

import pytest

from pyproxy.policy.success_rate import RateCounter, spread


def counter(good: int, total: int) -> RateCounter:
    found = RateCounter()
    found.good, found.total = good, total
    return found


def test_a_rate_is_of_the_interval_that_ended() -> None:
    found = counter(3, 4)
    assert found.rate(1) is None

    found.swap()
    assert found.rate(4) == 75.0
    assert (found.good, found.total) == (0, 0)

    found.swap()
    assert found.rate(0) is None


def test_too_few_requests_say_nothing() -> None:
    found = counter(3, 4)
    found.swap()

    assert found.rate(5) is None


def test_outliers_are_so_many_deviations_below_the_mean() -> None:
    found = spread({"a": 50.0, "b": 100.0, "c": 100.0, "d": 100.0, "e": 100.0}, 1900)

    assert found.average == 90
    assert found.threshold == pytest.approx(52)
