"""Load that changes over time: how many visitors there are at each second, as plain functions."""

from __future__ import annotations


def spike(second: float, stage: float, peak: int) -> int | None:
    """A tenth of the peak, then all of it at once, then a tenth: does the mesh recover by itself? None: the end."""
    calm = max(1, peak // 10)
    return _staged(second, stage, (calm, peak, calm))


def ramp(second: float, stage: float, peak: int) -> int | None:
    """From one visitor to the peak in three stages, a little more each second: where does it bend?"""
    if second >= 3 * stage:
        return None
    return max(1, round(peak * second / (3 * stage)))


def step(second: float, stage: float, peak: int) -> int | None:
    """A quarter of the peak, a half, three quarters, all: each level lasts long enough to be measured."""
    return _staged(second, stage, tuple(max(1, peak * quarter // 4) for quarter in (1, 2, 3, 4)))


def _staged(second: float, stage: float, users: tuple[int, ...]) -> int | None:
    number = int(second // stage)
    return users[number] if number < len(users) else None
