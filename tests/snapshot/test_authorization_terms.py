"""One rule → the conditions that Istio gives Envoy."""

from __future__ import annotations

from typing import Any

import pytest

from pyproxy.istio.security import Rule
from pyproxy.policy.cidr import parse_block
from pyproxy.policy.rbac_terms import (
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    DestinationPort,
    Header,
    Metadata,
    Not,
    Path,
    PathTemplate,
    RemoteIp,
    Term,
    Text,
)
from pyproxy.snapshot.authorization_terms import HttpOnly, Terms, claim_path
from pyproxy.snapshot.trust_domains import TrustDomains


def terms(*, tcp: bool = False, strict: bool = True) -> Terms:
    return Terms("mine", TrustDomains(("td", "old")), tcp, strict)


def only(term: Term) -> Term:
    """The one condition of a part, without what holds it together."""
    while isinstance(term, AllOf | AnyOf) and len(term.terms) == 1:
        (term,) = term.terms
    return term


def source(**fields: Any) -> Term:
    return only(terms().principal(Rule.model_validate({"from": [{"source": fields}]})))


def operation(**fields: Any) -> Term:
    return only(terms().permission(Rule.model_validate({"to": [{"operation": fields}]})))


def condition(key: str, *values: str) -> tuple[Term, Term]:
    """Its part in the permission and in the principal."""
    rule = Rule.model_validate({"when": [{"key": key, "values": values}]})
    return only(terms().permission(rule)), only(terms().principal(rule))


@pytest.mark.parametrize(
    ("name", "value", "term"),
    [
        ("principals", "*", Authenticated(Text("regex", ".+"))),
        ("principals", "other/ns/a/sa/b", Authenticated(Text("exact", "spiffe://other/ns/a/sa/b"))),
        ("principals", "*/ns/a.b/sa/c", Authenticated(Text("regex", r"spiffe://.*/ns/a\.b/sa/c"))),
        ("principals", "td/ns/a/*", Authenticated(Text("prefix", "spiffe://td/ns/a/"))),
        ("namespaces", "a*b", Authenticated(Text("regex", ".*/ns/a.*b/.*"))),
        ("serviceAccounts", "a-b", Authenticated(Text("regex", "spiffe://.+/ns/mine/(.+/|)sa/a-b(/.+)?"))),
        ("serviceAccounts", "n/a", Authenticated(Text("regex", "spiffe://.+/ns/n/(.+/|)sa/a(/.+)?"))),
        ("trustDomains", "*", Authenticated(Text("prefix", "spiffe://"))),
        ("trustDomains", "x", Authenticated(Text("prefix", "spiffe://x/"))),
        ("trustDomains", "x*", Authenticated(Text("regex", "spiffe://x[^/]*/.*"))),
        ("remoteIpBlocks", "10.0.0.0/8", RemoteIp(parse_block("10.0.0.0/8"))),
    ],
)
def test_a_source(name: str, value: str, term: Term) -> None:
    assert source(**{name: [value]}) == term


@pytest.mark.parametrize(
    ("value", "issuer", "subject"),
    [
        ("*", Text("regex", ".+"), Text("regex", ".+")),
        ("https://i/s", Text("exact", "https://i"), Text("exact", "s")),
        ("i/*", Text("exact", "i"), Text("regex", ".+")),
        ("i/s*", Text("exact", "i"), Text("prefix", "s")),
        ("*/s", Text("regex", ".+"), Text("exact", "s")),
        ("*i/s", Text("suffix", "i"), Text("exact", "s")),
        ("*s", Text("regex", ".+"), Text("suffix", "s")),
        ("i*", Text("prefix", "i"), Text("regex", ".+")),
        ("i", Text("exact", "i"), Text("exact", "")),
    ],
)
def test_a_request_principal_is_issuer_and_subject(value: str, issuer: Text, subject: Text) -> None:
    assert source(requestPrincipals=[value]) == AllOf(
        (Claim(("iss",), (issuer,), in_lists=False), Claim(("sub",), (subject,), in_lists=False))
    )


@pytest.mark.parametrize(
    ("name", "value", "term"),
    [
        ("hosts", "*", Header(":authority", None)),
        ("hosts", "*.x", Header(":authority", Text("suffix", ".x", ignore_case=True))),
        ("methods", "GET", Header(":method", Text("exact", "GET"))),
        ("methods", "*", Header(":method", None)),
        ("paths", "/a*", Path(Text("prefix", "/a"))),
        ("paths", "*", Path(Text("regex", ".+"))),
        ("paths", "/a/{*}", PathTemplate("/a/{*}")),
        ("ports", "80", DestinationPort(80)),
    ],
)
def test_an_operation(name: str, value: str, term: Term) -> None:
    assert operation(**{name: [value]}) == term
    assert operation(**{"not" + name.capitalize(): [value]}) == Not(AnyOf((term,)))


def test_conditions_ask_about_the_destination_or_about_the_source() -> None:
    anything = AllOf()
    assert condition("destination.port", "80") == (DestinationPort(80), anything)
    assert condition("request.headers[User-Agent]", "a*") == (anything, Header("user-agent", Text("prefix", "a")))
    assert condition("request.auth.audiences", "a") == (anything, Claim(("aud",), (Text("exact", "a"),)))
    assert condition("request.auth.claims[a][b]", "c") == (anything, Claim(("a", "b"), (Text("exact", "c"),)))
    assert condition("experimental.envoy.filters.a.b[c]", "[d]") == (
        Metadata("envoy.filters.a.b", "c", (Text("exact", "d"),), (True,)),
        anything,
    )


def test_principals_in_our_trust_domain_have_its_aliases() -> None:
    both = AnyOf(tuple(Authenticated(Text("exact", f"spiffe://{each}/ns/a/sa/b")) for each in ("td", "old")))
    assert source(principals=["old/ns/a/sa/b"]) == both
    assert condition("source.principal", "td/ns/a/sa/b")[1] == both


def test_what_connections_do_not_have_falls_out_or_takes_the_rule_with_it() -> None:
    rule = Rule.model_validate({"to": [{"operation": {"methods": ["GET"], "ports": ["80"]}}]})
    assert only(terms(tcp=True, strict=False).permission(rule)) == DestinationPort(80)
    with pytest.raises(HttpOnly):
        terms(tcp=True).permission(rule)


@pytest.mark.parametrize(("brackets", "path"), [("[a]", ("a",)), ("[a][b]", ("a", "b")), ("[a[b]]", ("a[b]",))])
def test_claims_lie_within_claims(brackets: str, path: tuple[str, ...]) -> None:
    assert claim_path(brackets) == path
