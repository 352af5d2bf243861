"""Two readings of a proxy's statistics → what happened between them, cluster by cluster."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyproxy.lab.metrics import Totals

STATS = "/stats?format=json&filter=^cluster%5C."
DURATIONS = "/stats/prometheus?filter=^istio_request_duration"
"""The pages that a reading is made of."""
_NAMES = re.compile(
    r"cluster\.(?P<cluster>.+)\.(?P<stat>upstream_rq_(?:completed|5xx|active|retry|pending_overflow|retry_overflow)"
    r"|upstream_cx_overflow|membership_total|membership_healthy|outlier_detection\.ejections_active"
    r"|circuit_breakers\.default\.(?:cx|rq|rq_pending|rq_retry)_open)"
)
_BUCKET = "istio_request_duration_milliseconds_bucket{"
_LABEL = re.compile(r'(reporter|destination_service|le)="((?:[^"\\]|\\.)*)"')
_BREAKERS = {"cx": "connections", "rq": "requests", "rq_pending": "pending", "rq_retry": "retries"}
_OVERFLOWS = ("upstream_rq_pending_overflow", "upstream_rq_retry_overflow", "upstream_cx_overflow")
_NOTHING: Mapping[str, int] = {}
_INBOUND = ("destination", "")


@dataclass(slots=True)
class Reading:
    """One proxy at one moment."""

    at: float
    """Seconds."""
    clusters: dict[str, dict[str, int]] = field(default_factory=dict)
    durations: dict[tuple[str, str], Totals] = field(default_factory=dict)
    """(source or destination, service) → buckets."""


@dataclass(frozen=True, slots=True)
class TopRow:
    """One cluster of one proxy, over the time between two readings."""

    proxy: str
    cluster: str
    requests_per_second: float
    error_share: float
    """0 to 1: answers with 5xx, our own among them."""
    p50_ms: float | None
    """Of the service's requests, whatever the subset; None without any."""
    p99_ms: float | None
    active: int
    retries_per_second: float
    overflows_per_second: float
    hosts: int
    ejected: int
    open_breakers: tuple[str, ...]
    ever: bool
    """Whether it has answered anything since its proxy started."""


def parse_reading(at: float, stats: Mapping[str, Any], durations: str) -> Reading:
    """The pages STATS and DURATIONS of one proxy."""
    reading = Reading(at)
    for each in stats["stats"]:
        found = _NAMES.fullmatch(each.get("name", ""))
        if found is not None:
            reading.clusters.setdefault(found["cluster"], {})[found["stat"]] = int(each["value"])
    for line in durations.splitlines():
        if line.startswith(_BUCKET):
            labels, _, value = line.rpartition(" ")
            known = dict(_LABEL.findall(labels))
            key = known.get("reporter", ""), known.get("destination_service", "")
            _add(reading, key if key[0] == "source" else _INBOUND, float(known["le"]), int(float(value)))
    return reading


def _add(reading: Reading, key: tuple[str, str], bound: float, count: int) -> None:
    totals = reading.durations.setdefault(key, Totals())
    totals.buckets[bound] += count
    if bound == math.inf:
        totals.requests += count


def rows_between(proxy: str, before: Reading, after: Reading) -> Iterator[TopRow]:
    """One row a cluster. A count that went back means that the proxy was started anew: then all of it is new."""
    seconds = max(after.at - before.at, 1e-9)
    for name, now in after.clusters.items():
        then = before.clusters.get(name, _NOTHING)
        if now.get("upstream_rq_completed", 0) < then.get("upstream_rq_completed", 0):
            then = _NOTHING
        completed = _grown("upstream_rq_completed", then, now)
        failed = _grown("upstream_rq_5xx", then, now)
        key = _service(name)
        durations = after.durations.get(key, Totals()).since(before.durations.get(key))
        yield TopRow(
            proxy=proxy,
            cluster=name,
            requests_per_second=completed / seconds,
            error_share=failed / completed if completed else 0.0,
            p50_ms=durations.quantile_ms(0.5),
            p99_ms=durations.quantile_ms(0.99),
            active=now.get("upstream_rq_active", 0),
            retries_per_second=_grown("upstream_rq_retry", then, now) / seconds,
            overflows_per_second=sum(_grown(each, then, now) for each in _OVERFLOWS) / seconds,
            hosts=now.get("membership_total", 0),
            ejected=now.get("outlier_detection.ejections_active", 0),
            open_breakers=tuple(
                words for part, words in _BREAKERS.items() if now.get(f"circuit_breakers.default.{part}_open")
            ),
            ever=bool(now.get("upstream_rq_completed")),
        )


def busiest(rows: Iterable[TopRow], *, everything: bool) -> list[TopRow]:
    """Those that have ever been used, or all, the busiest first."""
    shown = (row for row in rows if everything or row.ever or row.active or row.ejected)
    return sorted(shown, key=lambda row: (-row.requests_per_second, row.proxy, row.cluster))


def _grown(stat: str, then: Mapping[str, int], now: Mapping[str, int]) -> int:
    return now.get(stat, 0) - then.get(stat, 0)


def _service(cluster: str) -> tuple[str, str]:
    """Who reports a cluster's durations, and of which service: of inbound ones all that came in, as they name none."""
    direction, _, rest = cluster.partition("|")
    return _INBOUND if direction == "inbound" else ("source", rest.rpartition("|")[2])


COLUMNS = ("PROXY", "CLUSTER", "RPS", "ERRORS", "P50", "P99", "ACTIVE", "RETRIES", "OVERFLOWS", "EJECTED", "BREAKERS")


def cells(row: TopRow) -> tuple[str, ...]:
    """A row as text."""
    return (
        row.proxy,
        row.cluster,
        f"{row.requests_per_second:.1f}",
        f"{100 * row.error_share:.1f} %",
        _milliseconds(row.p50_ms),
        _milliseconds(row.p99_ms),
        str(row.active),
        f"{row.retries_per_second:.1f}/s",
        f"{row.overflows_per_second:.1f}/s",
        f"{row.ejected} of {row.hosts}",
        ", ".join(row.open_breakers) or "-",
    )


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
