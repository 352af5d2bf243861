"""Who the proxy is."""

from __future__ import annotations

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.snapshot.identity import concurrency_of, identity_of
from pyproxy.snapshot.model import Identity
from tests.snapshot.documents import documents, mesh, rules
from tests.snapshot.test_workloads import workload

MESH = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh}
spec:
  meshConfig: {trustDomain: books.example}
  values: {global: {meshID: shop, network: here, multiCluster: {clusterName: east}}}
"""


def test_a_workload_entry_says_who_we_are() -> None:
    found = documents(
        "\n---\n".join(
            [
                workload(
                    "reviews-v1", "10.0.0.5", "app: reviews, version: v1", more=", serviceAccount: sa, locality: us/a"
                ),
                MESH,
            ]
        )
    )

    assert identity_of(found, "reviews-v1") == Identity(
        workload="reviews-v1",
        namespace="default",
        labels={"app": "reviews", "version": "v1"},
        service_account="sa",
        locality="us/a",
        network="here",
        address="10.0.0.5",
        cluster_id="east",
        mesh_id="shop",
        trust_domain="books.example",
    )


def test_without_an_account_it_is_the_default_one() -> None:
    found = identity_of(documents(workload("a", "10.0.0.5", "app: a")), "a")

    assert (found.service_account, found.network, found.mesh_id) == ("default", "", "cluster.local")


def test_a_namespace_may_be_named_and_need_not_be_when_there_is_one_entry() -> None:
    found = documents(
        "\n---\n".join(
            [
                workload("a", "1.1.1.1", "a: b"),
                workload("a", "1.1.1.2", "a: b", "other"),
                workload("b", "1.1.1.3", "a: b", "other"),
            ]
        )
    )

    assert identity_of(found, "a").namespace == "default"
    assert identity_of(found, "a.other").namespace == "other"
    assert identity_of(found, "b").namespace == "other"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    found = documents(workload("reviews-v1", "1.1.1.1", "a: b") + "\n---\n" + workload("ratings-v1", "1.1.1.2", "a: b"))

    with pytest.raises(CommandError, match=r"no WorkloadEntry is called review-v1: did you mean reviews-v1\.default"):
        identity_of(found, "review-v1")
    with pytest.raises(CommandError, match="the documents hold none at all"):
        identity_of((), "reviews-v1")


def test_a_name_in_several_namespaces_must_say_which() -> None:
    found = documents("\n---\n".join(workload("a", "1.1.1.1", "a: b", namespace) for namespace in ("one", "two")))

    with pytest.raises(CommandError, match=r"say which of a\.one, a\.two"):
        identity_of(found, "a")


def config(name: str, namespace: str, concurrency: int, selector: str = "") -> str:
    text = f"concurrency: {concurrency}"
    if selector:
        text += f"\nselector: {{matchLabels: {{{selector}}}}}"
    return rules(text, name, namespace, "ProxyConfig").replace("networking.istio.io/v1", "networking.istio.io/v1beta1")


def test_the_most_particular_proxy_config_sets_the_concurrency() -> None:
    texts = [
        mesh("defaultConfig: {concurrency: 1}"),
        config("root", "istio-system", 2),
        config("space", "books", 3),
        config("mine", "books", 4, "app: a"),
        config("late", "books", 5, "app: a"),
    ]
    mine = Identity(namespace="books", labels={"app": "a"})

    def asked(count: int, identity: Identity = mine) -> int | None:
        return concurrency_of(documents("\n---\n".join(texts[:count])), identity)

    assert [asked(count) for count in range(1, 6)] == [1, 2, 3, 4, 4]
    assert asked(5, Identity(namespace="books")) == 3
    assert concurrency_of((), mine) is None
