"""Warnings about what VirtualServices name and nobody is, and about values that cannot be used."""

from __future__ import annotations

from pyproxy.istio.problems import Problem
from tests.snapshot.documents import compilation, entry, find, forward, rules
from tests.snapshot.test_registry import kubernetes

REVIEWS = entry("reviews.default.svc.cluster.local", "9080/HTTP")


def problems(*texts: str) -> list[Problem]:
    return list(compilation(*texts).problems)


def test_what_is_there_is_not_mentioned() -> None:
    alias = kubernetes("old", "type: ExternalName, externalName: reviews.default.svc.cluster.local")
    subset = rules("host: reviews\nsubsets: [{name: v1}]", kind="DestinationRule")
    rule = rules(
        "hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews, subset: v1}, weight: 1},"
        " {destination: {host: old}, weight: 1}]}]"
    )

    assert problems(REVIEWS, alias, subset, rule) == []


def test_missing_hosts_are_warned_about_with_their_place() -> None:
    rule = rules(
        """
hosts: [reviews]
http:
- route: [{destination: {host: reviews}}]
- route: [{destination: {host: nobody}}]
  mirror: {host: gone}
- route: [{destination: {host: reviews}}]
  mirrors: [{destination: {host: lost.com}}]
tcp:
- route: [{destination: {host: tcp.com}}]
"""
    )

    found = problems(REVIEWS, rule)

    assert [problem.path for problem in found] == [
        "spec.http[1].route[0].destination.host",
        "spec.http[1].mirror.host",
        "spec.http[2].mirrors[0].destination.host",
        "spec.tcp[0].route[0].destination.host",
    ]
    first = found[0]
    assert (first.severity, first.code, first.resource) == ("warning", "IST0101", "VirtualService/default/rules")
    assert first.message == "no service is called nobody.default.svc.cluster.local: requests get 503 NC"
    assert first.line > 1


def test_a_short_name_that_is_another_service_gets_a_hint() -> None:
    found = problems(entry("users"), rules("hosts: [users]\nhttp: [{route: [{destination: {host: users}}]}]"))

    assert "a short name means the document's own namespace, and users is another service" in found[0].message


def test_missing_subsets_name_the_rule_in_force() -> None:
    rule = rules("hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews, subset: v9}}]}]")
    subset = rules("host: reviews\nsubsets: [{name: v1}]", "sets", kind="DestinationRule")

    (without,) = problems(REVIEWS, rule)
    (with_one,) = problems(REVIEWS, rule, subset)

    assert without.message == (
        "reviews.default.svc.cluster.local has no subset v9 (no DestinationRule is in force): requests get 503 NC"
    )
    assert "(DestinationRule sets.default is in force)" in with_one.message
    assert with_one.path == "spec.http[0].route[0].destination.subset"


def test_values_that_envoy_would_refuse_are_left_out_and_warned_about() -> None:
    rule = rules(
        """
hosts: [reviews]
http:
- rewrite: {uriRegexRewrite: {match: '/(a)', rewrite: '/\\2'}}
  headers: {request: {set: {x-good: '%PROTOCOL%', x-bad: '%NO_SUCH_THING%', Content-Length: '5'}}}
  route: [{destination: {host: reviews}, headers: {response: {add: {x-worse: '%REQ%'}}}}]
"""
    )
    found = compilation(REVIEWS, rule)

    assert [problem.path for problem in found.problems] == [
        'spec.http[0].headers.request.set["x-bad"]',
        'spec.http[0].headers.request.set["Content-Length"]',
        'spec.http[0].route[0].headers.response.add["x-worse"]',
        "spec.http[0].rewrite.uriRegexRewrite.rewrite",
    ]
    route = find(found.snapshot, 9080, "reviews")
    assert route is not None
    assert route.request_headers is not None
    assert [name for name, _ in route.request_headers.set] == [b"x-good"]
    assert route.response_headers is None
    assert forward(route).rewrite_path is None
