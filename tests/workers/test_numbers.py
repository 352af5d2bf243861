"""Workers' numbers added up, and shown as if one had counted."""

from __future__ import annotations

import marshal
import random

from pyproxy.core.loop import SystemClock
from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.counters import HttpStats, ListenerStats, TcpProxyStats, TcpStats, TracerStats, ZipkinStats
from pyproxy.runtime.live import Live
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint, Identity, Snapshot
from pyproxy.worker import Worker
from pyproxy.workers.numbers import Numbers, add, counters_of, report, show, show_http2


class NoDiscovery:
    def watch(self, state: ClusterState) -> None: ...

    def forget(self, state: ClusterState) -> None: ...


def snapshot() -> Snapshot:
    named = Cluster("x", endpoints=(Endpoint("10.0.0.1", 80),))
    passing = Cluster("passing", discovery=Discovery.ORIGINAL_DST)
    clusters = {one.name: one for one in (named, passing)}
    return Snapshot(version="1", identity=Identity(), listeners=(), route_tables={}, clusters=clusters)


def worker() -> Worker:
    made = Worker(Settings(), SystemClock(), 1)
    made.wire(snapshot(), NoDiscovery())
    made.http_stats["outbound"] = HttpStats()
    made.connection_stats["0.0.0.0_15006"] = ListenerStats()
    made.tcp_proxies["x"] = TcpProxyStats()
    made.tracer_stats["zipkin"] = ZipkinStats()
    return made


def count(in_: Worker, requests: int) -> None:
    clusters = in_.live.serving.clusters
    host = clusters["x"].hosts[0]
    for _ in range(requests):
        host.begin_request()
        clusters["x"].stats.count_response(200)
        in_.http_stats["outbound"].count_response(200)
        in_.connection_stats["0.0.0.0_15006"].ssl_handshake += 1
        in_.tcp_proxies["x"].downstream_cx_total += 1
        in_.tracer_stats["zipkin"].spans_sent += 1
    host.end_request(200)
    clusters["passing"].original_destination("::1", 90).stats.cx_total += 1


async def total_of(*workers: Worker) -> Numbers:
    total: Numbers = {}
    for one in workers:
        add(total, marshal.loads(marshal.dumps(await report(one))))
    return total


def shown(numbers: Numbers) -> Live:
    live = Live(snapshot(), NoDiscovery(), SystemClock(), random.Random(1))
    show(numbers, live, {}, {}, TcpStats(), {}, {})
    return live


async def test_counters_and_gauges_of_all_are_added_up() -> None:
    one, other = worker(), worker()
    count(one, 3)
    count(other, 4)
    live = Live(snapshot(), NoDiscovery(), SystemClock(), random.Random(1))
    http: dict[str, HttpStats] = {}
    listeners: dict[str, ListenerStats] = {}
    proxies: dict[str, TcpProxyStats] = {}
    tracers: dict[str, TracerStats] = {}
    show(await total_of(one, other), live, http, listeners, TcpStats(), proxies, tracers)
    assert proxies["x"].downstream_cx_total == 7
    assert tracers["zipkin"].spans_sent == 7
    state = live.serving.clusters["x"]
    assert (state.stats.upstream_rq_total, state.stats.upstream_rq_active, state.stats.codes) == (7, 5, {200: 7})
    assert (state.hosts[0].stats.rq_total, state.hosts[0].stats.rq_success) == (7, 2)
    assert http["outbound"].classes == [0, 0, 7, 0, 0, 0]
    assert listeners["0.0.0.0_15006"].ssl_handshake == 7
    # One membership, whoever looks.
    assert (state.stats.membership_total, state.stats.membership_healthy) == (1, 1)
    assert [(host.key, host.stats.cx_total) for host in live.serving.clusters["passing"].hosts] == [("[::1]:90", 2)]


async def test_what_connections_of_http2_count_is_added_up_too() -> None:
    first, second, supervisor = worker(), worker(), worker()
    for one in (first, second):
        one.http2_stats.rx_reset += 1
    first.live.serving.clusters["x"].http2_stats().tx_reset += 3
    total = await total_of(first, second)
    show_http2(total, supervisor.live, supervisor.http2_stats)
    clusters = supervisor.live.serving.clusters
    shown = clusters["x"].http2
    assert (supervisor.http2_stats.rx_reset, shown and shown.tx_reset, clusters["passing"].http2) == (2, 3, None)
    show_http2({}, supervisor.live, supervisor.http2_stats)
    assert (supervisor.http2_stats.rx_reset, shown and shown.tx_reset) == (0, 0)


async def test_what_is_no_longer_told_is_no_longer_shown() -> None:
    counted = worker()
    count(counted, 3)
    live = shown(await total_of(counted))
    show({}, live, {}, {}, TcpStats(), {}, {})
    state = live.serving.clusters["x"]
    assert (state.stats.upstream_rq_total, state.stats.codes, state.hosts[0].stats.rq_total) == (0, {}, 0)
    assert live.serving.clusters["passing"].hosts == []


async def test_of_a_dead_worker_the_counters_stay_and_nothing_in_flight() -> None:
    dead = worker()
    count(dead, 3)
    numbers = await total_of(dead)
    live = shown(counters_of(numbers, shown(numbers)))
    state = live.serving.clusters["x"]
    assert (state.stats.upstream_rq_total, state.stats.upstream_rq_active) == (3, 0)
    assert (state.hosts[0].stats.rq_total, state.hosts[0].stats.rq_active) == (3, 0)
    assert live.serving.clusters["passing"].hosts == []


async def test_adding_changes_nothing_that_was_added() -> None:
    more: Numbers = {"a": {"b": [1, 2]}, "c": 1}
    total: Numbers = {}
    add(total, more)
    add(total, more)
    assert total == {"a": {"b": [2, 4]}, "c": 2}
    assert more == {"a": {"b": [1, 2]}, "c": 1}
