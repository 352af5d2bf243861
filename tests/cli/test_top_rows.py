from __future__ import annotations

from typing import Any

import pytest

from pyproxy.cli.top_rows import COLUMNS, Reading, TopRow, busiest, cells, parse_reading, rows_between

REVIEWS = "outbound|9080|v1|reviews.default.svc.cluster.local"


def stats(cluster: str = REVIEWS, **values: int) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in values.items()}
    return {"stats": [{"name": f"cluster.{cluster}.{name}", "value": value} for name, value in named.items()]}


def durations(counts: dict[str, int], reporter: str = "source", version: str = "v1") -> str:
    labels = (
        f'reporter="{reporter}",destination_version="{version}",destination_service="reviews.default.svc.cluster.local"'
    )
    name = "istio_request_duration_milliseconds_bucket"
    return "".join(f'{name}{{{labels},le="{bound}"}} {count}\n' for bound, count in counts.items())


def row(before: Reading, after: Reading) -> TopRow:
    [found] = rows_between("web", before, after)
    return found


def test_counts_become_rates_over_the_time_between() -> None:
    before = parse_reading(10.0, stats(upstream_rq_completed=100, upstream_rq_5xx=10, upstream_rq_retry=1), "")
    after = parse_reading(
        12.0,
        stats(
            upstream_rq_completed=140,
            upstream_rq_5xx=20,
            upstream_rq_retry=5,
            upstream_rq_pending_overflow=6,
            upstream_rq_active=3,
            membership_total=4,
            outlier_detection__ejections_active=1,
            circuit_breakers__default__rq_pending_open=1,
            circuit_breakers__default__cx_open=0,
            circuit_breakers__high__rq_open=1,
        ),
        "",
    )
    found = row(before, after)
    assert (found.requests_per_second, found.error_share) == (20.0, 0.25)
    assert (found.retries_per_second, found.overflows_per_second) == (2.0, 3.0)
    assert (found.active, found.hosts, found.ejected, found.open_breakers) == (3, 4, 1, ("pending",))


def test_latencies_are_those_of_the_interval_and_of_all_versions() -> None:
    before = parse_reading(0.0, stats(), durations({"10": 100, "50": 100, "+Inf": 100}))
    both = durations({"10": 100, "50": 150, "+Inf": 150}) + durations({"10": 0, "50": 50, "+Inf": 50}, version="v2")
    after = parse_reading(1.0, stats(upstream_rq_completed=1), both)
    found = row(before, after)
    assert (found.p50_ms, found.p99_ms) == (30.0, 49.6)


def test_inbound_clusters_have_the_durations_of_what_came_in() -> None:
    came_in = durations({"10": 10, "+Inf": 10}, reporter="destination")
    found = row(Reading(0.0), parse_reading(1.0, stats("inbound|9080||", upstream_rq_completed=10), came_in))
    assert found.p50_ms == 5.0


def test_a_proxy_that_started_anew_counts_from_nothing() -> None:
    before = parse_reading(0.0, stats(upstream_rq_completed=100), "")
    assert row(before, parse_reading(1.0, stats(upstream_rq_completed=7), "")).requests_per_second == 7.0


def test_without_traffic_there_are_no_latencies() -> None:
    found = row(Reading(0.0), parse_reading(1.0, stats(upstream_rq_completed=0), ""))
    assert (found.p50_ms, found.error_share, found.ever) == (None, 0.0, False)
    assert busiest([found], everything=False) == []
    assert busiest([found], everything=True) == [found]
    assert len(cells(found)) == len(COLUMNS)


@pytest.mark.parametrize(("milliseconds", "shown"), [(None, "-"), (0.5, "0.5 ms"), (12.4, "12 ms")])
def test_cells(milliseconds: float | None, shown: str) -> None:
    found = TopRow("web", REVIEWS, 1.25, 0.5, milliseconds, None, 0, 0.0, 0.0, 3, 1, ("requests", "retries"), True)
    assert cells(found) == (
        *("web", REVIEWS, "1.2", "50.0 %", shown, "-", "0", "0.0/s", "0.0/s", "1 of 3", "requests, retries"),
    )
