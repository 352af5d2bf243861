"""Who asked whom: counts of one edge since the start of a proxy, their differences, and their percentiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pyproxy.telemetry.exposition import BUCKETS

OUTSIDE = "unknown"
"""Istio's word for a source or target that no proxy stands beside."""


class Edge(NamedTuple):
    """Who asked whom, by Istio's labels. `unknown`: outside the mesh, or nobody answered."""

    source: str
    """A workload: `productpage-v1`; with its namespace where that is not `default`: `productpage-v1.shop`."""
    service: str
    """The service's host name."""
    workload: str
    version: str


@dataclass
class Totals:
    """Counts since the start of a proxy, or the difference of two such counts."""

    requests: int = 0
    """Sent, as the source's proxy has it: one, however often it was tried."""
    failed: int = 0
    """Answered with 5xx, with a gRPC status that is not 0, or not at all."""
    arrived: int = 0
    """As the target's proxy has it: retries and mirrored requests too."""
    arrived_failed: int = 0
    secured: int = 0
    """Of those arrived, over mutual TLS; connections of TCP count too."""
    plain: int = 0
    """Of those arrived, not over mutual TLS."""
    buckets: list[int] = field(default_factory=list)
    """Of those sent: requests per bucket of Istio's durations, the last one without upper bound."""
    arrived_buckets: list[int] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    """How those sent ended: ok, client, server, mesh."""
    arrived_outcomes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    """Envoy's response flags of those sent, `-` left out."""
    connections: int = 0
    """Of TCP: opened, as the source's proxy has it, or the target's where the source has none."""
    closed: int = 0
    bytes: int = 0
    """Of TCP, both ways."""

    def add(self, other: Totals) -> None:
        """Count the other's too."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.buckets = _sum(self.buckets, other.buckets)
        self.arrived_buckets = _sum(self.arrived_buckets, other.arrived_buckets)
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))

    def since(self, before: Totals | None) -> Totals:
        """What came after `before`. A count that went back (a proxy that restarted, or was reset) starts anew."""
        if before is None:
            return self
        after = Totals()
        for name in _COUNTS:
            setattr(after, name, _after(getattr(self, name), getattr(before, name)))
        after.buckets = _difference(self.buckets, before.buckets)
        after.arrived_buckets = _difference(self.arrived_buckets, before.arrived_buckets)
        for name in _COUNTERS:
            now, then = getattr(self, name), getattr(before, name)
            changed = {key: _after(count, then[key]) for key, count in now.items()}
            setattr(after, name, Counter({key: count for key, count in changed.items() if count}))
        return after

    @property
    def idle(self) -> bool:
        """Whether nothing at all is counted."""
        return not (self.requests or self.arrived or self.connections or self.closed or self.bytes)

    def quantile_ms(self, share: float) -> float | None:
        """Of those sent; None without requests."""
        return quantile_ms(self.buckets, share)


_COUNTS = (
    "requests",
    "failed",
    "arrived",
    "arrived_failed",
    "secured",
    "plain",
    "connections",
    "closed",
    "bytes",
)
_COUNTERS = ("outcomes", "arrived_outcomes", "flags")


def _after(now: int, before: int) -> int:
    return now - before if now >= before else now


def _sum(one: list[int], other: list[int]) -> list[int]:
    if not one or not other:
        return list(one or other)
    return [a + b for a, b in zip(one, other, strict=True)]


def _difference(now: list[int], before: list[int]) -> list[int]:
    if not before:
        return now
    after = [a - b for a, b in zip(now, before, strict=False)]
    return now if any(count < 0 for count in after) else after


def quantile_ms(buckets: Sequence[int], share: float) -> float | None:
    """As Prometheus' histogram_quantile: linear within a bucket; beyond the last bound, that bound."""
    total = sum(buckets)
    if not total:
        return None
    rank, below, lower = share * total, 0, 0.0
    for bound, count in zip(BUCKETS, buckets, strict=False):
        if count and below + count >= rank:
            return lower + (bound - lower) * (rank - below) / count
        below, lower = below + count, bound
    return lower


def merge(parts: Iterable[Mapping[Edge, Totals]]) -> dict[Edge, Totals]:
    """The sum of what several proxies saw, or of several intervals."""
    merged: dict[Edge, Totals] = {}
    for part in parts:
        for edge, totals in part.items():
            merged.setdefault(edge, Totals()).add(totals)
    return merged
