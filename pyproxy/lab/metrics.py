"""What a proxy's metrics port says about requests: who asked whom, how many, how they ended, how long they took."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

REQUESTS = "istio_requests_total{"
DURATIONS = "istio_request_duration_milliseconds_bucket{"
RELOAD_OK = "pyproxy_config_last_reload_successful"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Edge(NamedTuple):
    """Who asked whom, by Istio's labels. `unknown`: outside the mesh, or nobody answered."""

    source: str
    """A workload: `productpage-v1`."""
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
    """Answered with 5xx, or not at all."""
    arrived: int = 0
    """As the target's proxy has it: retries and mirrored requests too."""
    buckets: Counter[float] = field(default_factory=Counter)
    """Of those sent: upper bound in milliseconds → requests that took no longer (cumulative, as Prometheus has it)."""

    def add(self, other: Totals) -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.arrived += other.arrived
        self.buckets.update(other.buckets)

    def since(self, before: Totals | None) -> Totals:
        """What came after `before`. A count that went back (a proxy that restarted) starts anew."""
        if before is None or before.requests > self.requests or before.arrived > self.arrived:
            return self
        buckets = Counter({bound: count - before.buckets[bound] for bound, count in self.buckets.items()})
        failed, arrived = self.failed - before.failed, self.arrived - before.arrived
        return Totals(self.requests - before.requests, failed, arrived, buckets)

    def quantile_ms(self, share: float) -> float | None:
        """As Prometheus' histogram_quantile: linear within a bucket; None without requests."""
        bounds = sorted(self.buckets)
        if not bounds or not (total := self.buckets[bounds[-1]]):
            return None
        rank = share * total
        lower, below = 0.0, 0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= rank and count > below:
                if bound == float("inf"):
                    return lower
                return lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower


@dataclass
class Scrape:
    """One reading of one proxy: what it sent and what arrived at it."""

    edges: dict[Edge, Totals] = field(default_factory=dict)
    reload_ok: bool = True


class _Series(NamedTuple):
    """What one series counts. Buckets are read of what was sent only."""

    edge: Edge
    sent: bool
    failed: bool
    bound: float


def parse_metrics(text: str) -> Scrape:
    """The few lines of Prometheus' text format that the lab needs."""
    scrape = Scrape()
    for line in text.splitlines():
        if line.startswith((REQUESTS, DURATIONS)):
            labels, _, value = line.rpartition(" ")
            series = _series(labels)
            totals = scrape.edges.setdefault(series.edge, Totals())
            if line.startswith(REQUESTS):
                _count(totals, series, int(float(value)))
            elif series.sent:
                totals.buckets[series.bound] += int(float(value))
        elif line.startswith(RELOAD_OK):
            scrape.reload_ok = float(line.rpartition(" ")[2]) == 1
    return scrape


def _count(totals: Totals, series: _Series, requests: int) -> None:
    if not series.sent:
        totals.arrived += requests
        return
    totals.requests += requests
    if series.failed:
        totals.failed += requests


@lru_cache(maxsize=20_000)
def _series(text: str) -> _Series:
    labels = dict(_LABEL.findall(text))
    names = ("source_workload", "destination_service_name", "destination_workload")
    source, service, workload = (labels.get(name, "unknown") for name in names)
    code = labels.get("response_code", "0")
    return _Series(
        edge=Edge(source, service, workload, _version(labels)),
        sent=labels.get("reporter") == "source",
        failed=code == "0" or code.startswith("5"),
        bound=float(labels.get("le", "+Inf")),
    )


def _version(labels: dict[str, str]) -> str:
    """The label, or else the canonical revision, whose `latest` means unknown: of an endpoint that is all there is."""
    for name, nothing in (("destination_version", "unknown"), ("destination_canonical_revision", "latest")):
        if labels.get(name, nothing) not in (nothing, "unknown", ""):
            return labels[name]
    return "unknown"


def merge(parts: Iterable[Mapping[Edge, Totals]]) -> dict[Edge, Totals]:
    """The sum of what several proxies saw, or of several intervals."""
    merged: dict[Edge, Totals] = {}
    for part in parts:
        for edge, totals in part.items():
            merged.setdefault(edge, Totals()).add(totals)
    return merged
