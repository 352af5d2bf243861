from __future__ import annotations

import json
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

from pyproxy.runtime.counters import (
    ClusterManagerStats,
    ClusterStats,
    HttpStats,
    ListenerStats,
    ServerStats,
    StatGroup,
    TcpProxyStats,
    TcpStats,
)
from pyproxy.telemetry.stats import json_stats, prometheus_stats, reset_counters, text_stats

REVIEWS = "outbound|9080|v1|reviews.default.svc.cluster.local"


def some_groups() -> list[tuple[str, StatGroup]]:
    cluster, other, http, listener = ClusterStats(), ClusterStats(), HttpStats(), ListenerStats()
    cluster.upstream_rq_total = 4
    cluster.circuit_breakers_default_rq_open = 1
    cluster.outlier_detection_ejections_active = 2
    for status in (200, 201, 503, 0):
        cluster.count_response(status)
    cluster.count_retried_response(503)
    http.downstream_cx_active = 3
    http.fault_aborts_injected = 1
    http.count_response(404)
    listener.downstream_cx_total = 5
    return [
        (REVIEWS, cluster),
        ("PassthroughCluster", other),
        ("outbound_0.0.0.0_9080", http),
        ("0.0.0.0_9080", listener),
        ("", ClusterManagerStats(active_clusters=2)),
        ("", ServerStats(uptime=7)),
    ]


def lines(**options: object) -> list[str]:
    return "".join(text_stats(some_groups(), **options)).splitlines()  # type: ignore[arg-type]


def test_used_statistics_under_envoys_names_in_order() -> None:
    prefix = f"cluster.{REVIEWS}."
    assert lines(used_only=True) == [
        f"{prefix}circuit_breakers.default.rq_open: 1",
        f"{prefix}outlier_detection.ejections_active: 2",
        f"{prefix}retry.upstream_rq_503: 1",
        f"{prefix}retry.upstream_rq_5xx: 1",
        f"{prefix}retry.upstream_rq_completed: 1",
        f"{prefix}upstream_rq_200: 1",
        f"{prefix}upstream_rq_201: 1",
        f"{prefix}upstream_rq_2xx: 2",
        f"{prefix}upstream_rq_503: 1",
        f"{prefix}upstream_rq_5xx: 1",
        f"{prefix}upstream_rq_completed: 4",
        f"{prefix}upstream_rq_total: 4",
        "cluster_manager.active_clusters: 2",
        "http.outbound_0.0.0.0_9080.downstream_cx_active: 3",
        "http.outbound_0.0.0.0_9080.downstream_rq_4xx: 1",
        "http.outbound_0.0.0.0_9080.downstream_rq_completed: 1",
        "http.outbound_0.0.0.0_9080.fault.aborts_injected: 1",
        "listener.0.0.0.0_9080.downstream_cx_total: 5",
        "server.concurrency: 1",
        "server.live: 1",
        "server.uptime: 7",
    ]


def test_everything_is_listed_and_sorted() -> None:
    everything = lines()
    assert len(everything) > 250
    assert f"cluster.{REVIEWS}.upstream_rq_pending_overflow: 0" in everything
    names = [line.partition(": ")[0] for line in everything]
    assert all(one < other for one, other in pairwise(names))
    assert not [name for name in names if "remaining" in name or "days_until" in name]


def test_gauges_that_are_kept_are_listed() -> None:
    stats = ClusterStats(circuit_breakers_default_remaining_rq=9)
    assert "cluster.a.circuit_breakers.default.remaining_rq: 9\n" in "".join(text_stats([("a", stats)]))


def test_a_filter_sees_whole_names() -> None:
    assert lines(matches=lambda name: name.startswith("http.") and name.endswith("4xx")) == [
        "http.outbound_0.0.0.0_9080.downstream_rq_4xx: 1"
    ]


def test_json_has_the_same_in_envoys_shape() -> None:
    document = json.loads("".join(json_stats(some_groups(), used_only=True)))
    assert [f"{item['name']}: {item['value']}" for item in document["stats"]] == lines(used_only=True)
    assert json.loads("".join(json_stats([]))) == {"stats": []}


