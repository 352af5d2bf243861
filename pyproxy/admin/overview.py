"""/overview: all that moves in this proxy as one compact page, for who looks several times a second.

The same facts are on Envoy's pages (/clusters, /stats/prometheus, /certs) and on /reload_status; those are made for
people and scrapers, and cost ten times as much to make and to read. Envoy has no such page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter

from pyproxy.admin.pages import JSON, Page, Query
from pyproxy.admin.served import Served
from pyproxy.policy.circuit_breaker import CONNECTIONS, PENDING, REQUESTS, RETRIES
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.telemetry.exposition import BUCKETS
from pyproxy.telemetry.labels import HTTP_LABELS, TCP_LABELS

_BASE = (
    "reporter",
    "source_workload",
    "source_workload_namespace",
    "destination_workload",
    "destination_workload_namespace",
    "destination_version",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "connection_security_policy",
    "response_flags",
    "request_protocol",
)
_HTTP = (*_BASE, "response_code", "grpc_response_status")
_HTTP_VALUES = itemgetter(*map(HTTP_LABELS.index, _HTTP))
_TCP_VALUES = itemgetter(*map(TCP_LABELS.index, _BASE))
_DURATIONS = slice(4, 4 + len(BUCKETS) + 1)
"""Where `IstioMetrics.numbers` has them."""
_TOGETHER = 20
"""Rows that are encoded at once: a tenth of a millisecond, after which traffic may have its turn."""
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


def overview(served: Served, query: Query) -> Page:
    """One object; docs/admin.md says what is in it."""
    return Page(_pieces(served), content_type=JSON)


def _pieces(served: Served) -> Iterator[str]:
    yield "{" + ",".join(f"{json.dumps(name)}:{_dumps(value)}" for name, value in _process(served).items())
    numbers = served.metrics.numbers()
    yield f',"bounds":{_dumps(BUCKETS)},"http":{{"labels":{_dumps(_HTTP)},"series":['
    yield from _rows([_HTTP_VALUES(labels), each[0], each[_DURATIONS]] for labels, each in numbers["http"].items())
    yield f']}},"tcp":{{"labels":{_dumps(_BASE)},"series":['
    yield from _rows([_TCP_VALUES(labels), each] for labels, each in numbers["tcp"].items())
    yield ']},"clusters":['
    clusters = list(served.live.serving.clusters.items())  # others take turns meanwhile
    yield from _rows(_cluster(state) for name, state in clusters if "|" in name or state.hosts)
    yield "]}\n"


def _process(served: Served) -> dict[str, object]:
    identity, status = served.live.serving.snapshot.identity, served.reload_status
    return {
        "time": served.clock.time(),
        "started": served.started_at,
        "state": served.state,
        "workload": identity.workload,
        "namespace": identity.namespace,
        "reload": {
            "version": served.live.serving.snapshot.version,
            "successful": status.successful,
            "accepted": status.accepted,
            "rejected": status.rejected,
            "errors": list(status.errors),
        },
        "certificates": [
            {
                "path": holding.sources.certificate,
                "error": holding.trouble,
                "taken_up": holding.succeeded_at,
                "expires": min((each.not_after for each in holding.material.chain), default=0.0)
                if holding.material
                else 0.0,
            }
            for holding in served.certificates
        ],
    }


def _cluster(state: ClusterState) -> dict[str, object]:
    stats, total, limits = state.stats, state.ceilings.total, state.ceilings.limits
    return {
        "name": state.name,
        "breakers": {  # now, ceiling, overflows
            "connections": (total(CONNECTIONS), limits.max_connections, stats.upstream_cx_overflow),
            "pending": (total(PENDING), limits.max_pending_requests, stats.upstream_rq_pending_overflow),
            "requests": (total(REQUESTS), limits.max_requests, stats.upstream_rq_active_overflow),
            "retries": (total(RETRIES), state.ceilings.max_retries, stats.upstream_rq_retry_overflow),
        },
        "retries": stats.upstream_rq_retry,
        "timeouts": stats.upstream_rq_timeout + stats.upstream_rq_per_try_timeout,
        "outlier_detection": state.cluster.outlier is not None,
        "hosts": [_host(host) for host in state.hosts],
    }


def _host(host: HostState) -> dict[str, object]:
    stats, ejection = host.stats, None if host.healthy else host.ejection
    shown: dict[str, object] = {
        "host": host.key,
        "name": host.hostname or host.endpoint.workload,
        "healthy": host.healthy,
        "weight": host.weight,
        "active": stats.rq_active,
        "connections": stats.cx_active,
        "requests": stats.rq_total,
        "errors": stats.rq_error,
        "connect_failures": stats.cx_connect_fail,
    }
    if ejection is not None:
        shown |= {"seconds_left": round(ejection.seconds_left, 2), "times_ejected": ejection.times}
    return shown


def _rows(rows: Iterable[object]) -> Iterator[str]:
    """The inside of a JSON array, some rows at a time."""
    rows, comma = iter(rows), ""
    while some := list(islice(rows, _TOGETHER)):
        yield comma + _dumps(some)[1:-1]
        comma = ","
