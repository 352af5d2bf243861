"""/clusters: every cluster's ceilings and every host's health and counts, as Envoy's text and JSON.

Source: Envoy server/admin/clusters_handler.cc and admin/v3/clusters.proto; compared in tests/differential.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.ejections import Ejected
from pyproxy.runtime.counters import HostStats
from pyproxy.snapshot.model import Cluster


class HostView(Protocol):
    """What is shown of one host."""

    @property
    def address(self) -> str:
        """IP or `unix:///path`."""
        ...

    @property
    def port(self) -> int: ...
    @property
    def hostname(self) -> str:
        """The name that resolved to the address; empty when it was an address."""
        ...

    @property
    def stats(self) -> HostStats: ...
    @property
    def weight(self) -> int: ...
    @property
    def locality(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def healthy(self) -> bool:
        """False while ejected."""
        ...

    @property
    def ejection(self) -> Ejected | None:
        """Asked only while ejected."""
        ...


class ClusterView(Protocol):
    """What is shown of one cluster."""

    @property
    def cluster(self) -> Cluster: ...
    @property
    def hosts(self) -> Sequence[HostView]: ...


_GAUGES = ("cx_active", "rq_active", "rq_pending_active")
_COUNTERS = ("cx_connect_fail", "cx_total", "rq_error", "rq_success", "rq_timeout", "rq_total")
_NO_RATE = "-1"
"""Envoy's rate of success where there are too few requests to tell; Istio never turns that detector on."""


def clusters_text(clusters: Iterable[ClusterView]) -> Iterator[str]:
    """`name::key::value` lines, a piece per cluster."""
    for view in clusters:
        name = view.cluster.name
        lines = [f"{name}::observability_name::{name}\n"]
        if view.cluster.outlier is not None:
            for rate in ("success_rate", "local_origin_success_rate"):
                lines += [f"{name}::outlier::{rate}_{of}::{_NO_RATE}\n" for of in ("average", "ejection_threshold")]
        for priority, breakers in (("default", view.cluster.breakers), ("high", _HIGH)):
            lines += [f"{name}::{priority}_priority::{key}::{value}\n" for key, value in _ceilings(breakers)]
        lines.append(f"{name}::added_via_api::true\n")
        for host in view.hosts:
            where = f"{name}::{_shown_address(host)}"
            lines += [f"{where}::{key}::{value}\n" for key, value in _host_facts(host)]
            ejection = None if host.healthy else host.ejection
            if ejection is not None:  # not in Envoy
                lines.append(f"{where}::ejection_seconds_left::{ejection.seconds_left:.1f}\n")
                lines.append(f"{where}::times_ejected::{ejection.times}\n")
        yield "".join(lines)


def cluster_status(view: ClusterView) -> dict[str, object]:
    """One entry of `cluster_statuses`; what is 0, empty or false is left out, as protobuf's JSON does."""
    cluster = view.cluster
    thresholds: list[dict[str, object]] = [
        dict(_ceilings(cluster.breakers)),
        {"priority": "HIGH", **dict(_ceilings(_HIGH))},
    ]
    return {
        "name": cluster.name,
        "added_via_api": True,
        "host_statuses": [_host_status(host) for host in view.hosts],
        "circuit_breakers": {"thresholds": thresholds},
        "observability_name": cluster.name,
    }


_HIGH = CircuitBreakers(1024, 1024, 1024, 3)
"""The other priority, which nothing in Istio uses: Envoy's defaults."""


def _ceilings(breakers: CircuitBreakers) -> list[tuple[str, int]]:
    return [
        ("max_connections", breakers.max_connections),
        ("max_pending_requests", breakers.max_pending_requests),
        ("max_requests", breakers.max_requests),
        ("max_retries", breakers.max_retries),
    ]


def _host_facts(host: HostView) -> list[tuple[str, object]]:
    counts = sorted((name, getattr(host.stats, name)) for name in (*_GAUGES, *_COUNTERS))
    region, zone, sub_zone = _locality(host)
    return [
        *counts,
        ("hostname", host.hostname),
        ("health_flags", "healthy" if host.healthy else "/failed_outlier_check"),
        ("weight", host.weight),
        ("region", region),
        ("zone", zone),
        ("sub_zone", sub_zone),
        ("canary", "false"),
        ("priority", host.priority),
        ("success_rate", _NO_RATE),
        ("local_origin_success_rate", _NO_RATE),
    ]


def _host_status(host: HostView) -> dict[str, object]:
    stats: list[dict[str, object]] = []
    for names, kind in ((_COUNTERS, {}), (_GAUGES, {"type": "GAUGE"})):
        for name in names:
            value = getattr(host.stats, name)
            stats.append({**kind, **({"value": str(value)} if value else {}), "name": name})
    health: dict[str, object] = {} if host.healthy else {"failed_outlier_check": True}
    ejection = None if host.healthy else host.ejection
    locality = zip(("region", "zone", "sub_zone"), _locality(host), strict=True)
    status: dict[str, object] = {
        "address": _address(host),
        "stats": stats,
        "health_status": {**health, "eds_health_status": "HEALTHY"},
        "weight": host.weight,
        "hostname": host.hostname,
        "priority": host.priority,
        "locality": {part: value for part, value in locality if value},
    }
    if ejection is not None:  # not in Envoy
        status["ejection"] = {"seconds_left": round(ejection.seconds_left, 1), "times": ejection.times}
    return {name: value for name, value in status.items() if value not in ("", 0)}


def _locality(host: HostView) -> tuple[str, str, str]:
    region, _, rest = host.locality.partition("/")
    zone, _, sub_zone = rest.partition("/")
    return region, zone, sub_zone


def _address(host: HostView) -> dict[str, object]:
    if host.address.startswith("unix:"):
        return {"pipe": {"path": host.address.removeprefix("unix://")}}
    return {"socket_address": {"address": host.address, "port_value": host.port}}


def _shown_address(host: HostView) -> str:
    if host.address.startswith("unix:"):
        return host.address.removeprefix("unix://")
    return f"[{host.address}]:{host.port}" if ":" in host.address else f"{host.address}:{host.port}"
