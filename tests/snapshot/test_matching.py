"""Match clauses against requests. What Envoy 1.40 itself answered is marked so."""

from __future__ import annotations

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.core.token import VerifiedToken
from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, L4MatchAttributes
from pyproxy.snapshot.matching import (
    applies,
    applies_to_connections,
    claim_path,
    compile_match,
    describe,
    is_catch_all,
)
from pyproxy.snapshot.model import Identity
from tests.snapshot.documents import request


def holds(clause: dict[str, object], head: RequestHead) -> bool:
    predicate = compile_match(HTTPMatchRequest.model_validate(clause))
    return predicate is None or predicate(head)


@pytest.mark.parametrize(
    ("uri", "path", "matched"),
    [
        ({"exact": "/a"}, "/a", True),
        ({"exact": "/a"}, "/a?x=1", True),
        ({"exact": "/a"}, "/a/", False),
        ({"exact": "/a"}, "/A", False),
        ({"prefix": "/foo"}, "/foobar", True),
        ({"prefix": "/foo/"}, "/foo", False),
        ({"prefix": "/foo"}, "/x?y=/foo", False),
        ({"prefix": "/"}, "/anything", True),
        ({"prefix": ""}, "/anything", True),
        ({"regex": "/v[0-9]"}, "/v1", True),
        ({"regex": "/v[0-9]"}, "/v1x", False),
        ({"regex": "v[0-9]"}, "/abc-v1", False),
        ({"regex": "/pa.*th"}, "/path?x=1", True),
        ({"regex": ".*"}, "/anything", True),
        ({}, "/anything", True),
    ],
)
def test_uri_is_compared_with_the_path_without_its_query(uri: dict[str, str], path: str, matched: bool) -> None:
    assert holds({"uri": uri}, request(path)) is matched


@pytest.mark.parametrize(
    ("uri", "matched"),
    [({"exact": "/Api/V1"}, True), ({"prefix": "/API"}, True), ({"regex": "/API.*"}, False)],
)
def test_ignore_uri_case_is_for_exact_and_prefix_only(uri: dict[str, str], matched: bool) -> None:
    assert holds({"uri": uri, "ignoreUriCase": True}, request("/api/v1")) is matched


@pytest.mark.parametrize(
    ("clause", "matched"),
    [
        ({"method": {"exact": "GET"}}, True),
        ({"method": {"exact": "get"}}, False),
        ({"method": {"regex": "GET|HEAD"}}, True),
        ({"method": {"prefix": "P"}}, False),
        ({"authority": {"exact": "shop.com"}}, False),
        ({"authority": {"exact": "shop.com:8080"}}, True),
        ({"authority": {"prefix": "shop"}}, True),
        ({"scheme": {"exact": "https"}}, False),
        ({"scheme": {"exact": "http"}}, True),
        ({"method": {"regex": "*"}}, True),
    ],
)
def test_method_authority_and_scheme(clause: dict[str, object], matched: bool) -> None:
    assert holds(clause, request(host="shop.com:8080")) is matched


# Answers of Envoy 1.40 to Istio's configuration
@pytest.mark.parametrize(
    ("match", "lines", "matched"),
    [
        ({"exact": "a"}, ["a", "b"], True),
        ({"exact": "a"}, ["b", "a"], True),
        ({"exact": "a"}, ["a,b"], False),
        ({"exact": "a,b"}, ["a", "b"], False),
        ({"exact": "a,b"}, ["a,b"], True),
        ({"exact": "a"}, [], False),
        ({"regex": "a.b"}, ["a", "b"], False),
        ({"regex": "a.b"}, ["axb"], True),
        ({"regex": "a"}, ["ab"], False),
        ({"prefix": "b"}, ["a", "b"], True),
        ({}, [""], True),
        ({}, [], False),
        ({"regex": "*"}, ["anything"], True),
        ({"regex": "*"}, [], False),
        ({"regex": ".*"}, [], False),
        ({"regex": "^(.*?;)?(user=jason)(;.*)?$"}, ["a=b", "user=jason"], True),
        ({"regex": "^(.*?;)?(user=jason)(;.*)?$"}, ["a=b;user=jason"], True),
        ({"regex": "^(.*?;)?(user=jason)(;.*)?$"}, ["a=b; user=jason"], False),
    ],
)
def test_some_line_of_a_header_must_match(match: dict[str, str], lines: list[str], matched: bool) -> None:
    head = request(headers=[("other", "a"), *(("x-user", line) for line in lines)])

    assert holds({"headers": {"X-User": match}}, head) is matched


