"""A worker's numbers as plain data, their sum over all workers, and the statistics that show it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.counters import (
    GAUGES,
    ClusterStats,
    HostStats,
    HttpStats,
    ListenerStats,
    OpenTelemetryStats,
    TcpProxyStats,
    TcpStats,
    TracerStats,
    ZipkinStats,
)
from pyproxy.runtime.live import Live
from pyproxy.snapshot.model import Discovery
from pyproxy.wire.http2_stats import Http2Stats
from pyproxy.worker import Worker

Numbers: TypeAlias = dict[Any, Any]
"""Numbers, and lists and dicts of numbers, by name."""
_CLUSTERS_PER_SLICE = 50
_OF_SUPERVISOR = ("membership_", "circuit_breakers_", "outlier_detection_", "update_")
"""Statistics of a cluster that the supervisor's own state holds: they are not added up."""


def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if not field.name.startswith(_OF_SUPERVISOR))


_CLUSTER, _HOST, _HTTP, _TCP = _names(ClusterStats), _names(HostStats), _names(HttpStats), _names(TcpStats)
_HTTP2 = _names(Http2Stats)
_LISTENER, _TCP_PROXY, _TRACER = _names(ListenerStats), _names(TcpProxyStats), _names(ZipkinStats)
_TRACERS: Mapping[str, type[TracerStats]] = {"zipkin": ZipkinStats, "opentelemetry": OpenTelemetryStats}


async def report(worker: Worker) -> Numbers:
    """All that a worker counted; what is 0 is left out. Made in slices, between which traffic runs."""
    clusters: Numbers = {}
    for number, (name, state) in enumerate(worker.live.serving.clusters.items()):
        if number % _CLUSTERS_PER_SLICE == 0:
            await asyncio.sleep(0)
        state.refresh_gauges()
        found = _without_empty(
            {
                "stats": _numbers(state.stats, _CLUSTER),
                "http2": _numbers(state.http2, _HTTP2),
                "hosts": _without_empty({host.key: _numbers(host.stats, _HOST) for host in state.hosts}),
            }
        )
        if found:
            clusters[name] = found
    connections: Numbers = {}
    for one in worker.listeners.values():
        connections[one.listener.name] = connections.get(one.listener.name, 0) + one.connections
    return {
        "clusters": clusters,
        "http": {prefix: _numbers(stats, _HTTP) for prefix, stats in worker.http_stats.items()},
        "listeners": {name: _numbers(stats, _LISTENER) for name, stats in worker.connection_stats.items()},
        "http2": _numbers(worker.http2_stats, _HTTP2),
        "tcp": _numbers(worker.tcp_stats, _TCP),
        "tcp proxies": {prefix: _numbers(stats, _TCP_PROXY) for prefix, stats in worker.tcp_proxies.items()},
        "tracers": {name: _numbers(stats, _TRACER) for name, stats in worker.tracer_stats.items()},
        "istio": worker.env.metrics.numbers(),
        "connections": connections,
    }


def add(into: Numbers, more: Mapping[Any, Any]) -> None:
    """Add up, name by name."""
    for name, value in more.items():
        known = into.get(name)
        if isinstance(value, Mapping):
            if known is None:
                known = into[name] = {}
            add(known, value)
        elif known is None:
            into[name] = list(value) if isinstance(value, list) else value
        elif isinstance(value, list):
            into[name] = [mine + other for mine, other in zip(known, value, strict=True)]
        else:
            into[name] = known + value


def counters_of(numbers: Mapping[Any, Any], live: Live) -> Numbers:
    """What stays of a worker that is gone: no gauge, for it has nothing in flight; no host that came by a request."""
    kept = _without_gauges(numbers)
    kept.pop("connections", None)
    for name, state in live.serving.clusters.items():
        if state.cluster.discovery is Discovery.ORIGINAL_DST and name in kept.get("clusters", {}):
            kept["clusters"][name].pop("hosts", None)
    return kept


def _without_gauges(numbers: Mapping[Any, Any]) -> Numbers:
    return {
        name: _without_gauges(value) if isinstance(value, Mapping) else value
        for name, value in numbers.items()
        if name not in GAUGES
    }


def show(
    numbers: Mapping[str, Any],
    live: Live,
    http_stats: dict[str, HttpStats],
    connection_stats: dict[str, ListenerStats],
    tcp_stats: TcpStats,
    tcp_proxies: dict[str, TcpProxyStats],
    tracer_stats: dict[str, TracerStats],
) -> None:
    """Write a sum into the supervisor's own statistics, which every page reads."""
    clusters = numbers.get("clusters", {})
    for name, state in live.serving.clusters.items():
        found = clusters.get(name, {})
        _write(state.stats, _CLUSTER, found.get("stats", {}))
        _show_hosts(state, found.get("hosts", {}))
    for prefix, values in numbers.get("http", {}).items():
        _write(http_stats.setdefault(prefix, HttpStats()), _HTTP, values)
    for name, values in numbers.get("listeners", {}).items():
        _write(connection_stats.setdefault(name, ListenerStats()), _LISTENER, values)
    _write(tcp_stats, _TCP, numbers.get("tcp", {}))
    for prefix, values in numbers.get("tcp proxies", {}).items():
        _write(tcp_proxies.setdefault(prefix, TcpProxyStats()), _TCP_PROXY, values)
    for name, values in numbers.get("tracers", {}).items():
        _write(tracer_stats.setdefault(name, _TRACERS[name]()), _TRACER, values)


def show_http2(numbers: Mapping[str, Any], live: Live, http2_stats: Http2Stats) -> None:
    """Likewise what connections of HTTP/2 counted."""
    clusters = numbers.get("clusters", {})
    for name, state in live.serving.clusters.items():
        found = clusters.get(name, {}).get("http2")
        if found is not None or state.http2 is not None:
            _write(state.http2_stats(), _HTTP2, found or {})
    _write(http2_stats, _HTTP2, numbers.get("http2", {}))


def _show_hosts(state: ClusterState, hosts: Mapping[str, Mapping[str, int]]) -> None:
    if state.cluster.discovery is Discovery.ORIGINAL_DST:
        for key in hosts:
            address, _, port = key.rpartition(":")
            state.original_destination(address.strip("[]"), int(port))
        state.keep_destinations(hosts)
    for host in state.hosts:
        _write(host.stats, _HOST, hosts.get(host.key, {}))


def _numbers(stats: object, names: Iterable[str]) -> Numbers:
    return {name: value for name in names if (value := getattr(stats, name, 0))}


def _write(
    stats: ClusterStats | HostStats | Http2Stats | HttpStats | ListenerStats | TcpProxyStats | TcpStats | TracerStats,
    names: Iterable[str],
    values: Mapping[str, Any],
) -> None:
    """Set every statistic: to what is there, else to what it begins with."""
    blank = type(stats)()
    for name in names:
        value = values.get(name)
        setattr(stats, name, getattr(blank, name) if value is None else value)


def _without_empty(members: Numbers) -> Numbers:
    return {name: value for name, value in members.items() if value}
