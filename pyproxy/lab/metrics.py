"""What a metrics port says about its proxy's outgoing requests: per destination, how many, how they ended, how long."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

REQUESTS = "istio_requests_total{"
DURATIONS = "istio_request_duration_milliseconds_bucket{"
RELOAD_OK = "pyproxy_config_last_reload_successful"
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Target(NamedTuple):
    """Who answered: Istio's destination labels. An answer that no workload gave has `unknown` in the last two."""

    service: str
    """The service's host name."""
    workload: str
    version: str


@dataclass
class Totals:
    """Counts since the start of a proxy, or the difference of two such counts."""

    requests: int = 0
    failed: int = 0
    """Answered with 5xx, or not at all."""
    buckets: Counter[float] = field(default_factory=Counter)
    """Upper bound in milliseconds → requests that took no longer (cumulative, as Prometheus has it)."""

    def add(self, other: Totals) -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.buckets.update(other.buckets)

    def since(self, before: Totals | None) -> Totals:
        """What came after `before`. A count that went back (a proxy that restarted) starts anew."""
        if before is None or before.requests > self.requests:
            return self
        buckets = Counter({bound: count - before.buckets[bound] for bound, count in self.buckets.items()})
        return Totals(self.requests - before.requests, self.failed - before.failed, buckets)

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
    """One reading of one sidecar."""

    targets: dict[Target, Totals] = field(default_factory=dict)
    reload_ok: bool = True


def parse_metrics(text: str) -> Scrape:
    """The few lines of Prometheus' text format that the lab needs: what the proxy itself sent, reporter `source`."""
    scrape = Scrape()
    for line in text.splitlines():
        if line.startswith(REQUESTS):
            labels, _, value = line.rpartition(" ")
            if (found := _labels(labels)) is not None:
                target, code, _ = found
                totals = scrape.targets.setdefault(target, Totals())
                totals.requests += int(float(value))
                if code == "0" or code.startswith("5"):
                    totals.failed += int(float(value))
        elif line.startswith(DURATIONS):
            labels, _, value = line.rpartition(" ")
            if (found := _labels(labels)) is not None:
                target, _, bound = found
                scrape.targets.setdefault(target, Totals()).buckets[bound] += int(float(value))
        elif line.startswith(RELOAD_OK):
            scrape.reload_ok = float(line.rpartition(" ")[2]) == 1
    return scrape


@lru_cache(maxsize=20_000)
def _labels(series: str) -> tuple[Target, str, float] | None:
    """Destination, response code and bucket bound of one series; None for the receiving side's."""
    labels = dict(_LABEL.findall(series))
    if labels.get("reporter") != "source":
        return None
    service, workload = (labels.get(f"destination_{name}", "unknown") for name in ("service_name", "workload"))
    target = Target(service, workload, _version(labels))
    return target, labels.get("response_code", "0"), float(labels.get("le", "+Inf"))


def _version(labels: dict[str, str]) -> str:
    """A gateway learns no version label from its peers, but the canonical revision; `latest` there means unknown."""
    for name, nothing in (("destination_version", "unknown"), ("destination_canonical_revision", "latest")):
        if labels.get(name, nothing) not in (nothing, "unknown", ""):
            return labels[name]
    return "unknown"


def merge(intervals: Iterable[dict[Target, Totals]]) -> dict[Target, Totals]:
    """The sum of several intervals."""
    merged: dict[Target, Totals] = {}
    for interval in intervals:
        for target, totals in interval.items():
            merged.setdefault(target, Totals()).add(totals)
    return merged
