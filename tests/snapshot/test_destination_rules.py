"""Which DestinationRule holds for a service."""

from __future__ import annotations

from pyproxy.snapshot.destination_rules import DestinationPolicy, DestinationRules
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Identity, ServiceName
from pyproxy.snapshot.services import Service
from tests.snapshot.documents import documents, mesh, rules

BOOKS = Identity(namespace="books", labels={"app": "shop"})


def rule(name: str, namespace: str, host: str, more: str = "") -> str:
    return rules(f"host: '{host}'\n{more}", name, namespace, "DestinationRule")


def chosen(
    *texts: str, host: str = "a.shop.svc.cluster.local", identity: Identity = BOOKS, inbound: bool = False
) -> DestinationPolicy | None:
    found = documents("\n---\n".join(texts))
    service = Service(host, "shop", ServiceName(host, host, "shop"), ())
    return DestinationRules(found, identity, mesh_settings(found)).for_service(service, inbound=inbound)


def name_of(policy: DestinationPolicy | None) -> str:
    return "" if policy is None else policy.name


POLICY = "trafficPolicy: {loadBalancer: {simple: RANDOM}}"


def test_a_wildcard_in_the_clients_namespace_beats_an_exact_rule_of_the_service() -> None:
    wide = rule("wide", "books", "*.svc.cluster.local", POLICY)
    exact = rule("exact", "shop", "a", POLICY)

    assert name_of(chosen(exact, wide)) == "wide.books"
    assert name_of(chosen(exact)) == "exact.shop"


def test_the_root_namespace_comes_last() -> None:
    root = rule("root", "istio-system", "*", POLICY)

    assert name_of(chosen(root)) == "root.istio-system"
    assert name_of(chosen(root, rule("theirs", "shop", "a", POLICY))) == "theirs.shop"


def test_a_more_specific_rule_for_others_hides_a_broader_one_and_the_root_is_asked() -> None:
    hidden = rule("hidden", "shop", "a", f"exportTo: [other]\n{POLICY}")
    broad = rule("broad", "shop", "*.cluster.local", POLICY)
    root = rule("root", "istio-system", "*.local", POLICY)

    assert name_of(chosen(hidden, broad, root)) == "root.istio-system"
    assert chosen(hidden, broad) is None


def test_a_private_rule_is_for_its_own_namespace() -> None:
    private = rule("private", "shop", "a", f"exportTo: ['.']\n{POLICY}")

    assert chosen(private) is None
    assert name_of(chosen(private, identity=Identity(namespace="shop"))) == "private.shop"


def test_a_client_in_the_root_namespace_counts_its_private_rules_first() -> None:
    root = Identity(namespace="istio-system")
    public = rule("public", "istio-system", "*.cluster.local", POLICY)
    private = rule("private", "istio-system", "*.cluster.local", f"exportTo: ['.']\n{POLICY}")
    theirs = rule("theirs", "shop", "a", POLICY)

    assert name_of(chosen(public, theirs, identity=root)) == "theirs.shop"
    assert name_of(chosen(public, private, theirs, identity=root)) == "private.istio-system"


def test_rules_of_one_host_are_consolidated() -> None:
    found = chosen(
        rule("first", "shop", "a", "subsets: [{name: v1, labels: {version: v1}}]"),
        rule("second", "shop", "a", f"subsets: [{{name: v1, labels: {{version: other}}}}, {{name: v2}}]\n{POLICY}"),
        rule("third", "shop", "a", "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"),
    )

    assert found is not None
    assert found.name == "first.shop"
    assert {name: subset.labels for name, subset in found.subsets.items()} == {"v1": {"version": "v1"}, "v2": {}}
    assert found.traffic_policy is not None
    assert found.traffic_policy.load_balancer is not None
    assert found.traffic_policy.load_balancer.simple == "RANDOM"


def test_rules_for_different_audiences_are_not() -> None:
    found = chosen(
        rule("some", "shop", "a", f"exportTo: [books]\n{POLICY}"),
        rule("all", "shop", "a", "subsets: [{name: v1}]"),
    )

    assert found is not None
    assert (found.name, list(found.subsets)) == ("all.shop", ["v1"])
    assert found.traffic_policy is None


SELECTED = "workloadSelector: {matchLabels: {app: shop}}"


def test_a_rule_that_selects_the_workload_beats_one_for_all_of_its_namespace() -> None:
    texts = (
        rule("plain", "books", "a.shop.svc.cluster.local", POLICY),
        rule("mine", "books", "a.shop.svc.cluster.local", f"{SELECTED}\n{POLICY}"),
    )

    assert name_of(chosen(*texts)) == "mine.books"
    assert name_of(chosen(*texts, identity=Identity(namespace="books"))) == "plain.books"
    assert name_of(chosen(*texts, inbound=True)) == "plain.books"


def test_a_rule_with_a_selector_acts_in_its_own_namespace_only() -> None:
    assert chosen(rule("mine", "shop", "a", f"{SELECTED}\n{POLICY}")) is None


def test_the_mesh_may_keep_rules_private() -> None:
    assert chosen(mesh("defaultDestinationRuleExportTo: ['.']"), rule("quiet", "shop", "a", POLICY)) is None
