from pyproxy.console.edges import Edge, Totals
from pyproxy.console.graph import VISITORS, Graph, edge_label, flows_of, security
from tests.console.overviews import HOME, buckets

V2 = Edge("productpage-v1", f"reviews{HOME}", "reviews-v2", "v2")
PROXIES = {"productpage-v1": "LIVE", "reviews-v2": "LIVE"}


def test_an_edge_says_how_much_how_well_how_fast_and_how_safe() -> None:
    totals = Totals(20, 5, 30, secured=30, buckets=buckets(under_10=20))
    totals.outcomes.update({"ok": 15, "mesh": 5})
    totals.flags["UO"] = 5
    (flow,) = flows_of({V2: totals}, PROXIES).values()
    label = edge_label(flow, 5.0, {("reviews", "v2"): 30.0})
    assert (label["rps"], label["errors"], label["tls"], label["weight"]) == (4.0, 0.25, "mutual", 30.0)
    assert (label["p50"], label["p95"]) == (7.5, 9.75)
    assert label["outcomes"] == {"mesh": 1.0, "ok": 3.0}
    assert label["flags"] == {"UO": 1.0}
    assert label["arrived"] == 6.0  # more than was sent: retries


def test_without_the_callers_proxy_the_called_ones_tells() -> None:
    edge = Edge("unknown", f"reviews{HOME}", "reviews-v2", "v2")
    (flow,) = flows_of({edge: Totals(arrived=10, arrived_failed=1, plain=10)}, PROXIES).values()
    label = edge_label(flow, 5.0, {})
    assert (label["source"], label["rps"], label["errors"], label["tls"]) == (VISITORS, 2.0, 0.1, "plain")
    assert "arrived" not in label


def test_what_nobody_answered_goes_to_the_service() -> None:
    edge = Edge("productpage-v1", f"reviews{HOME}", "unknown", "unknown")
    assert list(flows_of({edge: Totals(1)}, PROXIES)) == ["productpage-v1>reviews"]


def test_nodes_have_names_kinds_and_places() -> None:
    graph = Graph()
    outside = Edge("reviews-v2", "www.example.com", "unknown", "unknown")
    nodes = graph.nodes(flows_of({V2: Totals(1), outside: Totals(1)}, PROXIES), PROXIES)
    assert {name: (node["name"], node["version"], node["kind"], node["layer"]) for name, node in nodes.items()} == {
        "productpage-v1": ("productpage-v1", "", "proxy", 0),
        "reviews-v2": ("reviews", "v2", "proxy", 1),
        "www.example.com": ("www.example.com", "", "outside", 2),
    }


def test_security_is_told_by_who_was_called() -> None:
    cases = [Totals(secured=1), Totals(plain=1), Totals(secured=1, plain=1), Totals()]
    assert [security(totals) for totals in cases] == ["mutual", "plain", "mixed", ""]


def test_a_service_that_nobody_answered_for_is_told_from_the_world_outside() -> None:
    nobody = Edge("productpage-v1", f"reviews{HOME}", "unknown", "unknown")
    nodes = Graph().nodes(flows_of({V2: Totals(1), nobody: Totals(1)}, PROXIES), PROXIES)
    assert nodes["reviews"]["kind"] == "nobody"
