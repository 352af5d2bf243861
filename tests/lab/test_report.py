import json

from pyproxy.lab.metrics import Edge, Totals
from pyproxy.lab.report import Report, Row, make_rows, sum_tallies
from pyproxy.lab.traffic import Tally

HOME = ".default.svc.cluster.local"
PROXIES = ["gateway", "productpage-v1", "details-v1", "reviews-v1", "reviews-v3"]
V1 = Edge("productpage-v1", f"reviews{HOME}", "reviews-v1", "v1")
V3 = Edge("productpage-v1", f"reviews{HOME}", "reviews-v3", "v3")
DETAILS = Edge("productpage-v1", f"details{HOME}", "details-v1", "v1")


def rows(edges: dict[Edge, Totals], seconds: float = 2.0) -> tuple[Row, ...]:
    return make_rows(edges, PROXIES, seconds)


def test_a_share_is_of_what_the_source_sent_to_that_service() -> None:
    shown = rows({V3: Totals(30), V1: Totals(10), DETAILS: Totals(40, 4)})
    assert [(row.source, row.target, row.share) for row in shown] == [
        ("productpage v1", "details v1", 1.0),
        ("productpage v1", "reviews v1", 0.25),
        ("productpage v1", "reviews v3", 0.75),
    ]
    assert [row.rps for row in shown] == [20.0, 5.0, 15.0]
    assert shown[0].success == 0.9


def test_sources_stand_in_the_order_of_their_proxies_and_strangers_last() -> None:
    page = f"productpage{HOME}"
    edges = {Edge(source, page, "productpage-v1", "v1"): Totals(1) for source in ("unknown", "reviews-v1", "gateway")}
    assert [row.source for row in rows(edges)] == ["gateway", "reviews v1", "unknown"]


def test_what_only_the_target_saw_was_mirrored() -> None:
    (row,) = rows({V3: Totals(arrived=8)})
    assert (row.requests, row.rps, row.arrived, row.arrived_rps) == (0, 0.0, 8, 4.0)


def test_an_edge_of_the_mesh_keeps_its_row_when_it_is_idle_and_others_go() -> None:
    outside = Edge("productpage-v1", "www.example.com", "unknown", "unknown")
    (row,) = rows({V1: Totals(), outside: Totals()})
    assert (row.target, row.share, row.success, row.p50_ms) == ("reviews v1", 0.0, 1.0, None)


def test_outside_the_mesh_nobody_counts_what_arrives() -> None:
    (row,) = rows({Edge("productpage-v1", "www.example.com", "unknown", "unknown"): Totals(1)})
    assert (row.target, row.arrived, row.arrived_rps) == ("www.example.com", None, None)


def test_a_service_that_nobody_answered_for_has_no_version() -> None:
    (row,) = rows({Edge("productpage-v1", f"reviews{HOME}", "unknown", "unknown"): Totals(1, 1)})
    assert (row.target, row.success) == ("reviews", 0.0)


def test_the_json_object_holds_everything() -> None:
    tally = Tally(sent=5, failed=1)
    tally.served.update({("jason", "v2"): 2, ("anonymous", "v1"): 3})
    shown = json.loads(json.dumps(Report(1000.12345, 2.0, rows({V1: Totals(3, 0, 4)}), tally, ("note",)).as_json()))
    assert (shown["time"], shown["seconds"], shown["notes"]) == (1000.123, 2.0, ["note"])
    assert shown["traffic"] == {
        "sent": 5,
        "failed": 1,
        "skipped": 0,
        "served": {"anonymous": {"v1": 3}, "jason": {"v2": 2}},
    }
    assert shown["rows"] == [
        {
            "source": "productpage v1",
            "service": "reviews",
            "target": "reviews v1",
            "requests": 3,
            "arrived": 4,
            "share": 1.0,
            "rps": 1.5,
            "arrived_rps": 2.0,
            "success": 1.0,
            "p50_ms": None,
            "p99_ms": None,
        }
    ]


def test_tallies_add_up() -> None:
    one, other = Tally(1, 0, 2), Tally(3, 1, 0)
    one.served["jason", "v2"] = 1
    other.served["jason", "v2"] = 3
    total = sum_tallies([one, other])
    assert (total.sent, total.failed, total.skipped, dict(total.served)) == (4, 1, 2, {("jason", "v2"): 4})
