"""Which hosts do worse than the others: success rates over one interval, and who stands out of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

T = TypeVar("T")


class RateCounter:
    """Requests of one host in the interval that runs, and in the one before it."""

    __slots__ = ("_last_good", "_last_total", "good", "total")

    def __init__(self) -> None:
        self.total = 0
        self.good = 0
        self._last_total = 0
        self._last_good = 0

    def swap(self) -> None:
        """The interval is over: it becomes the one that is judged."""
        self._last_total, self._last_good = self.total, self.good
        self.total = self.good = 0

    def rate(self, least_volume: int) -> float | None:
        """Percent that were good in the interval before this; None when it saw fewer requests than that."""
        total = self._last_total
        return None if total < least_volume or not total else self._last_good * 100.0 / total


@dataclass(frozen=True, slots=True)
class Spread:
    """What the rates of several hosts have in common. Percent."""

    average: float
    threshold: float
    """A host below it is an outlier."""


def spread(rates: Mapping[T, float], stdev_factor: int) -> Spread:
    """`stdev_factor` thousandths of the population's standard deviation below the mean is too low.

    Source: Envoy outlier_detection_impl.cc, successRateEjectionThreshold.
    """
    mean = sum(rates.values()) / len(rates)
    variance = sum((rate - mean) ** 2 for rate in rates.values()) / len(rates)
    return Spread(mean, mean - stdev_factor / 1000.0 * sqrt(variance))
