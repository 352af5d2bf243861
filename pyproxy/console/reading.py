"""One proxy's /overview as typed facts: who it is, its edges, breakers, hosts, documents and certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyproxy.console.edges import OUTSIDE, Edge, Totals

UNLIMITED = 2**32 - 1
"""Istio's ceiling where a document sets none."""
_FROM_UPSTREAM = frozenset({"-", "URX", "DI"})
"""Flags of a response that the service made itself: the proxy only let it pass."""


@dataclass(frozen=True, slots=True)
class Host:
    """One address behind a cluster, as one proxy has it."""

    address: str
    name: str
    """Host name or workload; empty where documents name neither."""
    healthy: bool
    weight: int
    active: int
    """Requests under way."""
    connections: int
    requests: int
    errors: int
    connect_failures: int
    seconds_left: float | None = None
    """Of an ejection; None while healthy, or where the proxy cannot tell."""
    times_ejected: int = 0


class Breaker(NamedTuple):
    """One ceiling of one cluster, as one proxy counts it."""

    now: int
    ceiling: int
    overflows: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """What one proxy has of one cluster."""

    name: str
    breakers: Mapping[str, Breaker]
    hosts: Sequence[Host]
    retries: int = 0
    timeouts: int = 0
    outlier_detection: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """One set of certificate files. Unix seconds; `expires` 0: unknown."""

    path: str
    error: str
    taken_up: float
    expires: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of one proxy."""

    name: str
    """Its workload, with the namespace where that is not `default`."""
    time: float
    started: float
    state: str
    version: str
    """Digest of the documents in force."""
    accepted: int
    rejected: int
    errors: tuple[str, ...]
    """Why the documents as they are now are not in force; empty when they are."""
    edges: Mapping[Edge, Totals] = field(default_factory=dict)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    certificates: Sequence[Certificate] = ()


def parse_reading(page: Mapping[str, Any], address: str) -> Reading:
    """The answer of the proxy whose admin port is at `address`. Raises LookupError, TypeError or ValueError."""
    reload = page["reload"]
    return Reading(
        name=place(str(page["workload"]), str(page["namespace"])) or f"proxy at {address}",
        time=float(page["time"]),
        started=float(page["started"]),
        state=str(page["state"]),
        version=str(reload["version"]),
        accepted=int(reload["accepted"]),
        rejected=int(reload["rejected"]),
        errors=tuple(map(str, reload["errors"])) if not reload["successful"] else (),
        edges=_edges(page),
        clusters={each["name"]: _cluster(each) for each in page["clusters"]},
        certificates=[Certificate(**each) for each in page["certificates"]],
    )


def place(workload: str, namespace: str) -> str:
    """A workload by the name under which it is shown."""
    return workload if namespace in ("default", OUTSIDE, "") or workload in (OUTSIDE, "") else f"{workload}.{namespace}"


def _cluster(raw: Mapping[str, Any]) -> Cluster:
    return Cluster(
        name=raw["name"],
        breakers={name: Breaker(*values) for name, values in raw["breakers"].items()},
        hosts=[_host(each) for each in raw["hosts"]],
        retries=raw["retries"],
        timeouts=raw["timeouts"],
        outlier_detection=raw["outlier_detection"],
    )


def _host(raw: Mapping[str, Any]) -> Host:
    return Host(address=raw["host"], **{name: value for name, value in raw.items() if name != "host"})


def _edges(page: Mapping[str, Any]) -> dict[Edge, Totals]:
    edges: dict[Edge, Totals] = {}
    for values, count, buckets in page["http"]["series"]:
        labels = dict(zip(page["http"]["labels"], values, strict=True))
        _count_requests(edges.setdefault(_edge(labels), Totals()), labels, count, buckets)
    for values, numbers in page["tcp"]["series"]:
        labels = dict(zip(page["tcp"]["labels"], values, strict=True))
        _count_connections(edges.setdefault(_edge(labels), Totals()), labels, *map(int, numbers))
    return edges


def _edge(labels: Mapping[str, str]) -> Edge:
    return Edge(
        place(labels["source_workload"], labels["source_workload_namespace"]),
        labels["destination_service_name"],
        place(labels["destination_workload"], labels["destination_workload_namespace"]),
        _version(labels),
    )


def _version(labels: Mapping[str, str]) -> str:
    """The label, or else the canonical revision, whose `latest` means unknown: of an endpoint that is all there is."""
    for name, nothing in (("destination_version", "unknown"), ("destination_canonical_revision", "latest")):
        if labels.get(name, nothing) not in (nothing, "unknown", ""):
            return labels[name]
    return "unknown"


def _count_requests(totals: Totals, labels: Mapping[str, str], count: int, buckets: list[int]) -> None:
    code, grpc, flags = labels["response_code"], labels["grpc_response_status"], labels["response_flags"]
    failed = code == "0" or code.startswith("5") or grpc not in ("", "0")
    more = Totals()
    if labels["reporter"] == "source":
        more.requests, more.failed, more.buckets = count, count * failed, buckets
        more.outcomes[outcome(code, flags, failed=failed)] = count
        more.flags.update({flag: count for flag in flags.split(",") if flag != "-"})
    else:
        more.arrived, more.arrived_failed, more.arrived_buckets = count, count * failed, buckets
        more.arrived_outcomes[outcome(code, flags, failed=failed)] = count
        _count_security(more, labels, count)
    totals.add(more)


def _count_connections(
    totals: Totals, labels: Mapping[str, str], opened: int, closed: int, sent: int, received: int
) -> None:
    if labels["reporter"] == "source":
        flags = {flag: opened for flag in labels["response_flags"].split(",") if flag != "-"}
        totals.add(Totals(connections=opened, closed=closed, bytes=sent + received))
        totals.flags.update(flags)
    else:
        _count_security(totals, labels, opened)


def _count_security(totals: Totals, labels: Mapping[str, str], count: int) -> None:
    if labels["connection_security_policy"] == "mutual_tls":
        totals.secured += count
    else:
        totals.plain += count


def outcome(code: str, flags: str, *, failed: bool) -> str:
    """`ok`; `client`: 4xx; `server`: the service failed; `mesh`: a proxy answered in its place."""
    if not _FROM_UPSTREAM.issuperset(flags.split(",")) and (failed or code.startswith("4")):
        return "mesh"
    if failed:
        return "server"
    return "client" if code.startswith("4") else "ok"
