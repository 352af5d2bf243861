"""/clusters, /stats, /stats/prometheus and /reset_counters: which statistics there are, and in which form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxy.admin.information import days_left, memory_kilobytes
from pyproxy.admin.pages import JSON, BadRequest, Page, Piece, Query, as_json, text
from pyproxy.admin.patterns import Matches, pattern
from pyproxy.admin.process_metrics import process_metrics
from pyproxy.admin.served import Served
from pyproxy.downstream.listener import stats_name
from pyproxy.runtime.counters import ServerStats, StatGroup
from pyproxy.telemetry import stats as envoy
from pyproxy.telemetry.clusters_dump import cluster_status, clusters_text
from pyproxy.telemetry.exposition import CONTENT_TYPE

_STATES = {"LIVE": 0, "DRAINING": 1, "PRE_INITIALIZING": 2, "INITIALIZING": 3}


def clusters(served: Served, query: Query) -> Page:
    """Ceilings, hosts, health and counts. `?format=json`, `?filter=` by the cluster's name."""
    named = pattern(query.get("filter", ""))
    shown = (state for name, state in served.live.serving.clusters.items() if named(name))
    if query.get("format") == "json":
        return as_json({"cluster_statuses": (cluster_status(state) for state in shown)})
    return Page(clusters_text(shown))


def stats(served: Served, query: Query) -> Page:
    """Envoy's statistics by Envoy's names. `?format=`, `?filter=`, `?usedonly`."""
    form = query.get("format", "text")
    named, used_only = pattern(query.get("filter", "")), "usedonly" in query
    if form == "text":
        return Page(envoy.text_stats(_groups(served), matches=named, used_only=used_only))
    if form == "json":
        return Page(envoy.json_stats(_groups(served), matches=named, used_only=used_only), content_type=JSON)
    if form == "prometheus":
        return prometheus(served, query)
    raise BadRequest("usage: /stats?format=(json|prometheus|text)\n")


def prometheus(served: Served, query: Query) -> Page:
    """Istio's, Envoy's and our own metrics. `?filter=` looks at Envoy's own names, at the others' metric names."""
    if "filter" in query:
        named = pattern(query["filter"])
        others = _only(named, _others(served))
    else:
        named, others = None, _others(served)
    return Page(_scrape(others, _groups(served), named, "usedonly" in query), content_type=CONTENT_TYPE)


def reset_counters(served: Served, query: Query) -> Page:
    """Envoy's and Istio's counters to 0; gauges and histograms stay, as in Envoy."""
    envoy.reset_counters(_groups(served))
    served.metrics.reset_counters()
    served.on_counters_reset()
    return text("OK\n")


def _groups(served: Served) -> Iterator[tuple[str, StatGroup]]:
    for name, state in served.live.serving.clusters.items():
        state.refresh_gauges()
        yield name, state.stats
        if state.http2 is not None:
            yield name, state.http2
    yield from list(served.http_stats.items())
    for bound in served.listeners.values():
        name = stats_name(bound.listener)
        if name in served.connection_stats:
            served.connection_stats[name].downstream_cx_active = bound.connections
    yield from list(served.connection_stats.items())
    yield "", served.http2_stats
    yield "", served.tcp_stats
    yield from list(served.tcp_proxies.items())
    yield from (("", stats) for stats in served.tracer_stats.values())
    yield "", served.live.stats
    yield "", served.listener_stats
    yield "", _server_stats(served)


def _server_stats(served: Served) -> ServerStats:
    return ServerStats(
        live=int(served.state == "LIVE"),
        state=_STATES[served.state],
        uptime=int(served.clock.time() - served.started_at),
        concurrency=max(1, len(served.workers)),
        total_connections=sum(bound.connections for bound in served.listeners.values()),
        memory_allocated=memory_kilobytes(served).get("RssAnon", 0) * 1024,
        days_until_first_cert_expiring=_days_until_first_expires(served),
    )


def _days_until_first_expires(served: Served) -> int | None:
    """Roots count too, as in Envoy; None without certificates."""
    materials = [holding.material for holding in served.certificates if holding.material is not None]
    ends = [each.not_after for material in materials for each in (*material.chain, *material.roots)]
    return days_left(min(ends), served.clock.time()) if ends else None


def _scrape(others: Iterable[bytes], groups: envoy.Groups, named: Matches | None, used_only: bool) -> Iterator[Piece]:
    yield from others
    yield from envoy.prometheus_stats(groups, matches=named, used_only=used_only)


def _others(served: Served) -> Iterator[bytes]:
    yield from served.metrics.pieces()
    yield process_metrics(served)


def _only(named: Matches, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines whose metric has such a name, comments included."""
    for piece in pieces:
        yield b"".join(line for line in piece.splitlines(keepends=True) if named(_metric(line)))


def _metric(line: bytes) -> str:
    """`# TYPE name counter`, `name{...} 1`, `name 1` → name."""
    words = line.split(None, 3) if line.startswith(b"#") else [b"", b"", line]
    return words[2].partition(b"{")[0].partition(b" ")[0].decode()
