"""/overview against the store and the clusters that it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyproxy.admin.endpoints import ADMIN, answer
from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.snapshot.model import Direction
from tests.admin.fake_app import DOCUMENTS, FakeApp, compile_text

REVIEWS = "outbound|9080||reviews.default.svc.cluster.local"


def ask(app: FakeApp) -> Any:
    page = answer(app, ADMIN, "GET", "/overview", {})
    return json.loads("".join(str(piece) for piece in page.pieces))


def cluster(found: Any, name: str) -> Any:
    return next(each for each in found["clusters"] if each["name"] == name)


def serve_one(app: FakeApp, status: int = 200, duration: float = 0.007) -> None:
    state = app.live.serving.clusters[REVIEWS]
    ctx = RequestContext(RequestHead(b"GET", b"/", b"reviews", []), 0.0, 0.0)
    ctx.status = status
    app.metrics.record_http(
        ctx,
        direction=Direction.OUTBOUND,
        cluster=state.cluster,
        endpoint=state.hosts[0].endpoint,
        duration=duration,
        request_bytes=100,
        response_bytes=200,
    )


def test_says_who_it_is_and_how_reloads_went(app: FakeApp) -> None:
    found = ask(app)
    assert (found["workload"], found["namespace"], found["state"]) == ("web-v1", "default", "LIVE")
    assert found["reload"]["successful"] and found["reload"]["accepted"] == 1
    assert found["time"] - found["started"] == 218.5


def test_requests_come_by_label_with_a_count_for_each_bucket(app: FakeApp) -> None:
    serve_one(app)
    serve_one(app, status=503, duration=90.0)
    found = ask(app)
    rows = [(dict(zip(found["http"]["labels"], row[0], strict=True)), row[1:]) for row in found["http"]["series"]]
    assert [labels["response_code"] for labels, _ in rows] == ["200", "503"]
    (labels, (count, buckets)) = rows[0]
    assert (labels["source_workload"], labels["destination_service_name"]) == (
        "web-v1",
        "reviews.default.svc.cluster.local",
    )
    assert count == 1
    assert len(buckets) == len(found["bounds"]) + 1
    assert buckets[found["bounds"].index(10.0)] == 1
    assert rows[1][1][1][found["bounds"].index(300000.0)] == 1


def test_breakers_say_now_ceiling_and_overflows(app: FakeApp) -> None:
    state = app.live.serving.clusters[REVIEWS]
    state.ceilings.limits = CircuitBreakers(max_connections=7, max_pending_requests=2)
    state.ceilings.count_pending(2)
    state.stats.upstream_rq_pending_overflow = 5
    found = cluster(ask(app), REVIEWS)
    assert found["breakers"]["connections"] == [0, 7, 0]
    assert found["breakers"]["pending"] == [2, 2, 5]


def test_an_ejected_host_says_for_how_long(tmp_path: Path) -> None:
    app = FakeApp(compile_text(tmp_path, DOCUMENTS.replace("interval: 1s", "interval: 1s, maxEjectionPercent: 50")))
    state = app.live.serving.clusters[REVIEWS]
    host = state.hosts[0]
    for _ in range(3):
        assert host.monitor is not None
        host.monitor.record_response(503)
    shown = cluster(ask(app), REVIEWS)["hosts"]
    assert [each["healthy"] for each in shown] == [False, True]
    assert shown[0]["seconds_left"] == 30.0 and shown[0]["times_ejected"] == 1
    assert "seconds_left" not in shown[1]
