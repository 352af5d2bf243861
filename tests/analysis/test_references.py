from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.analysis.conftest import Find

Told = Callable[[str], list[str]]
ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: NAMESPACE}
spec: {hosts: [a.example.com], http: [{route: [{destination: DESTINATION}]}]}
"""


def route(destination: str, namespace: str = "default") -> str:
    return ROUTE.replace("NAMESPACE", namespace).replace("DESTINATION", destination)


@pytest.mark.parametrize(
    ("destination", "namespace", "hint"),
    [
        ("{host: review}", "default", "did you mean reviews.default.svc.cluster.local?"),
        ("{host: reviews}", "other", "no service is called reviews.other.svc.cluster.local"),
        ("{host: reviews, port: {number: 80}}", "default", "has no port 80; it has 9080"),
        ("{host: reviews, subset: v1}", "default", "no DestinationRule is in force for it"),
    ],
)
def test_a_destination_that_is_not_there_says_what_is(find: Find, destination: str, namespace: str, hint: str) -> None:
    [found] = find(route(destination, namespace))
    assert found.code == "IST0101"
    assert hint in found.message


@pytest.mark.parametrize("destination", ["{host: reviews}", "{host: reviews.default.svc.cluster.local}"])
def test_a_destination_that_is_there_is_found_by_either_name(told: Told, destination: str) -> None:
    assert told(route(destination)) == []


def test_a_subset_of_a_rule_that_only_some_clients_follow_is_there(told: Told) -> None:
    rule = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: reviews, workloadSelector: {matchLabels: {app: web}}, subsets: [{name: v1, labels: {version: v1}}]}
"""
    assert told(route("{host: reviews, subset: v1}") + rule) == []


def test_a_wildcard_entry_makes_no_cluster_for_a_name_that_it_covers(find: Find) -> None:
    entry = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild}
spec: {hosts: ["*.example.com"], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}
"""
    [found] = find(route("{host: b.example.com}") + entry)
    assert "*.example.com covers the name" in found.message


def test_a_service_that_is_not_exported_says_whose_it_is(find: Find) -> None:
    entry = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: other}
spec: {hosts: [own.example.com], exportTo: [.], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
"""
    [found] = find(route("{host: own.example.com}") + entry)
    assert "exported to default; those of other are not" in found.message


SIDECAR = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a}
spec: {workloadSelector: {labels: {app: APP}}, egress: [{hosts: ["HOST"]}]}
"""


@pytest.mark.parametrize(
    ("app", "host", "expected"),
    [
        ("reviews", "./reviews.default.svc.cluster.local", []),
        ("reviews", "*/*", []),
        ("nobody", "*/*", ["IST0101 spec.workloadSelector"]),
        ("reviews", "other/reviews.default.svc.cluster.local", ["IST0101 spec.egress[0].hosts[0]"]),
        ("reviews", "./ratings.default.svc.cluster.local", ["IST0101 spec.egress[0].hosts[0]"]),
    ],
)
def test_what_a_sidecar_selects_and_imports_must_be_there(told: Told, app: str, host: str, expected: list[str]) -> None:
    assert told(SIDECAR.replace("APP", app).replace("HOST", host)) == expected


POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec: {rules: [{from: [{source: {namespaces: ["NAME"]}}]}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: payments}
"""


@pytest.mark.parametrize(("name", "known"), [("default", True), ("payments", True), ("pay*", True), ("shop", False)])
def test_namespaces_are_those_of_documents_and_of_namespace_documents(told: Told, name: str, known: bool) -> None:
    expected = [] if known else ["IST0101 spec.rules[0].from[0].source.namespaces[0]"]
    assert told(POLICY.replace("NAME", name)) == expected
