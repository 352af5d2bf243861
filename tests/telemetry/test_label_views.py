from __future__ import annotations

import re

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.snapshot.model import Direction, Identity, Reporting, Telemetry
from pyproxy.snapshot.reporting import LabelChange, MetricChange, MetricRules
from pyproxy.telemetry.label_views import MAX_VALUES
from pyproxy.telemetry.metrics import IstioMetrics

WORKLOAD = Identity(workload="w")


def rules(*changes: MetricChange, enabled: bool = True) -> MetricRules:
    return MetricRules(enabled, changes)


def store(client: MetricRules, server: MetricRules | None = None) -> IstioMetrics:
    found = IstioMetrics(WORKLOAD)
    found.follow(WORKLOAD, telemetry(client, server))
    return found


def telemetry(client: MetricRules, server: MetricRules | None = None) -> Telemetry:
    return Telemetry(Reporting(metrics=client), Reporting(metrics=server or MetricRules()))


def count(
    metrics: IstioMetrics,
    path: str = "/",
    *,
    status: int = 200,
    direction: Direction = Direction.OUTBOUND,
    flags: tuple[str, ...] = (),
) -> None:
    ctx = RequestContext(RequestHead(b"GET", path.encode(), b"web", []), 0.0, 0.0)
    ctx.status = status
    ctx.flags = flags
    metrics.record_http(
        ctx, direction=direction, cluster=None, endpoint=None, duration=0.002, request_bytes=10, response_bytes=20
    )


def lines(metrics: IstioMetrics, family: str) -> list[tuple[dict[str, str], float]]:
    found = re.findall(rf"^{family}{{(.*)}} (\S+)$", metrics.render().decode(), re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, value in found]


def upsert(name: str, expression: str, metric: str = "requests_total") -> MetricRules:
    return rules(MetricChange(metric, labels=(LabelChange(name, expression),)))


def test_a_label_may_be_added_and_another_set() -> None:
    metrics = store(
        rules(
            MetricChange(
                "requests_total",
                labels=(LabelChange("request_path", "request.path"), LabelChange("source_app", "'all'")),
            )
        )
    )
    count(metrics, "/a")
    count(metrics, "/b")
    found = lines(metrics, "istio_requests_total")
    assert [(labels["request_path"], labels["source_app"]) for labels, _ in found] == [("/a", "all"), ("/b", "all")]
    other = lines(metrics, "istio_request_bytes_count")
    assert [(value, "request_path" in labels) for labels, value in other] == [(2, False)]


def test_series_that_differ_in_a_label_that_was_taken_away_are_one() -> None:
    metrics = store(
        rules(
            MetricChange("requests_total", labels=(LabelChange("response_code"),)),
            MetricChange("request_bytes", labels=(LabelChange("response_code"),)),
        )
    )
    count(metrics, status=200)
    count(metrics, status=404)
    ((labels, value),) = lines(metrics, "istio_requests_total")
    assert value == 2 and "response_code" not in labels
    assert [value for _, value in lines(metrics, "istio_request_bytes_sum")] == [20]
    assert len(lines(metrics, "istio_response_bytes_sum")) == 2


def test_a_metric_may_be_left_out_of_one_direction() -> None:
    metrics = store(rules(MetricChange("request_bytes", dropped=True)))
    count(metrics)
    count(metrics, direction=Direction.INBOUND)
    assert [labels["reporter"] for labels, _ in lines(metrics, "istio_request_bytes_count")] == ["destination"]
    assert len(lines(metrics, "istio_requests_total")) == 2


def test_a_direction_may_count_nothing_at_all() -> None:
    metrics = store(rules(enabled=False))
    count(metrics)
    assert lines(metrics, "istio_requests_total") == []
    ctx = RequestContext(RequestHead(b"", b"", b"", []), 0.0, 0.0)
    metrics.record_tcp_opened(ctx, direction=Direction.OUTBOUND, cluster=None, endpoint=None)
    metrics.record_tcp_bytes(ctx, sent_bytes=1, received_bytes=1)
    metrics.record_messages(
        ctx, direction=Direction.OUTBOUND, cluster=None, endpoint=None, request_messages=1, response_messages=1
    )
    assert b"tcp" not in metrics.render() and b"messages" not in metrics.render()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("request.method", "GET"),
        ("string(response.code)", "200"),
        ("request.headers['x-none']", "unknown"),
        ("has(request.headers.a) ? 'yes' : 'no'", "no"),
        ("upstream_peer.app", "unknown"),
        ("no.such.attribute", "unknown"),
        ("request.url_path.exists(x, true)", "unknown"),
    ],
)
def test_what_an_expression_comes_to(expression: str, expected: str) -> None:
    metrics = store(upsert("found", expression))
    count(metrics)
    ((labels, _),) = lines(metrics, "istio_requests_total")
    assert labels["found"] == expected


def test_an_expression_that_is_none_adds_nothing_and_takes_a_standard_label_away_as_in_envoy() -> None:
    added, standard = store(upsert("found", "((")), store(upsert("source_app", "(("))
    for metrics, name in ((added, "found"), (standard, "source_app")):
        count(metrics)
        ((labels, _),) = lines(metrics, "istio_requests_total")
        assert name not in labels


def test_a_name_that_is_no_label_is_made_one() -> None:
    metrics = store(upsert("request.host", "request.host"))
    count(metrics)
    ((labels, _),) = lines(metrics, "istio_requests_total")
    assert labels["request_host"] == "web"


def test_a_stranger_cannot_fill_the_memory() -> None:
    metrics = store(upsert("path", "request.path"))
    for number in range(MAX_VALUES + 10):
        count(metrics, f"/{number}")
    found = {labels["path"]: value for labels, value in lines(metrics, "istio_requests_total")}
    assert len(found) == MAX_VALUES + 1
    assert found["unknown"] == 10


def test_what_was_counted_under_other_rules_is_shown_as_it_was() -> None:
    metrics = store(MetricRules())
    count(metrics, "/before")
    metrics.follow(WORKLOAD, telemetry(upsert("path", "request.path")))
    count(metrics, "/between")
    metrics.follow(WORKLOAD, telemetry(MetricRules()))
    count(metrics, "/after")
    found = [(labels.get("path"), value) for labels, value in lines(metrics, "istio_requests_total")]
    assert found == [(None, 2), ("/between", 1)]


def test_a_sum_over_several_processes_is_shown_alike() -> None:
    one, other = store(upsert("path", "request.path")), store(upsert("path", "request.path"))
    count(one, "/a")
    other.load(one.numbers())
    assert other.render() == one.render()
