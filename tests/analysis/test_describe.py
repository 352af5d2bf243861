from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pyproxy.analysis.describe import describe_service, describe_workload, is_workload
from pyproxy.core.errors import CommandError
from pyproxy.istio.loader import load
from pyproxy.istio.resources import Document
from tests.analysis.test_explain import MESH

EXTRA = """\
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: all, namespace: istio-system}
spec: {egress: [{hosts: ["*/*"]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: own}
spec: {workloadSelector: {labels: {version: v2}}, egress: [{hosts: ["*/*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: only-v1}
spec: {hosts: [a.example.com], http: [{route: [{destination: {host: reviews, subset: v1}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mesh, namespace: istio-system}
spec: {mtls: {mode: PERMISSIVE}}
"""


@pytest.fixture
def documents(tmp_path: Path) -> Sequence[Document]:
    (tmp_path / "mesh.yaml").write_text(MESH + EXTRA)
    return load([tmp_path]).documents


def test_a_workload_has_the_policies_that_select_it(documents: Sequence[Document]) -> None:
    workload = describe_workload(documents, "reviews-v2").workload
    assert workload is not None
    assert workload.principal == "spiffe://cluster.local/ns/default/sa/reviews"
    assert (workload.mtls_mode, workload.sidecar) == ("STRICT", "own.default")
    assert workload.peer_authentications == ("strict.default", "mesh.istio-system")
    assert workload.authorization_policies == ("viewers.default (ALLOW)",)
    other = describe_workload(documents, "web").workload
    assert other is not None
    assert (other.mtls_mode, other.sidecar, other.authorization_policies) == ("PERMISSIVE", "all.istio-system", ())


def test_a_workloads_services_come_with_their_rule_and_routes(documents: Sequence[Document]) -> None:
    [service] = describe_workload(documents, "reviews-v2").services
    assert service.host == "reviews.default.svc.cluster.local"
    assert service.ports == ("http 9080/HTTP targets workload port 9080",)
    rule = service.destination_rule
    assert rule is not None
    assert (rule.matching_subsets, rule.non_matching_subsets) == (("v2",), ("v1",))
    assert rule.policies == ("connection pool", "outlier detection")
    routes = {each.name: each for each in service.virtual_services}
    assert list(routes) == ["reviews.default", "shop.default", "only-v1.default"]
    assert routes["shop.default"].gateways == ("default/edge",)
    assert routes["only-v1.default"].warnings == ("No destinations match workload subsets (checked 1 HTTP routes)",)
    first, gone, last = routes["reviews.default"].routes
    assert first.match == "path starts /reviews and header end-user = jason"
    assert first.actions == ("timeout 3s", "fault", "rewrite")
    assert gone.actions == ("direct response",)
    assert last.destinations[1] == 'host "reviews.default.svc.cluster.local" subset v2 with weight 10%'


def test_a_service_tells_who_is_behind_it(documents: Sequence[Document]) -> None:
    found = describe_service(documents, "reviews", "default")
    assert found.workload is None
    assert found.workloads == ("reviews-v1.default", "reviews-v2.default")
    rule = found.services[0].destination_rule
    assert rule is not None and rule.non_matching_subsets == ()


def test_a_name_that_nobody_has_says_which_is_near(documents: Sequence[Document]) -> None:
    with pytest.raises(CommandError, match=r"did you mean reviews\.default\.svc\.cluster\.local\?"):
        describe_service(documents, "review", "default")
    assert is_workload(documents, "reviews-v1.default")
    assert not is_workload(documents, "reviews-v1.shop")
