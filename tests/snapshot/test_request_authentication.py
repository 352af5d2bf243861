from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyproxy.policy.claims import ALWAYS_LISTS
from pyproxy.policy.token_places import DEFAULT_PLACES, TokenPlaces
from pyproxy.policy.token_rules import KeySource, TokenRule
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.request_authentication import fetched_sources, token_rules
from tests.snapshot.documents import compiled, documents

WHO = Identity(namespace="shop", labels={"app": "web", "version": "v1"})


def policy(rules: str, name: str = "tokens", namespace: str = "shop", more: str = "") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{more} jwtRules: [{rules}]}}
"""


def rules_of(*texts: str, identity: Identity = WHO) -> tuple[TokenRule, ...]:
    return token_rules(documents("\n---\n".join(texts)), identity, "istio-system")


def rule_of(text: str) -> TokenRule:
    (found,) = rules_of(policy("{issuer: a, " + text + "}"))
    return found


@pytest.mark.parametrize(
    ("namespace", "more", "holds"),
    [
        ("shop", "", True),
        ("istio-system", "", True),
        ("other", "", False),
        ("shop", "selector: {matchLabels: {app: web}},", True),
        ("shop", "selector: {matchLabels: {app: web, version: v2}},", False),
        ("istio-system", "selector: {matchLabels: {version: v1}},", True),
        ("shop", "selector: {},", True),
        ("shop", "targetRefs: [{kind: Gateway, group: gateway.networking.k8s.io, name: x}],", False),
    ],
)
def test_which_policies_hold_for_a_workload(namespace: str, more: str, holds: bool) -> None:
    assert bool(rules_of(policy("{issuer: a, jwks: '{\"keys\": []}'}", "p", namespace, more))) is holds


def test_rules_of_all_policies_stand_in_order_of_issuer() -> None:
    found = rules_of(
        policy("{issuer: c}, {issuer: a}"),
        policy("{issuer: b}, {jwksUri: 'https://x'}", "root", "istio-system"),
    )
    assert [rule.issuer for rule in found] == ["", "a", "b", "c"]


def test_what_a_rule_says_by_itself() -> None:
    assert rule_of("").places == DEFAULT_PLACES
    plain = rule_of("jwksUri: 'https://x'")
    assert plain == TokenRule(issuer="a", keys=KeySource(uri="https://x"))


def test_what_a_rule_says() -> None:
    found = rule_of(
        "audiences: ['https://here/', there], forwardOriginalToken: true, outputPayloadToHeader: X-Payload,"
        " outputClaimToHeaders: [{header: X-Sub, claim: sub}, {header: x-d, claim: a.b}],"
        " spaceDelimitedClaims: [roles], fromParams: [z, b, z], fromCookies: [d, c],"
        " fromHeaders: [{name: X-B, prefix: 'Token '}, {name: x-a}]"
    )
    assert found.audiences == {"here", "there"}
    assert found.forward
    assert found.payload_header == b"x-payload"
    assert found.claim_headers == ((b"x-sub", ("sub",)), (b"x-d", ("a", "b")))
    assert found.space_delimited == ALWAYS_LISTS | {"roles"}
    assert found.places == TokenPlaces(((b"x-a", b""), (b"x-b", b"Token ")), (b"b", b"z"), (b"c", b"d"))


def test_one_place_that_is_named_silences_the_usual_ones() -> None:
    assert rule_of("fromCookies: [tea]").places == TokenPlaces(cookies=(b"tea",))


def test_where_keys_come_from() -> None:
    assert rule_of("jwks: '{\"keys\": []}'").keys == KeySource(inline='{"keys": []}')
    assert rule_of("jwksUri: 'http://x/k', timeout: 1s").keys == KeySource(uri="http://x/k", timeout=1)
    assert rule_of("timeout: 2s").keys == KeySource(issuer="a", timeout=2)
    assert rule_of("jwksUri: 'file:///k/a%20b.json'").keys == KeySource(uri="file:///k/a%20b.json")


def test_a_path_begins_at_its_document() -> None:
    (document,) = documents(policy("{issuer: a, jwksUri: 'keys/a b.json'}"))
    (found,) = token_rules([replace(document, file=Path("/mesh/policies/tokens.yaml"))], WHO, "istio-system")
    assert found.keys.uri == "file:///mesh/policies/keys/a%20b.json"


def test_each_source_is_fetched_from_once() -> None:
    found = rules_of(policy("{issuer: a}, {issuer: a, audiences: [x]}, {issuer: b, jwks: '{\"keys\": []}'}"))
    assert list(fetched_sources(found)) == [KeySource(issuer="a")]


@pytest.mark.parametrize("gateway", [False, True])
def test_sidecars_and_gateways_have_their_rules(gateway: bool) -> None:
    snapshot = compiled(policy("{issuer: a}"), identity=replace(WHO, gateway=gateway))
    assert [rule.issuer for rule in snapshot.token_rules] == ["a"]
    assert snapshot.guarded
