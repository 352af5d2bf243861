"""The mesh as a graph: a node for each workload, an edge for each pair that talks, with the numbers of its label."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyproxy.console.edges import OUTSIDE, Edge, Totals, quantile_ms
from pyproxy.console.layout import Arrangement, arrange
from pyproxy.console.names import short

VISITORS = "visitors"
"""The node for callers beside whom no proxy stands."""
Weights = Mapping[tuple[str, str], float]
"""(short service, version) → percent that documents give it on a service's last route."""


@dataclass
class Flow:
    """Everything between two nodes within a window."""

    source: str
    target: str
    service: str
    version: str
    totals: Totals = field(default_factory=Totals)
    sent: bool = False
    """Whether the source's proxy tells; else the target's does."""

    @property
    def requests(self) -> int:
        return self.totals.requests if self.sent else self.totals.arrived

    @property
    def failed(self) -> int:
        return self.totals.failed if self.sent else self.totals.arrived_failed

    @property
    def buckets(self) -> list[int]:
        return self.totals.buckets if self.sent else self.totals.arrived_buckets

    @property
    def outcomes(self) -> Mapping[str, int]:
        return self.totals.outcomes if self.sent else self.totals.arrived_outcomes


def flows_of(edges: Mapping[Edge, Totals], proxies: Iterable[str]) -> dict[str, Flow]:
    """By edge id, `source>target`."""
    known = set(proxies)
    flows: dict[str, Flow] = {}
    for edge, totals in edges.items():
        source = VISITORS if edge.source == OUTSIDE else edge.source
        target = edge.workload if edge.workload != OUTSIDE else short(edge.service)
        flow = flows.setdefault(f"{source}>{target}", Flow(source, target, short(edge.service), edge.version))
        flow.totals.add(totals)
        flow.sent = flow.sent or edge.source in known
    return flows


class Graph:
    """Keeps the places of nodes while the same nodes talk to the same others."""

    def __init__(self) -> None:
        self._drawn: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self._places = Arrangement({}, {})

    def nodes(self, flows: Mapping[str, Flow], proxies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Every workload and every target; `proxies` gives each one's state by workload."""
        names = frozenset({*proxies, *(end for flow in flows.values() for end in (flow.source, flow.target))})
        if names != self._names or flows.keys() != self._drawn:
            self._names, self._drawn = names, frozenset(flows)
            self._places = arrange(names, [(flow.source, flow.target) for flow in flows.values()])
        titles = {flow.target: (flow.service, flow.version) for flow in flows.values()}
        served = {flow.service for flow in flows.values() if flow.target != flow.service}
        return {name: self._node(name, titles.get(name), proxies, served) for name in sorted(names)}

    def _node(
        self, name: str, title: tuple[str, str] | None, proxies: Mapping[str, str], served: Container[str]
    ) -> dict[str, Any]:
        service, version = title or (name, OUTSIDE)
        kind = "proxy" if name in proxies else "visitors" if name == VISITORS else "outside"
        if kind == "outside" and name in served:
            kind = "nobody"  # a service of workloads, and of those none answered
        place = self._places.nodes[name]
        return {
            "name": service,
            "version": "" if version == OUTSIDE else version,
            "kind": kind,
            "state": proxies.get(name, ""),
            "layer": place.layer,
            "across": place.across,
        }

    def bends(self, flow: Flow) -> list[tuple[int, float]]:
        """Where the line passes the layers between its ends: their numbers, and how far across, 0 to 1."""
        return [(place.layer, place.across) for place in self._places.bends.get((flow.source, flow.target), [])]


def edge_label(flow: Flow, seconds: float, weights: Weights) -> dict[str, Any]:
    """What is shown of one edge; rates a second, times in milliseconds."""
    totals, requests = flow.totals, flow.requests
    label: dict[str, Any] = {
        "source": flow.source,
        "target": flow.target,
        "service": flow.service,
        "version": flow.version,
        "rps": round(requests / seconds, 2),
        "errors": round(flow.failed / requests, 4) if requests else 0.0,
        "p50": _ms(flow.buckets, 0.50),
        "p95": _ms(flow.buckets, 0.95),
        "p99": _ms(flow.buckets, 0.99),
        "outcomes": {name: round(count / seconds, 2) for name, count in sorted(flow.outcomes.items()) if count},
        "flags": {flag: round(count / seconds, 2) for flag, count in sorted(totals.flags.items()) if count},
        "tls": security(totals),
    }
    if totals.arrived != requests and flow.sent and totals.arrived:
        label["arrived"] = round(totals.arrived / seconds, 2)
    if totals.connections or totals.bytes:
        label["tcp"] = {"opened": round(totals.connections / seconds, 2), "bytes": round(totals.bytes / seconds)}
    weight = weights.get((flow.service, flow.version))
    if weight is not None:
        label["weight"] = weight
    return label


def security(totals: Totals) -> str:
    """`mutual`, `plain`, `mixed`, or empty where no proxy that was called tells."""
    if totals.secured and totals.plain:
        return "mixed"
    return "mutual" if totals.secured else "plain" if totals.plain else ""


def _ms(buckets: list[int], share: float) -> float | None:
    value = quantile_ms(buckets, share)
    return None if value is None else round(value, 2)
