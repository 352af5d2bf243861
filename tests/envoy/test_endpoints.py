from __future__ import annotations

from typing import Any

from pyproxy.envoy.endpoints import assignment_resource, configured_assignment
from pyproxy.snapshot.model import Cluster, Discovery, Endpoint
from tests.admin.fake_app import FakeApp, compile_text

LABELS = {"app": "shop", "version": "v2"}
ENDPOINTS = (
    Endpoint("10.0.0.1", 80, weight=3, locality="r/z", workload="shop-v2", namespace="ns", labels=LABELS),
    Endpoint("10.0.0.2", 80, locality="r/z"),
    Endpoint("10.0.0.3", 80, locality="far", priority=1),
)


def test_endpoints_stand_by_locality_and_priority() -> None:
    found: Any = configured_assignment(Cluster("c", endpoints=ENDPOINTS))
    near, far = found["endpoints"]
    assert near["locality"] == {"region": "r", "zone": "z"}
    assert [each["load_balancing_weight"] for each in near["lb_endpoints"]] == [3, 1]
    assert (far["locality"], far["priority"]) == ({"region": "far"}, 1)


def test_an_endpoint_says_whether_it_takes_mutual_tls() -> None:
    able, plain = Endpoint("10.0.0.1", 80, mutual_tls=True), Endpoint("10.0.0.2", 80)
    found: Any = configured_assignment(Cluster("c", endpoints=(able, plain)))
    first, second = found["endpoints"][0]["lb_endpoints"]
    assert first["metadata"] == {"filter_metadata": {"envoy.transport_socket_match": {"tlsMode": "istio"}}}
    assert "metadata" not in second


def test_where_nothing_can_connect_there_are_no_endpoints() -> None:
    found = configured_assignment(Cluster("c", endpoints=ENDPOINTS), reachable=False)
    assert found == {"cluster_name": "c", "endpoints": []}


def test_an_endpoint_says_which_workload_it_is() -> None:
    found: Any = configured_assignment(Cluster("c", endpoints=ENDPOINTS[:1]))
    note = found["endpoints"][0]["lb_endpoints"][0]["metadata"]["filter_metadata"]["istio"]
    assert note == {"workload": "shop-v2;ns;shop;v2;"}


def test_envoy_looks_up_one_name_for_round_robin() -> None:
    found: Any = configured_assignment(Cluster("c", Discovery.LOGICAL_DNS, ENDPOINTS))
    assert len(found["endpoints"]) == 1


def test_the_hosts_of_this_moment(tmp_path: Any) -> None:
    app = FakeApp(compile_text(tmp_path))
    state = app.live.serving.clusters["outbound|9080||reviews.default.svc.cluster.local"]
    state.hosts[0].healthy = False
    found: Any = assignment_resource(state)
    health = [each["health_status"] for group in found["endpoints"] for each in group["lb_endpoints"]]
    assert health == ["UNHEALTHY", "HEALTHY"]
