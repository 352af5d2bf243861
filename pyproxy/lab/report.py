"""One interval of the lab as numbers: which source was served by which target, how often, how well, how fast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pyproxy.lab.metrics import Edge, Totals
from pyproxy.lab.traffic import Tally

HOME = ".default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Row:
    """Requests from one workload to one workload."""

    source: str
    """`productpage v1`, or `gateway`."""
    service: str
    """`reviews` for a service of the mesh, the whole host for others."""
    target: str
    """`reviews v2`; the service alone where no workload is known: outside the mesh, or nobody answered."""
    requests: int
    """Sent, whether tried once or more often."""
    arrived: int | None
    """Counted by the target's own proxy: more than `requests` when there were retries or mirrors; None: no proxy."""
    share: float
    """Of what the source sent to this service, 0 to 1."""
    rps: float
    arrived_rps: float | None
    success: float
    """Answers below 500, 0 to 1."""
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What one interval showed. `at` is Unix seconds."""

    at: float
    seconds: float
    rows: tuple[Row, ...]
    tally: Tally
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The object that `--output json` prints, one on a line."""
        served: dict[str, dict[str, int]] = {}
        for (user, version), pages in sorted(self.tally.served.items()):
            served.setdefault(user, {})[version] = pages
        traffic = {"sent": self.tally.sent, "failed": self.tally.failed, "skipped": self.tally.skipped}
        return {
            "time": round(self.at, 3),
            "seconds": round(self.seconds, 3),
            "rows": [_rounded(row) for row in self.rows],
            "traffic": {**traffic, "served": served},
            "notes": list(self.notes),
        }


def make_rows(edges: Mapping[Edge, Totals], proxies: Sequence[str], seconds: float) -> tuple[Row, ...]:
    """Rows in the order of `proxies`, the workloads whose metrics were read; each source's by service and version.

    An edge between workloads keeps its row when nothing happens on it any more; others are gone then.
    """
    per_service: Counter[tuple[str, str]] = Counter()
    for edge, totals in edges.items():
        per_service[edge.source, edge.service] += totals.requests
    place = {name: number for number, name in enumerate(proxies)}
    return tuple(
        _row(edge, edges[edge], per_service[edge.source, edge.service], seconds, read=edge.workload in place)
        for edge in sorted(edges, key=lambda edge: (place.get(edge.source, len(place)), edge))
        if edge.workload in place or edges[edge].requests or edges[edge].arrived
    )


def _row(edge: Edge, totals: Totals, to_service: int, seconds: float, *, read: bool) -> Row:
    service = edge.service.removesuffix(HOME)
    return Row(
        source=edge.source.replace("-", " "),
        service=service,
        target=f"{service} {edge.version}" if edge.version != "unknown" else service,
        requests=totals.requests,
        arrived=totals.arrived if read else None,
        share=totals.requests / to_service if to_service else 0.0,
        rps=totals.requests / seconds,
        arrived_rps=totals.arrived / seconds if read else None,
        success=1 - totals.failed / totals.requests if totals.requests else 1.0,
        p50_ms=totals.quantile_ms(0.50),
        p99_ms=totals.quantile_ms(0.99),
    )


def _rounded(row: Row) -> dict[str, Any]:
    fields = asdict(row)
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in fields.items()}


def sum_tallies(tallies: Sequence[Tally]) -> Tally:
    """Several intervals' users as one."""
    total = Tally()
    for tally in tallies:
        total.sent += tally.sent
        total.failed += tally.failed
        total.skipped += tally.skipped
        total.served.update(tally.served)
    return total
