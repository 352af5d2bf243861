"""What one sidecar knows, by its Sidecar document and by what others export."""

from __future__ import annotations

import pytest

from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.rules import collect_rules
from pyproxy.snapshot.sidecars import Scope, gateway_scope, sidecar_scope
from tests.snapshot.documents import documents, entry, mesh, rules
from tests.snapshot.test_registry import kubernetes


def scope(*texts: str, namespace: str = "default", labels: dict[str, str] | None = None) -> Scope:
    found = documents("\n---\n".join(texts))
    settings = mesh_settings(found)
    identity = Identity(namespace=namespace, labels=labels or {})
    return sidecar_scope(found, Registry(found, settings), collect_rules(found, settings), identity, settings)


def egress(*hosts: str, namespace: str = "default", name: str = "sidecar", more: str = "") -> str:
    listed = ", ".join(f"'{host}'" for host in hosts)
    return rules(f"egress: [{{hosts: [{listed}]}}]\n{more}", name, namespace, "Sidecar")


A = entry("a.com")
B = entry("b.com", namespace="other")
C = entry("c.net", namespace="other")
ALL = (A, B, C)


def test_without_a_sidecar_everything_visible_is_known() -> None:
    found = scope(*ALL, entry("hidden.com", namespace="other", more="exportTo: ['.']"))

    assert list(found.services) == ["a.com", "b.com", "c.net"]
    assert found.name == ""


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        (["./*"], ["a.com"]),
        (["other/*"], ["b.com", "c.net"]),
        (["*/*.com"], ["a.com", "b.com"]),
        (["*/b.com"], ["b.com"]),
        (["other/a.com"], []),
        (["*/*", "~other/c.net"], ["a.com", "b.com"]),
        (["*/*", "~/*.com"], ["c.net"]),
        (["~/*"], []),
        (["./a.com", "other/*.net"], ["a.com", "c.net"]),
    ],
)
def test_egress_hosts_import_and_exclude(hosts: list[str], known: list[str]) -> None:
    assert list(scope(*ALL, egress(*hosts)).services) == known


def test_the_most_particular_sidecar_is_taken() -> None:
    texts = (
        *ALL,
        egress("*/*.net", namespace="istio-system", name="root"),
        egress("./*", name="plain"),
        egress("other/*", name="chosen", more="workloadSelector: {labels: {app: shop}}"),
        egress("*/*", name="late", more="workloadSelector: {labels: {app: shop}}"),
    )

    assert scope(*texts, labels={"app": "shop"}).name == "chosen.default"
    assert scope(*texts, labels={"app": "other"}).name == "plain.default"
    assert scope(*texts, namespace="books").name == "root.istio-system"


def test_of_services_with_one_host_the_own_namespace_wins_then_kubernetes_then_the_oldest() -> None:
    host = "web.default.svc.cluster.local"
    old = entry(host, namespace="old", name="old")
    own = entry(host, namespace="books", name="own")
    cluster = kubernetes("web", "ports: [{port: 80}]")

    assert scope(old, cluster, own, namespace="books").services[host].namespace == "books"
    assert scope(old, cluster, namespace="books").services[host].kubernetes
    young = entry(host, namespace="young", name="young")
    assert scope(old, young, namespace="books").services[host].namespace == "old"


def test_services_that_imported_rules_point_at_are_known_too() -> None:
    rule = rules("hosts: [a.com]\nhttp: [{route: [{destination: {host: c.net}}], mirror: {host: b.com}}]")

    found = scope(*ALL, rule, egress("./*"))

    assert list(found.services) == ["a.com", "c.net", "b.com"]
    assert [service.host for service in found.egress[0].services] == ["a.com"]


def test_rules_are_imported_by_a_host_that_matches_either_way() -> None:
    texts = (
        A,
        rules("hosts: ['*.com']\nhttp: [{route: [{destination: {host: a.com}}]}]", "wide"),
        rules("hosts: [x.net]\nhttp: [{route: [{destination: {host: a.com}}]}]", "other"),
    )

    assert [each.name for each in scope(*texts, egress("./a.com")).egress[0].rules] == ["wide"]
    assert [each.name for each in scope(*texts, egress("*/*", "~/*.com")).egress[0].rules] == ["other"]


def test_a_listener_with_a_port_imports_only_that_port() -> None:
    two = entry("two.com", "80/HTTP", "81/HTTP")
    sidecar = rules(
        "egress:\n- port: {number: 80, protocol: HTTP, name: a}\n  hosts: ['*/*']\n"
        "- port: {number: 81, protocol: HTTP, name: b}\n  hosts: ['*/*']",
        kind="Sidecar",
    )

    found = scope(A, two, sidecar)

    assert [[service.host for service in each.services] for each in found.egress] == [["a.com", "two.com"], ["two.com"]]
    assert [port.number for port in found.egress[1].services[0].ports] == [81]
    assert [port.number for port in found.services["two.com"].ports] == [80, 81]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (A, True),
        (mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), False),
        (egress("*/*", more="outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), False),
        (egress("*/*", more="outboundTrafficPolicy: {}"), False),
        (egress("*/*", more="outboundTrafficPolicy: {mode: ALLOW_ANY}"), True),
        (egress("*/*"), True),
    ],
)
def test_who_says_what_becomes_of_unknown_traffic(text: str, allowed: bool) -> None:
    assert scope(text).allow_any is allowed


def test_a_gateway_knows_every_visible_service_and_no_sidecar() -> None:
    found = documents("\n---\n".join((*ALL, egress("./*"))))

    assert list(gateway_scope(Registry(found, mesh_settings(found)), "default").services) == ["a.com", "b.com", "c.net"]
