"""Every number that the proxies publish, and what became of it between two readings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

from pyproxy.lab.metrics import Totals

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_KEPT = ("istio_requests_total", "istio_request_duration_milliseconds_bucket", "envoy_cluster_", "pyproxy_config_")
HOME = ".default.svc.cluster.local"
SHORT = {
    "source": "source_workload",
    "service": "destination_service_name",
    "target": "destination_workload",
    "code": "response_code",
    "flag": "response_flags",
    "policy": "connection_security_policy",
    "cluster": "cluster_name",
}
"""What checks call a label → its name."""


def parse_samples(proxy: str, text: str) -> dict[Series, float]:
    """Series → value, zeros left out, each with the label `proxy`."""
    found = {}
    for line in text.splitlines():
        if line.startswith(_KEPT):
            series, _, value = line.rpartition(" ")
            if value not in ("0", "0.0"):
                name, labels = _parse(series)
                found[name, (*labels, ("proxy", proxy))] = float(value)
    return found


@lru_cache(maxsize=50_000)
def _parse(series: str) -> Series:
    name, _, labels = series.partition("{")
    return name, tuple(_LABEL.findall(labels))


@dataclass(frozen=True)
class Samples:
    """Values at one moment, or their growth between two."""

    values: Mapping[Series, float] = field(default_factory=dict)

    def since(self, before: Samples) -> Samples:
        """How much each has grown; one that has shrunk was started anew."""
        grown = {}
        for series, value in self.values.items():
            earlier = before.values.get(series, 0.0)
            grown[series] = value - earlier if value >= earlier else value
        return Samples(grown)

    def total(self, name: str, **wanted: str) -> float:
        """The sum of the series of this name whose labels match in full; `wanted` are regular expressions by label,
        or by a short name of it. A service's short host is enough."""
        return sum(value for _, value in self._matching(name, wanted))

    def requests(self, reporter: str = "source", **wanted: str) -> float:
        """Requests as `istio_requests_total` has them, as the sender's proxy counts them unless told otherwise."""
        return self.total("istio_requests_total", reporter=reporter, **wanted)

    def cluster(self, statistic: str, **wanted: str) -> float:
        """A statistic of Envoy's clusters: `upstream_rq_retry`."""
        return self.total(f"envoy_cluster_{statistic}", **wanted)

    def quantile_ms(self, share: float, reporter: str = "source", **wanted: str) -> float:
        """As Prometheus' histogram_quantile, in milliseconds; 0 without requests."""
        totals = Totals()
        for labels, value in self._matching(
            "istio_request_duration_milliseconds_bucket", {"reporter": reporter, **wanted}
        ):
            bound = dict(labels)["le"]
            totals.buckets[inf if bound == "+Inf" else float(bound)] += int(value)
        return totals.quantile_ms(share) or 0.0

    def _matching(self, name: str, wanted: Mapping[str, str]) -> Iterable[tuple[Labels, float]]:
        patterns = {SHORT.get(label, label): re.compile(pattern) for label, pattern in wanted.items()}
        for (found, labels), value in self.values.items():
            if found == name and _fits(dict(labels), patterns):
                yield labels, value


def _fits(labels: Mapping[str, str], patterns: Mapping[str, re.Pattern[str]]) -> bool:
    return all(
        pattern.fullmatch(labels.get(label, "").removesuffix(HOME)) is not None for label, pattern in patterns.items()
    )
