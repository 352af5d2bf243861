"""A clock moved by hand, hosts without connections, and random numbers that are known."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass


class FakeClock:
    """Time stands still until a test moves it."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(eq=False)
class FakeHost:
    key: str
    weight: int = 1
    active: int = 0
    healthy: bool = True
    healthy_since: float = 0.0
    priority: int = 0
    locality: str = ""

    def __repr__(self) -> str:
        return self.key


def hosts(count: int, *, priority: int = 0, locality: str = "", start: int = 0) -> list[FakeHost]:
    """`10.0.0.<n>:80`, of weight 1."""
    return [FakeHost(f"10.0.0.{start + n}:80", priority=priority, locality=locality) for n in range(count)]


def weighted_hosts(*weights: int) -> list[FakeHost]:
    return [FakeHost(f"10.0.0.{n}:80", weight) for n, weight in enumerate(weights)]


class Rolls(random.Random):
    """Gives these numbers from `random()`, then 0.5; `getrandbits` gives `bits`."""

    def __init__(self, rolls: Iterable[float] = (), bits: int = 0) -> None:
        super().__init__(0)
        self._rolls = iter(rolls)
        self._bits = bits
        self.taken = 0

    def random(self) -> float:
        self.taken += 1
        return next(self._rolls, 0.5)

    def getrandbits(self, k: int, /) -> int:
        return self._bits
