import pytest

from pyproxy.console.edges import Edge
from pyproxy.console.reading import outcome
from tests.console.overviews import HOME, buckets, cluster, connections, host, reading, requests

V2 = Edge("productpage-v1", f"reviews{HOME}", "reviews-v2", "v2")


def test_requests_are_summed_per_edge_and_the_failed_and_the_arrived_told_apart() -> None:
    found = reading(
        [
            requests(7),
            requests(2, response_code="503", response_flags="UH"),
            requests(1, response_code="0", response_flags="DC"),
            requests(4, response_code="404"),
            requests(9, reporter="destination", connection_security_policy="mutual_tls"),
            requests(1, reporter="destination", connection_security_policy="none", response_code="500"),
        ]
    ).edges
    totals = found[V2]
    assert list(found) == [V2]
    assert (totals.requests, totals.failed, totals.arrived, totals.arrived_failed) == (14, 3, 10, 1)
    assert (totals.secured, totals.plain) == (9, 1)
    assert totals.outcomes == {"ok": 7, "mesh": 3, "client": 4}
    assert totals.flags == {"UH": 2, "DC": 1}
    assert totals.buckets == buckets(under_10=14)


@pytest.mark.parametrize(
    ("version", "revision", "expected"),
    [("v1", "latest", "v1"), ("unknown", "v2", "v2"), ("unknown", "latest", "unknown"), ("", "unknown", "unknown")],
)
def test_a_version_may_be_known_as_the_canonical_revision(version: str, revision: str, expected: str) -> None:
    row = requests(1, destination_version=version, destination_canonical_revision=revision)
    assert [edge.version for edge in reading([row]).edges] == [expected]


def test_a_namespace_is_part_of_the_name_where_it_is_not_the_default_one() -> None:
    row = requests(1, source_workload_namespace="shop", destination_workload="unknown")
    (edge,) = reading([row]).edges
    assert (edge.source, edge.workload) == ("productpage-v1.shop", "unknown")
    assert reading(workload="web", namespace="shop").name == "web.shop"
    assert reading(workload="", namespace="default").name == "proxy at 127.0.0.1:15000"


def test_tcp_counts_connections_at_the_source_and_security_at_the_target() -> None:
    rows = [
        connections(3, 1, 100, 50),
        connections(3, 1, 100, 50, reporter="destination", connection_security_policy="mutual_tls"),
    ]
    totals = reading(tcp=rows).edges[V2]
    assert (totals.connections, totals.closed, totals.bytes, totals.secured) == (3, 1, 150, 3)


@pytest.mark.parametrize(
    ("code", "flags", "expected"),
    [
        ("200", "-", "ok"),
        ("404", "-", "client"),
        ("404", "NR", "mesh"),
        ("500", "-", "server"),
        ("503", "URX", "server"),
        ("503", "UF,URX", "mesh"),
        ("200", "DI", "ok"),
    ],
)
def test_whose_answer_it_was(code: str, flags: str, expected: str) -> None:
    assert outcome(code, flags, failed=code.startswith("5")) == expected


def test_a_grpc_status_that_is_not_0_is_a_failure() -> None:
    totals = reading([requests(1, grpc_response_status="0"), requests(2, grpc_response_status="14")]).edges[V2]
    assert (totals.failed, totals.outcomes) == (2, {"ok": 1, "server": 2})


def test_hosts_and_breakers_come_as_they_are() -> None:
    name = f"outbound|9080||reviews{HOME}"
    ejected = host("127.0.0.1:9080", healthy=False, seconds_left=12.5, times_ejected=2)
    found = reading(clusters=[cluster(name, [ejected], pending=(1, 2, 3))]).clusters[name]
    assert (found.hosts[0].seconds_left, found.hosts[0].times_ejected) == (12.5, 2)
    assert found.breakers["pending"] == (1, 2, 3)


def test_errors_of_documents_count_while_they_are_not_in_force() -> None:
    refused = {"successful": False, "errors": ["reviews.yaml:3:1 ..."]}
    assert reading(reload=refused).errors == ("reviews.yaml:3:1 ...",)
    assert reading(reload=refused | {"successful": True}).errors == ()
