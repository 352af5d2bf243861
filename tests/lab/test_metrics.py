import math
from collections import Counter

import pytest

from pyproxy.lab.metrics import Edge, Totals, merge, parse_metrics

V2 = Edge("productpage-v1", "reviews.default.svc.cluster.local", "reviews-v2", "v2")


def buckets(*counts: int) -> Counter[float]:
    return Counter(dict(zip((5.0, math.inf), counts, strict=True)))


def line(family: str, value: str, **labels: str) -> str:
    base = {
        "reporter": "source",
        "source_workload": V2.source,
        "destination_workload": V2.workload,
        "destination_version": V2.version,
        "destination_service_name": V2.service,
        "response_code": "200",
    }
    pairs = ",".join(f'{name}="{text}"' for name, text in (base | labels).items())
    return f"{family}{{{pairs}}} {value}"


def test_requests_are_summed_per_edge_and_the_failed_and_the_arrived_told_apart() -> None:
    text = "\n".join(
        [
            "# TYPE istio_requests_total counter",
            line("istio_requests_total", "7"),
            line("istio_requests_total", "2", response_code="503", response_flags="UH"),
            line("istio_requests_total", "1", response_code="0", response_flags="DC"),
            line("istio_requests_total", "4", response_code="404"),
            line("istio_requests_total", "90", reporter="destination"),
            "envoy_server_uptime 3",
        ]
    )
    assert parse_metrics(text).edges == {V2: Totals(requests=14, failed=3, arrived=90)}


@pytest.mark.parametrize(
    ("version", "revision", "expected"),
    [("v1", "latest", "v1"), ("unknown", "v2", "v2"), ("unknown", "latest", "unknown"), ("", "unknown", "unknown")],
)
def test_a_version_may_be_known_as_the_canonical_revision(version: str, revision: str, expected: str) -> None:
    text = line("istio_requests_total", "1", destination_version=version, destination_canonical_revision=revision)
    assert [edge.version for edge in parse_metrics(text).edges] == [expected]


def test_buckets_are_read_with_their_bounds() -> None:
    text = "\n".join(
        line("istio_request_duration_milliseconds_bucket", value, le=bound)
        for bound, value in [("0.5", "0"), ("1", "3"), ("+Inf", "4")]
    )
    text += "\n" + line("istio_request_duration_milliseconds_bucket", "9", reporter="destination", le="1")
    assert parse_metrics(text).edges[V2].buckets == {0.5: 0, 1.0: 3, math.inf: 4}


def test_a_label_value_may_hold_quotes_and_braces() -> None:
    text = line("istio_requests_total", "1", destination_service_name=r"a\"b},c")
    assert [edge.service for edge in parse_metrics(text).edges] == [r"a\"b},c"]


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("1.0", True), ("0", False)])
def test_a_refused_reload_is_seen(value: str, expected: bool) -> None:
    assert parse_metrics(f"pyproxy_config_last_reload_successful {value}\n").reload_ok is expected


def test_an_interval_is_what_came_after_the_reading_before() -> None:
    before = Totals(10, 1, 20, buckets(5, 10))
    now = Totals(14, 1, 25, buckets(6, 14))
    assert now.since(before) == Totals(4, 0, 5, buckets(1, 4))
    assert now.since(None) == now


def test_a_proxy_that_restarted_counts_from_zero() -> None:
    assert Totals(3).since(Totals(10)) == Totals(3)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1.0), (0.25, 0.5), (0.75, 5.5), (0.99, 9.82), (1.0, 10.0)])
def test_a_quantile_is_linear_within_its_bucket(share: float, expected: float) -> None:
    totals = Totals(100, 0, 0, Counter({1.0: 50, 10.0: 100, math.inf: 100}))
    assert totals.quantile_ms(share) == pytest.approx(expected)


def test_a_quantile_beyond_the_last_bound_is_that_bound_and_none_without_requests() -> None:
    assert Totals(1, 0, 0, Counter({10.0: 0, math.inf: 1})).quantile_ms(0.5) == 10.0
    assert Totals().quantile_ms(0.5) is None


def test_intervals_add_up() -> None:
    merged = merge([{V2: Totals(1, 1, 3, buckets(1, 1))}, {V2: Totals(2, 0, 4, buckets(1, 2))}])
    assert merged == {V2: Totals(3, 1, 7, buckets(2, 3))}