# Answers of Envoy 1.40 to Istio's configuration
@pytest.mark.parametrize(
    ("match", "lines", "matched"),
    [
        ({"exact": "a"}, [], True),
        ({"exact": "a"}, ["a"], False),
        ({"exact": "a"}, ["a", "b"], False),
        ({"exact": "a"}, ["b", "a"], False),
        ({"exact": "a"}, ["b", "c"], True),
        ({"regex": "a*"}, [], False),
        ({"regex": "a*"}, ["b"], True),
        ({"regex": "a*"}, ["b", "aa"], False),
        ({}, [], True),
        ({}, ["b"], False),
        ({}, [""], False),
        ({"regex": "*"}, ["b"], False),
        ({"regex": "*"}, [], True),
    ],
)
def test_a_missing_header_counts_as_empty_in_without_headers(
    match: dict[str, str], lines: list[str], matched: bool
) -> None:
    head = request(headers=[("x", line) for line in lines])

    assert holds({"withoutHeaders": {"x": match}}, head) is matched


@pytest.mark.parametrize(
    ("name", "value", "matched"),
    [("host", "shop.com:1", True), (":path", "/a?b=1", True), (":method", "POST", False), (":authority", "x", False)],
)
def test_pseudo_headers_may_be_named_in_headers(name: str, value: str, matched: bool) -> None:
    head = request("/a?b=1", host="shop.com:1")

    assert holds({"headers": {name: {"exact": value}}}, head) is matched
    assert holds({"withoutHeaders": {name: {"exact": value}}}, head) is not matched


# Answers of Envoy 1.40 to Istio's configuration, but for the last three
@pytest.mark.parametrize(
    ("match", "query", "matched"),
    [
        ({"exact": "1"}, "?a=1&a=2", True),
        ({"exact": "1"}, "?a=2&a=1", False),
        ({"exact": "1"}, "?b&a=1", True),
        ({"exact": "1"}, "?%61=1", False),
        ({"exact": "1"}, "?a=%31", False),
        ({"exact": "1"}, "?a=1%23", False),
        ({"exact": "1"}, "", False),
        ({}, "?a", True),
        ({}, "?b", False),
        ({"regex": "*"}, "?a=", True),
        ({"prefix": "1"}, "?a=12", True),
        ({"regex": "[0-9]+"}, "?a=12x", False),
    ],
)
def test_the_first_query_parameter_counts_undecoded(match: dict[str, str], query: str, matched: bool) -> None:
    assert holds({"queryParams": {"a": match}}, request("/" + query)) is matched


def test_conditions_of_a_clause_must_all_hold() -> None:
    clause = {
        "uri": {"prefix": "/api"},
        "method": {"exact": "GET"},
        "headers": {"x": {"exact": "1"}},
        "withoutHeaders": {"y": {}},
        "queryParams": {"q": {"exact": "2"}},
    }

    assert holds(clause, request("/api?q=2", {"x": "1"}))
    assert not holds(clause, request("/api?q=2", {"x": "1"}, method="POST"))
    assert not holds(clause, request("/api?q=2", {"x": "1", "y": ""}))
    assert not holds(clause, request("/api?q=3", {"x": "1"}))
    assert not holds(clause, request("/?q=2", {"x": "1"}))
    assert not holds(clause, request("/api?q=2"))


def test_claims_are_never_there_without_a_verified_token() -> None:
    clause = {"@request.auth.claims.group": {"exact": "admin"}}

    assert not holds({"headers": clause}, request())
    assert holds({"withoutHeaders": clause}, request())
    assert not holds({"headers": clause}, request("/", {"@request.auth.claims.group": "admin"}))


