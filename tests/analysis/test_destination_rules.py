from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.analysis.conftest import Find

RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: HOST, BODY}
---
"""


def rule(host: str, body: str = "trafficPolicy: {loadBalancer: {simple: RANDOM}}") -> str:
    return RULE.replace("HOST", host).replace("BODY", body)


@pytest.mark.parametrize("host", ["reviews", "'*.default.svc.cluster.local'", "'*.local'"])
def test_a_host_may_be_short_or_a_wildcard(told: Callable[[str], list[str]], host: str) -> None:
    assert told(rule(host)) == []


def test_an_empty_subset_says_which_values_there_are(find: Find) -> None:
    [found] = find(rule("reviews", "subsets: [{name: v9, labels: {version: v9}}]"))
    assert (found.code, found.dotted_path) == ("IST0173", "spec.subsets[0].labels")
    assert found.message.endswith("requests get 503 UH; version is v1 there")
    [found] = find(rule("reviews", "subsets: [{name: v9, labels: {colour: red}}]"))
    assert found.message.endswith("none has a label colour")


def test_plaintext_to_one_strict_port_is_a_conflict(find: Find) -> None:
    strict = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a}
spec: {selector: {matchLabels: {app: reviews}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {PORT: {mode: STRICT}}}
---
"""
    plain = rule("reviews", "trafficPolicy: {tls: {mode: DISABLE}}")
    [found] = find(plain + strict.replace("PORT", "9080"))
    assert (found.code, found.dotted_path) == ("PYP0109", "spec.trafficPolicy.tls")
    assert find(plain + strict.replace("PORT", "9081")) == []


def test_rules_for_clients_by_label_take_nothing_from_each_other(told: Callable[[str], list[str]]) -> None:
    narrow = rule(
        "reviews", "workloadSelector: {matchLabels: {app: web}}, trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    )
    assert told(rule("reviews") + narrow.replace("name: a", "name: b")) == []
