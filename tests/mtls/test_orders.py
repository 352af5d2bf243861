"""Which certificates documents ask for, and which names are none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import SpiffeId
from pyproxy.istio.resources import Document
from pyproxy.mtls.orders import every_workload, one_identity, one_server, one_workload, trust_domain_in
from tests.snapshot.documents import documents

TEXT = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.0.0.1, serviceAccount: reviews}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ratings.v1, annotations: {istio.io/autoRegistrationGroup: ratings}}
spec: {address: 10.0.0.2}
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec: {meshConfig: {trustDomain: shop.example}}
"""


@pytest.fixture
def found() -> Sequence[Document]:
    return documents(TEXT)


def test_every_workload_entry_gets_one_under_its_own_name(found: Sequence[Document]) -> None:
    orders = every_workload(found, trust_domain_in(found))
    assert {order.name: str(order.names.identity) for order in orders} == {
        "reviews-v1.shop": "spiffe://shop.example/ns/shop/sa/reviews",
        "ratings.v1.default": "spiffe://shop.example/ns/default/sa/default",
    }
    assert trust_domain_in([]) == "cluster.local"


def test_one_workload_is_found_as_run_finds_it(found: Sequence[Document]) -> None:
    for name in ("reviews-v1", "reviews-v1.shop"):
        order = one_workload(found, name, "td")
        assert (order.name, order.names.identity) == ("reviews-v1.shop", SpiffeId("td", "shop", "reviews"))
    with pytest.raises(CommandError, match=r"no WorkloadEntry is called reviews: did you mean "):
        one_workload(found, "reviews", "td")


def test_an_identity_can_be_said() -> None:
    order = one_identity("edge", "istio-system/edge", "cluster.local")
    assert order.name == "edge.istio-system"
    assert str(order.names.identity) == "spiffe://cluster.local/ns/istio-system/sa/edge"
    assert one_identity("edge.istio-system", "istio-system/edge", "a@b").names.identity == SpiffeId(
        "a.b", "istio-system", "edge"
    )


@pytest.mark.parametrize(
    ("workload", "identity", "domain", "reason"),
    [
        ("edge", "edge", "td", "is no identity such as shop/reviews"),
        ("edge", "a/b/c", "td", "is no identity"),
        ("edge", "/b", "td", "is no identity"),
        ("edge", "a/", "td", "is no identity"),
        ("edge.shop", "other/edge", "td", "is in namespace shop, its identity other/edge in another"),
        ("../edge", "shop/edge", "td", "is no workload such as"),
        ("", "shop/edge", "td", "is no workload such as"),
        ("edge", "shop/edge", "a/b", "is no trust domain"),
    ],
)
def test_what_is_no_name_is_said(workload: str, identity: str, domain: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        one_identity(workload, identity, domain)


def test_a_server_is_known_by_its_credential() -> None:
    order = one_server(["*.example.com", "example.com"])
    assert (order.name, order.credential) == ("wildcard.example.com", True)
    assert order.names.dns == ("*.example.com", "example.com")
    assert one_server(["example.com"], "shop-cert").name == "shop-cert"


@pytest.mark.parametrize("host", ["127.0.0.1", "a b", "", "*", "a..b", "-a", "*.*.com", "http://x", "x\n"])
def test_what_is_no_host_is_said(host: str) -> None:
    with pytest.raises(CommandError, match="is no DNS name such as"):
        one_server([host])


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden"])
def test_a_credential_stays_in_its_folder(name: str) -> None:
    with pytest.raises(CommandError, match="is no name of a credential"):
        one_server(["example.com"], name)