@pytest.mark.parametrize(
    ("name", "how", "held"),
    [
        (".group", {"exact": "admin"}, True),
        (".group", {"exact": "admi"}, False),
        (".Group", {"exact": "admin"}, False),
        (".groups", {"exact": "b"}, True),
        (".groups", {"prefix": "c"}, False),
        (".groups", {"regex": "a|z"}, True),
        (".deep.er", {"exact": "x"}, True),
        ("[deep][er]", {"exact": "x"}, True),
        ("[a.b]", {"exact": "y"}, True),
        (".a.b", {"exact": "y"}, False),
        (".deep", {"exact": "x"}, False),
        (".number", {"exact": "1"}, False),
        (".group", {}, True),
        (".none", {}, False),
    ],
)
def test_claims_of_a_verified_token(name: str, how: dict[str, str], held: bool) -> None:
    claims = {"group": "admin", "groups": ["a", "b"], "deep": {"er": "x"}, "a.b": "y", "number": 1}
    head = request()
    head.token = VerifiedToken(claims=claims)
    clause = {f"@request.auth.claims{name}": how}
    assert holds({"headers": clause}, head) is held
    assert holds({"withoutHeaders": clause}, head) is not held


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("@request.auth.claims.a.b", ("a", "b")),
        ("@Request.Auth.Claims[A.b][c]", ("A.b", "c")),
        ("@request.auth.claims.[a]", ("[a]",)),
        ("@request.auth.claims", ()),
        ("@request.auth.claims.", ()),
        ("@request.auth.claims[]", ()),
        ("@request.auth.claims[a", ()),
        ("@request.auth.claimsa", ()),
        ("x-claims.a", ()),
    ],
)
def test_the_way_to_a_claim(name: str, path: tuple[str, ...]) -> None:
    assert claim_path(name) == path


@pytest.mark.parametrize(
    ("clause", "applied"),
    [
        ({}, True),
        ({"port": 80}, True),
        ({"port": 81}, False),
        ({"sourceLabels": {"app": "shop"}}, True),
        ({"sourceLabels": {"app": "shop", "version": "v2"}}, False),
        ({"sourceNamespace": "books"}, True),
        ({"sourceNamespace": "other"}, False),
        ({"gateways": ["mesh"]}, True),
        ({"gateways": ["books/door"]}, False),
        ({"gateways": ["books/door", "mesh"], "sourceLabels": {"app": "other"}, "sourceNamespace": "other"}, True),
        ({"gateways": ["mesh"], "port": 81}, False),
    ],
)
def test_what_a_clause_says_about_the_proxy(clause: dict[str, object], applied: bool) -> None:
    identity = Identity(namespace="books", labels={"app": "shop", "version": "v1"})

    assert applies(HTTPMatchRequest.model_validate(clause), identity, "mesh", 80) is applied


@pytest.mark.parametrize(
    ("clause", "applied"),
    [
        ({"gateways": ["mesh"], "sourceLabels": {"app": "other"}}, False),
        ({"gateways": ["mesh"], "sourceLabels": {"app": "shop"}, "sourceNamespace": "books", "port": 80}, True),
        ({"gateways": ["books/door"]}, False),
    ],
)
def test_gateways_silence_nothing_for_connections(clause: dict[str, object], applied: bool) -> None:
    identity = Identity(namespace="books", labels={"app": "shop"})

    assert applies_to_connections(L4MatchAttributes.model_validate(clause), identity, "mesh", 80) is applied


@pytest.mark.parametrize(
    ("clause", "catches_all"),
    [
        ({}, True),
        ({"uri": {"prefix": "/"}}, True),
        ({"uri": {"regex": ".*"}}, True),
        ({"uri": {}}, True),
        ({"uri": {"prefix": "/a"}}, False),
        ({"method": {"regex": "*"}}, False),
        ({"headers": {"x": {}}}, False),
        ({"withoutHeaders": {"x": {}}}, False),
        ({"queryParams": {"x": {}}}, False),
        ({"sourceNamespace": "books", "port": 80}, True),
    ],
)
def test_a_clause_that_no_request_fails_catches_all(clause: dict[str, object], catches_all: bool) -> None:
    assert is_catch_all(HTTPMatchRequest.model_validate(clause)) is catches_all


def test_a_clause_can_be_said_in_words() -> None:
    clause = HTTPMatchRequest.model_validate(
        {
            "uri": {"prefix": "/api"},
            "ignoreUriCase": True,
            "headers": {"end-user": {"exact": "jason"}, "x": {}},
            "withoutHeaders": {"y": {"regex": "a+"}},
            "queryParams": {"q": {"exact": "1"}},
        }
    )

    assert describe(clause) == (
        "path starts /api (any case) and header end-user = jason and header x present "
        "and not header y ~ a+ and query q = 1"
    )
    assert describe(HTTPMatchRequest()) == "everything"