def test_prometheus_has_istios_labels() -> None:
    text = "".join(prometheus_stats(some_groups(), used_only=True))
    assert text.splitlines() == [
        "# TYPE envoy_cluster_upstream_rq_total counter",
        f'envoy_cluster_upstream_rq_total{{cluster_name="{REVIEWS}"}} 4',
        "# TYPE envoy_cluster_retry_upstream_rq counter",
        f'envoy_cluster_retry_upstream_rq{{cluster_name="{REVIEWS}",response_code="503"}} 1',
        f'envoy_cluster_retry_upstream_rq{{cluster_name="{REVIEWS}",response_code_class="5xx"}} 1',
        "# TYPE envoy_cluster_retry_upstream_rq_completed counter",
        f'envoy_cluster_retry_upstream_rq_completed{{cluster_name="{REVIEWS}"}} 1',
        "# TYPE envoy_cluster_upstream_rq counter",
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code="200"}} 1',
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code="201"}} 1',
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code="503"}} 1',
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code_class="2xx"}} 2',
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code_class="5xx"}} 1',
        "# TYPE envoy_cluster_upstream_rq_completed counter",
        f'envoy_cluster_upstream_rq_completed{{cluster_name="{REVIEWS}"}} 4',
        "# TYPE envoy_cluster_circuit_breakers_default_rq_open gauge",
        f'envoy_cluster_circuit_breakers_default_rq_open{{cluster_name="{REVIEWS}"}} 1',
        "# TYPE envoy_cluster_outlier_detection_ejections_active gauge",
        f'envoy_cluster_outlier_detection_ejections_active{{cluster_name="{REVIEWS}"}} 2',
        "# TYPE envoy_http_fault_aborts_injected counter",
        'envoy_http_fault_aborts_injected{http_conn_manager_prefix="outbound_0.0.0.0_9080"} 1',
        "# TYPE envoy_http_downstream_rq counter",
        'envoy_http_downstream_rq{http_conn_manager_prefix="outbound_0.0.0.0_9080",response_code_class="4xx"} 1',
        "# TYPE envoy_http_downstream_rq_completed counter",
        'envoy_http_downstream_rq_completed{http_conn_manager_prefix="outbound_0.0.0.0_9080"} 1',
        "# TYPE envoy_http_downstream_cx_active gauge",
        'envoy_http_downstream_cx_active{http_conn_manager_prefix="outbound_0.0.0.0_9080"} 3',
        "# TYPE envoy_listener_downstream_cx_total counter",
        'envoy_listener_downstream_cx_total{listener_address="0.0.0.0_9080"} 5',
        "# TYPE envoy_cluster_manager_active_clusters gauge",
        "envoy_cluster_manager_active_clusters{} 2",
        "# TYPE envoy_server_concurrency gauge",
        "envoy_server_concurrency{} 1",
        "# TYPE envoy_server_live gauge",
        "envoy_server_live{} 1",
        "# TYPE envoy_server_uptime gauge",
        "envoy_server_uptime{} 7",
    ]


def test_prometheus_can_read_all_of_it_and_each_family_is_one_block() -> None:
    text = "".join(prometheus_stats(some_groups()))
    types = [line for line in text.splitlines() if line.startswith("#")]
    assert len(types) == len(set(types))
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families["envoy_cluster_upstream_rq_retry"].samples) == 2
    assert families["envoy_cluster_membership_healthy"].type == "gauge"


def test_a_filter_works_on_prometheus_too() -> None:
    wanted = f"cluster.{REVIEWS}.upstream_rq_200"
    assert "".join(prometheus_stats(some_groups(), matches=lambda name: name == wanted)).splitlines()[1:] == [
        f'envoy_cluster_upstream_rq{{cluster_name="{REVIEWS}",response_code="200"}} 1'
    ]


def test_a_reset_takes_counters_and_leaves_gauges() -> None:
    groups = some_groups()
    reset_counters(groups)
    assert "".join(text_stats(groups, used_only=True)).splitlines() == [
        f"cluster.{REVIEWS}.circuit_breakers.default.rq_open: 1",
        f"cluster.{REVIEWS}.outlier_detection.ejections_active: 2",
        "cluster_manager.active_clusters: 2",
        "http.outbound_0.0.0.0_9080.downstream_cx_active: 3",
        "server.concurrency: 1",
        "server.live: 1",
        "server.uptime: 7",
    ]


def test_what_rules_decided_is_one_family_told_by_labels() -> None:
    http, tcp = HttpStats(rbac_denied=2, rbac_istio_dry_run_deny_shadow_denied=3), TcpStats(rbac_allowed=1)
    groups: list[tuple[str, StatGroup]] = [("inbound_0.0.0.0_15006", http), ("", tcp)]
    assert "".join(text_stats(groups, used_only=True)).splitlines() == [
        "http.inbound_0.0.0.0_15006.rbac.denied: 2",
        "http.inbound_0.0.0.0_15006.rbac.istio_dry_run_deny_.shadow_denied: 3",
        "tcp.rbac.allowed: 1",
    ]
    manager = 'http_conn_manager_prefix="inbound_0.0.0.0_15006"'
    assert "".join(prometheus_stats(groups, used_only=True)).splitlines() == [
        "# TYPE envoy_http_rbac counter",
        f'envoy_http_rbac{{{manager},authz_enforce_result="denied"}} 2',
        f'envoy_http_rbac{{{manager},authz_dry_run_action="deny",authz_dry_run_result="denied"}} 3',
        "# TYPE envoy_tcp_rbac counter",
        'envoy_tcp_rbac{authz_enforce_result="allowed"} 1',
    ]
    reset_counters(groups)
    assert "".join(text_stats(groups, used_only=True)) == ""


def test_tcp_proxies_are_told_by_their_prefix() -> None:
    groups: list[tuple[str, StatGroup]] = [
        ("outbound|5432||db.com", TcpProxyStats(downstream_cx_total=2, idle_timeout=1))
    ]
    assert "".join(text_stats(groups, used_only=True)).splitlines() == [
        "tcp.outbound|5432||db.com.downstream_cx_total: 2",
        "tcp.outbound|5432||db.com.idle_timeout: 1",
    ]
    assert 'envoy_tcp_idle_timeout{tcp_prefix="outbound|5432||db.com"} 1\n' in "".join(prometheus_stats(groups))
