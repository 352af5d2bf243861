import json

from pyproxy.lab.metrics import Target, Totals
from pyproxy.lab.report import Report, make_rows, sum_tallies
from pyproxy.lab.traffic import Tally

REVIEWS = "reviews.default.svc.cluster.local"


def reviews(version: str) -> Target:
    return Target(REVIEWS, f"reviews-{version}", version)


def test_a_share_is_of_what_the_source_sent_to_that_service() -> None:
    details = Target("details.default.svc.cluster.local", "details-v1", "v1")
    sent = {reviews("v3"): Totals(30), reviews("v1"): Totals(10), details: Totals(40, 4)}
    rows = make_rows({"gateway": {}, "productpage v1": sent}, 2.0)
    assert [(row.source, row.target, row.share) for row in rows] == [
        ("productpage v1", "details v1", 1.0),
        ("productpage v1", "reviews v1", 0.25),
        ("productpage v1", "reviews v3", 0.75),
    ]
    assert [row.rps for row in rows] == [20.0, 5.0, 15.0]
    assert rows[0].success == 0.9


def test_a_target_that_got_nothing_keeps_its_row() -> None:
    (row,) = make_rows({"gateway": {reviews("v1"): Totals()}}, 2.0)
    assert (row.share, row.rps, row.success, row.p50_ms) == (0.0, 0.0, 1.0, None)


def test_without_a_workload_the_service_stands_alone() -> None:
    sent = {
        Target(REVIEWS, "unknown", "unknown"): Totals(1),
        Target("books.example.com", "unknown", "unknown"): Totals(1),
    }
    assert [row.target for row in make_rows({"a": sent}, 1.0)] == ["books.example.com", "reviews"]
    (row,) = make_rows({"a": {Target("x", "x-1", "unknown"): Totals(1)}}, 1.0)
    assert row.target == "x"


def test_the_json_object_holds_everything() -> None:
    tally = Tally(sent=5, failed=1, served=Tally().served)
    tally.served.update({("jason", "v2"): 2, ("anonymous", "v1"): 3})
    report = Report(1000.12345, 2.0, make_rows({"gateway": {reviews("v1"): Totals(3)}}, 2.0), tally, ("note",))
    shown = json.loads(json.dumps(report.as_json()))
    assert shown["traffic"] == {
        "sent": 5,
        "failed": 1,
        "skipped": 0,
        "served": {"anonymous": {"v1": 3}, "jason": {"v2": 2}},
    }
    (row,) = shown["rows"]
    assert row == {
        "source": "gateway",
        "service": "reviews",
        "target": "reviews v1",
        "requests": 3,
        "share": 1.0,
        "rps": 1.5,
        "success": 1.0,
        "p50_ms": None,
        "p99_ms": None,
    }
    assert shown["notes"] == ["note"]


def test_tallies_add_up() -> None:
    one, other = Tally(1, 0, 2), Tally(3, 1, 0)
    one.served["jason", "v2"] = 1
    other.served["jason", "v2"] = 3
    total = sum_tallies([one, other])
    assert (total.sent, total.failed, total.skipped, dict(total.served)) == (4, 1, 2, {("jason", "v2"): 4})
