from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pyproxy.admin.endpoints import ADMIN, answer
from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.snapshot.model import Direction
from tests.admin.fake_app import FakeApp

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def ask(app: FakeApp, path: str, method: str = "GET", **query: str) -> str:
    page = answer(app, ADMIN, method, path, query)
    assert page.status == 200
    return b"".join(piece.encode() if isinstance(piece, str) else piece for piece in page.pieces).decode()


def scrape(app: FakeApp, **query: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name → labels → value."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(ask(app, "/stats/prometheus", **query)):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.items())] = sample.value
    return found


def serve_one(app: FakeApp) -> None:
    """Count one answered request everywhere that a request is counted."""
    state = app.live.serving.clusters[REVIEWS]
    state.stats.upstream_rq_total += 1
    state.stats.upstream_cx_active = 1
    state.stats.count_response(200)
    state.hosts[0].stats.rq_total += 1
    app.http_stats["outbound_127.0.0.1_15001"].count_response(200)
    ctx = RequestContext(RequestHead(b"GET", b"/", b"reviews", []), 0.0, 0.0)
    ctx.status = 200
    app.metrics.record_http(
        ctx,
        direction=Direction.OUTBOUND,
        cluster=state.cluster,
        endpoint=state.hosts[0].endpoint,
        duration=0.007,
        request_bytes=100,
        response_bytes=200,
    )


def test_stats_are_lines_by_envoys_names(app: FakeApp) -> None:
    serve_one(app)
    lines = ask(app, "/stats").splitlines()
    assert f"cluster.{REVIEWS}.upstream_rq_200: 1" in lines
    assert f"cluster.{REVIEWS}.upstream_rq_timeout: 0" in lines
    assert "http.outbound_127.0.0.1_15001.downstream_rq_2xx: 1" in lines
    assert "listener_manager.total_listeners_active: 3" in lines
    assert "listener.127.0.0.1_15001.downstream_cx_total: 1" in lines
    assert "listener.127.0.0.1_15001.ssl.handshake: 0" in lines
    assert f"cluster_manager.active_clusters: {len(app.snapshot.clusters)}" in lines
    assert "server.state: 0" in lines
    assert "server.uptime: 218" in lines


def test_stats_as_json_by_filter_and_use(app: FakeApp) -> None:
    serve_one(app)
    found: Any = json.loads(ask(app, "/stats", format="json", filter=r"reviews.*upstream_rq_(total|timeout)$"))
    values = {one["name"].rpartition(".")[2]: one["value"] for one in found["stats"] if REVIEWS in one["name"]}
    assert values == {"upstream_rq_timeout": 0, "upstream_rq_total": 1}
    assert ask(app, "/stats", usedonly="", filter="reviews.*upstream_rq_t").splitlines() == [
        f"cluster.{REVIEWS}.upstream_rq_total: 1"
    ]


def test_an_unknown_format_is_a_bad_request(app: FakeApp) -> None:
    assert answer(app, ADMIN, "GET", "/stats", {"format": "xml"}).status == 400


def test_prometheus_reads_istios_envoys_and_our_metrics(app: FakeApp) -> None:
    serve_one(app)
    found = scrape(app)
    [requests] = found["istio_requests_total"].values()
    assert requests == 1
    reviews = (("cluster_name", REVIEWS),)
    assert found["envoy_cluster_upstream_rq_total"][reviews] == 1
    # The parser adds _total to the name of every counter that lacks it.
    assert found["envoy_cluster_upstream_rq_total"][(*reviews, ("response_code", "200"))] == 1
    assert found["pyproxy_config_last_reload_successful"] == {(): 1}
    assert found["pyproxy_config_reloads_total"] == {(("result", "accepted"),): 1, (("result", "rejected"),): 0}
    assert found["pyproxy_config_info"] == {(("version", app.snapshot.version),): 1}
    assert found["process_resident_memory_bytes"][()] > 1_000_000
    assert found["istio_build"]


@pytest.mark.parametrize("query", [{}, {"format": "prometheus"}])
def test_both_paths_to_the_scrape_give_the_same(app: FakeApp, query: dict[str, str]) -> None:
    page = answer(app, ADMIN, "GET", "/stats" if query else "/stats/prometheus", query)
    assert page.content_type.startswith("text/plain; version=0.0.4")


def test_a_refused_reload_shows_in_metrics(app: FakeApp) -> None:
    app.reload_status.successful = False
    app.reload_status.rejected = 3
    found = scrape(app)
    assert found["pyproxy_config_last_reload_successful"] == {(): 0}
    assert found["pyproxy_config_reloads_total"][(("result", "rejected"),)] == 3


def test_a_filter_goes_over_every_kind_of_metric(app: FakeApp) -> None:
    serve_one(app)
    assert scrape(app, filter="^istio_requests").keys() == {"istio_requests_total"}
    assert scrape(app, filter="last_reload_successful").keys() == {"pyproxy_config_last_reload_successful"}
    assert scrape(app, filter=r"reviews.*upstream_rq_total").keys() == {"envoy_cluster_upstream_rq_total"}


def test_clusters_in_text_and_json(app: FakeApp) -> None:
    serve_one(app)
    lines = ask(app, "/clusters").splitlines()
    assert f"{REVIEWS}::default_priority::max_connections::7" in lines
    assert f"{REVIEWS}::127.0.0.1:9081::rq_total::1" in lines
    assert f"{REVIEWS}::127.0.0.1:9081::health_flags::healthy" in lines
    statuses = json.loads(ask(app, "/clusters", format="json", filter=r"\|\|reviews"))["cluster_statuses"]
    assert [one["name"] for one in statuses] == [REVIEWS]
    assert statuses[0]["host_statuses"][0]["address"]["socket_address"]["port_value"] == 9081


def test_reset_puts_counters_to_zero_and_leaves_gauges_and_histograms(app: FakeApp) -> None:
    serve_one(app)
    assert ask(app, "/reset_counters", "POST") == "OK\n"
    found = scrape(app)
    reviews = (("cluster_name", REVIEWS),)
    assert found["envoy_cluster_upstream_rq_total"][reviews] == 0
    assert found["envoy_cluster_upstream_cx_active"][reviews] == 1
    assert list(found["istio_requests_total"].values()) == [0]
    assert list(found["istio_request_bytes_count"].values()) == [1]
