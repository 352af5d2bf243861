"""How much of the load each priority level takes, and which levels are in panic."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

OVERPROVISIONING = 140
"""Percent: a level counts as whole while 100/140 of its hosts are healthy."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Per level, first priority first. The shares add up to 100."""

    shares: tuple[int, ...]
    panic: tuple[bool, ...]
    """Whether a level uses all its hosts, healthy or not."""


def availability(total: int, healthy: int) -> int:
    """Percent of the whole load that a level could take."""
    return min(100, OVERPROVISIONING * healthy // total) if total else 0


def share_load(levels: Sequence[tuple[int, int]], panic_threshold: int) -> Loads:
    """Pour the load down the levels, each given as (hosts, healthy hosts). There is at least one level.

    `panic_threshold` is a percentage; 0 means never. Source: Envoy load_balancer_impl.cc, LoadBalancerBase.
    """
    available = [availability(total, healthy) for total, healthy in levels]
    whole = min(100, sum(available))
    panic = tuple(
        whole < 100 and (100.0 * healthy / total if total else 0.0) < panic_threshold for total, healthy in levels
    )
    if all(panic):
        return Loads(_by_count([total for total, _ in levels]), panic)
    if not whole:  # nobody is healthy and nobody panics
        return Loads((100,) + (0,) * (len(levels) - 1), panic)
    return Loads(_pour(available, whole), panic)


def share_load_elsewhere(levels: Sequence[tuple[int, int]], tried: Sequence[int]) -> tuple[int, ...] | None:
    """The shares for a retry that avoids priorities tried before; None when nothing changes.

    `tried` are the priorities of the hosts tried so far, in order. Every second attempt, all of them lose their load;
    when no other level could take it, they are forgotten. Source: Envoy previous_priorities.cc, update_frequency 2.
    """
    available = [availability(total, healthy) for total, healthy in levels]
    seen: list[int] = []
    shares: tuple[int, ...] | None = None
    for priority in tried:
        seen.append(priority)
        if len(seen) % 2 == 0:
            left = _without(available, seen)
            if not any(left):
                seen, left = [], available
            shares = _pour_until_empty(left) if any(left) else None
    return shares if len(seen) != 1 else None


def _without(available: Sequence[int], levels: Collection[int]) -> list[int]:
    return [0 if level in levels else percent for level, percent in enumerate(available)]


def _pour(available: Sequence[int], whole: int) -> tuple[int, ...]:
    """What rounding leaves over goes to the first level that is available at all."""
    left = 100
    shares = []
    for percent in available:
        shares.append(min(left, percent * 100 // whole))
        left -= shares[-1]
    shares[next(level for level, percent in enumerate(available) if percent)] += left
    return tuple(shares)


def _pour_until_empty(available: Sequence[int]) -> tuple[int, ...]:
    """As above, but the rest is poured from the top again."""
    whole = min(100, sum(available))
    left = 100
    shares = [0] * len(available)
    while left:
        for level, percent in enumerate(available):
            more = min(left, percent * 100 // whole)
            shares[level] += more
            left -= more
    return tuple(shares)


def _by_count(totals: Sequence[int]) -> tuple[int, ...]:
    """Total panic: by number of hosts, whatever their health."""
    hosts = sum(totals)
    if not hosts:
        return (100,) + (0,) * (len(totals) - 1)
    shares = [100 * total // hosts for total in totals]
    shares[next(level for level, total in enumerate(totals) if total)] += 100 - sum(shares)
    return tuple(shares)
