"""Pages of /overview, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyproxy.console.reading import Reading, parse_reading
from pyproxy.telemetry.exposition import BUCKETS

HTTP = (
    *("reporter", "source_workload", "source_workload_namespace", "destination_workload"),
    *("destination_workload_namespace", "destination_version", "destination_canonical_revision"),
    *("destination_service_name", "destination_service_namespace", "connection_security_policy"),
    *("response_flags", "request_protocol", "response_code", "grpc_response_status"),
)
TCP = HTTP[:-2]
HOME = ".default.svc.cluster.local"


def buckets(**counts: int) -> list[int]:
    """`buckets(under_10=3)`: three requests that took 5 to 10 ms; `longer` is beyond every bound."""
    found = [0] * (len(BUCKETS) + 1)
    for name, count in counts.items():
        found[-1 if name == "longer" else BUCKETS.index(float(name.removeprefix("under_")))] = count
    return found


def requests(count: int, durations: list[int] | None = None, **labels: str) -> list[Any]:
    """A row of productpage's requests to reviews v2, unless labels say otherwise."""
    base = {
        "reporter": "source",
        "source_workload": "productpage-v1",
        "source_workload_namespace": "default",
        "destination_workload": "reviews-v2",
        "destination_workload_namespace": "default",
        "destination_version": "v2",
        "destination_canonical_revision": "v2",
        "destination_service_name": f"reviews{HOME}",
        "destination_service_namespace": "default",
        "connection_security_policy": "unknown",
        "response_flags": "-",
        "request_protocol": "http",
        "response_code": "200",
        "grpc_response_status": "",
    }
    values = base | labels
    return [[values[name] for name in HTTP], count, durations or buckets(under_10=count)]


def connections(opened: int, closed: int, sent: int, received: int, **labels: str) -> list[Any]:
    """A row of TCP."""
    row = requests(0, request_protocol="tcp", **labels)
    return [row[0][: len(TCP)], [opened, closed, sent, received]]


def host(address: str, **facts: Any) -> dict[str, Any]:
    """A host that is in use and does nothing."""
    base = {
        "name": "",
        "healthy": True,
        "weight": 1,
        "active": 0,
        "connections": 0,
        "requests": 0,
        "errors": 0,
        "connect_failures": 0,
    }
    return {"host": address, **base, **facts}


def cluster(name: str, hosts: Sequence[dict[str, Any]] = (), **facts: Any) -> dict[str, Any]:
    """A cluster; `pending=(now, ceiling, overflows)` and the like say what its breakers count."""
    kinds = ("connections", "pending", "requests", "retries")
    breakers = {kind: facts.pop(kind, (0, 2**32 - 1, 0)) for kind in kinds}
    base = {"name": name, "breakers": breakers, "retries": 0, "timeouts": 0, "outlier_detection": True}
    return {**base, "hosts": list(hosts), **facts}


def page(
    http: Sequence[list[Any]] = (),
    clusters: Sequence[dict[str, Any]] = (),
    tcp: Sequence[list[Any]] = (),
    reload: dict[str, Any] | None = None,
    **facts: Any,
) -> dict[str, Any]:
    """What a proxy answers."""
    status = {"version": "aaaa", "successful": True, "accepted": 1, "rejected": 0, "errors": []}
    return {
        "time": 1000.0,
        "started": 900.0,
        "state": "LIVE",
        "workload": "productpage-v1",
        "namespace": "default",
        "reload": status | (reload or {}),
        "certificates": [],
        "bounds": list(BUCKETS),
        "http": {"labels": HTTP, "series": list(http)},
        "tcp": {"labels": TCP, "series": list(tcp)},
        "clusters": list(clusters),
        **facts,
    }


def reading(*arguments: Any, **facts: Any) -> Reading:
    """`page`, as the console reads it."""
    return parse_reading(page(*arguments, **facts), "127.0.0.1:15000")
