"""Single conditions over single facts."""

from __future__ import annotations

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.core.token import VerifiedToken
from pyproxy.policy.cidr import parse_block
from pyproxy.policy.rbac_matchers import Facts, compile_term, facts_read
from pyproxy.policy.rbac_terms import (
    AllOf,
    AnyOf,
    Authenticated,
    Claim,
    DestinationIp,
    DestinationPort,
    DirectIp,
    Header,
    Metadata,
    Not,
    Path,
    PathTemplate,
    RemoteIp,
    ServerName,
    Term,
    Text,
)

X = Text("exact", "x")
NEVER, ALWAYS = AnyOf(), AllOf()


def facts(head: RequestHead | None = None) -> Facts:
    found = Facts(
        names=("spiffe://a/ns/b/sa/c", "x"),
        direct_ip="10.0.0.1",
        remote_ip="10.0.0.2",
        destination_ip="10.0.0.3",
        destination_port=80,
        server_name="x",
    )
    found.head = head or RequestHead(b"GET", b"/x?y=/z", b"X", [(b"a", b"one"), (b"a", b"two"), (b"empty", b"")])
    return found


@pytest.mark.parametrize(
    ("term", "holds"),
    [
        (ALWAYS, True),
        (NEVER, False),
        (AllOf((ALWAYS, NEVER)), False),
        (AnyOf((NEVER, ALWAYS)), True),
        (Not(NEVER), True),
        (Authenticated(X), True),
        (Authenticated(Text("prefix", "spiffe://a/")), True),
        (Authenticated(Text("regex", "ns/b")), False),
        (DirectIp(parse_block("10.0.0.1")), True),
        (RemoteIp(parse_block("10.0.0.1")), False),
        (RemoteIp(parse_block("10.0.0.2")), True),
        (DestinationIp(parse_block("10.0.0.3")), True),
        (DestinationPort(80), True),
        (DestinationPort(81), False),
        (ServerName(X), True),
        (Path(Text("exact", "/x")), True),
        (Path(Text("exact", "/X")), False),
        (PathTemplate("/{*}"), True),
        (PathTemplate("/{*}/"), False),
        (Header(":method", Text("exact", "GET")), True),
        (Header(":path", Text("suffix", "/z")), True),
        (Header(":scheme", Text("exact", "http")), True),
        (Header(":nothing", None), False),
        (Header(":authority", X), False),
        (Header(":authority", Text("exact", "x", ignore_case=True)), True),
        (Header("host", Text("suffix", "X", ignore_case=True)), True),
        (Header("host", Text("prefix", "X", ignore_case=True)), True),
        (Header("a", Text("exact", "two")), True),
        (Header("a", Text("exact", "one,two")), False),
        (Header("empty", None), True),
        (Header("empty", Text("regex", ".+")), False),
        (Header("none", None), False),
        (Metadata("a", "b", (X,), (False,)), False),
    ],
)
def test_a_condition_holds_or_not(term: Term, holds: bool) -> None:
    assert compile_term(term)(facts()) is holds


def test_nobody_is_anybody_on_plaintext() -> None:
    plain = Facts()
    assert not compile_term(Authenticated(Text("regex", ".*")))(plain)
    assert compile_term(Not(Authenticated(Text("regex", ".*"))))(plain)


def test_an_upgrade_is_seen_only_where_it_is_one() -> None:
    term = Header("upgrade", Text("exact", "websocket"))
    asked = RequestHead(b"GET", b"/", b"x", [], notable={b"upgrade": b"websocket", b":upgrade": b""})
    stray = RequestHead(b"GET", b"/", b"x", [], notable={b"upgrade": b"websocket"})
    assert compile_term(term)(facts(asked))
    assert not compile_term(term)(facts(stray))


@pytest.mark.parametrize(
    ("claims", "holds", "holds_without_lists"),
    [
        ({"a": {"b": "x"}}, True, True),
        ({"a": {"b": ["y", "x"]}}, True, False),
        ({"a": {"b": ["y", 1]}}, False, False),
        ({"a": {"b": 1}}, False, False),
        ({"a": "x"}, False, False),
        ({}, False, False),
    ],
)
def test_a_claim_is_a_text_or_in_a_list(claims: dict[str, object], holds: bool, holds_without_lists: bool) -> None:
    head = RequestHead(b"GET", b"/", b"x", [])
    head.token = VerifiedToken(claims=claims)
    assert compile_term(Claim(("a", "b"), (X,)))(facts(head)) is holds
    assert compile_term(Claim(("a", "b"), (X,), in_lists=False))(facts(head)) is holds_without_lists


def test_what_is_read_is_told_once_and_whole() -> None:
    term = AllOf(
        (Path(X), Not(AnyOf((PathTemplate("/{*}"), Header("a", X)))), Claim(("b",), (X,)), Metadata("c", "d", ()))
    )
    read = facts_read(term)
    head = RequestHead(b"GET", b"/x", b"x", [(b"a", b"1"), (b"a", b"2")])
    head.token = VerifiedToken(claims={"b": ["x", 1]})
    assert {name: fact(facts(head)) for name, fact in read.items()} == {
        "Path": b"/x",
        "PathTemplate": b"/x",
        "header a": (b"1", b"2"),
        "claim ('b',)": ("x",),
    }
