"""Verdicts on requests: against a slow reader of the same policies, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxy.core.http import RequestHead
from pyproxy.core.token import VerifiedToken
from pyproxy.istio.mesh.config import MeshConfig
from pyproxy.istio.resources import Document
from pyproxy.istio.security import AuthorizationPolicy
from pyproxy.policy import rbac
from pyproxy.policy.rbac import Authorization, Authorizer, Rules, Stage, denial_details
from pyproxy.policy.rbac_matchers import Facts
from pyproxy.policy.rbac_terms import AllOf, Rule, Text
from pyproxy.policy.rbac_terms import Path as PathTerm
from pyproxy.snapshot.authorization import compile_authorization
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Identity
from tests.policy.rbac_oracle import Asked, Policy, verdict

MESH = MeshSettings(MeshConfig(trust_domain_aliases=("old",)))


def compiled(policies: Sequence[Policy]) -> Authorization:
    """The documents as a sidecar in `default` takes them."""
    documents = [
        Document(
            "security.istio.io/v1",
            "AuthorizationPolicy",
            policy.name,
            policy.namespace,
            {},
            {"istio.io/dry-run": "true"} if policy.dry_run else {},
            AuthorizationPolicy.model_validate(policy.spec),
            Path("x.yaml"),
            1,
            number,
            {},
        )
        for number, policy in enumerate(policies)
    ]
    found = compile_authorization(documents, Identity(), MESH)
    assert found is not None
    return found


def facts(asked: Asked) -> Facts:
    headers = [(name.encode(), value.encode()) for name, value in asked.headers]
    head = RequestHead(asked.method.encode(), asked.path.encode() + b"?q=/a", asked.host.encode(), headers)
    if asked.claims is not None:
        head.token = VerifiedToken(claims=asked.claims)
    found = Facts(
        names=asked.names,
        direct_ip=asked.direct_ip,
        remote_ip=asked.remote_ip,
        destination_ip=asked.destination_ip,
        destination_port=asked.port,
        server_name=asked.server_name,
    )
    if not asked.tcp:
        found.head = head
    return found


# Whatever is written, whatever is asked

PRINCIPALS = [
    "*",
    "cluster.local/ns/a/sa/x",
    "old/ns/default/sa/y",
    "*/ns/a/sa/x",
    "cluster.local/ns/a/*",
    "*/sa/y",
    "foreign/ns/a/sa/x",
    "CN=x",
]
BLOCKS = ["10.0.0.0/8", "10.0.0.1", "192.168.0.0/16", "fd00::/8", "0.0.0.0/0", "::/0", "10.0.0.7/31"]
NAMES = [
    ("spiffe://cluster.local/ns/a/sa/x", "CN=x"),
    ("spiffe://old/ns/default/sa/y", ""),
    ("spiffe://foreign/ns/ab/sa/x", "spiffe://old/ns/a/sa/x", ""),
    ("dns.example", ""),
    ("",),
]
NAMESPACES = ["a", "default", "*", "a*", "*b", "d*t"]
ACCOUNTS = ["x", "y", "a/x", "default/y"]
DOMAINS = ["cluster.local", "old", "foreign", "*", "for*", "*eign", "clusterXlocal"]
SUBJECTS = ["*", "iss/sub", "https://i/j/sub", "iss/*", "*/sub", "*s/sub", "iss/s*", "none/sub"]
PATHS = ["/", "/a", "/a/b", "*", "/a*", "*b", "/{*}", "/a/{*}", "/{**}", "/a/{**}/c", "/{*}/b", "/a/{**}/"]
WORDS = ["*", "one", "tw*", "*ne", ""]


def values(*pool: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from([each for each in pool if each]), min_size=1, max_size=3)


def block(pools: dict[str, Sequence[str]]) -> st.SearchStrategy[dict[str, list[str]]]:
    """Some fields, some of them negated."""
    fields = [name for plain in pools for name in (plain, "not" + plain[0].upper() + plain[1:])]
    by_name = {name: pools[plain] for plain in pools for name in (plain, "not" + plain[0].upper() + plain[1:])}
    return st.lists(st.sampled_from(fields), min_size=1, max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: values(*by_name[name]) for name in chosen})
    )


SOURCE = {
    "principals": PRINCIPALS,
    "requestPrincipals": SUBJECTS,
    "namespaces": NAMESPACES,
    "serviceAccounts": ACCOUNTS,
    "trustDomains": DOMAINS,
    "ipBlocks": BLOCKS,
    "remoteIpBlocks": BLOCKS,
}
OPERATION = {
    "hosts": ["*", "x", "X:80", "*.com", "Y.*"],
    "ports": ["80", "8080"],
    "methods": ["*", "GET", "P*", "*T"],
    "paths": PATHS,
}
KEYS = {
    "source.ip": BLOCKS,
    "remote.ip": BLOCKS,
    "source.namespace": NAMESPACES,
    "source.principal": PRINCIPALS,
    "source.serviceAccount": ACCOUNTS,
    "source.trustDomain": DOMAINS,
    "request.headers[X-One]": WORDS,
    "request.headers[x-two]": WORDS,
    "request.auth.principal": SUBJECTS,
    "request.auth.audiences": WORDS,
    "request.auth.presenter": WORDS,
    "request.auth.claims[groups]": WORDS,
    "request.auth.claims[deep][er]": WORDS,
    "destination.ip": BLOCKS,
    "destination.port": ["80", "8080"],
    "connection.sni": ["*", "x", "*.com"],
    "experimental.envoy.filters.a.b[c]": WORDS,
}


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    key = draw(st.sampled_from(sorted(KEYS)))
    chosen = draw(st.lists(st.sampled_from(["values", "notValues"]), min_size=1, unique=True))
    return {"key": key, **{name: draw(values(*KEYS[key])) for name in chosen}}


def sometimes(name: str, items: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(st.just({}), st.lists(items, min_size=1, max_size=2).map(lambda found: {name: found}))


def one(name: str, found: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return found.map(lambda value: {name: value})


RULE = st.tuples(
    sometimes("from", one("source", block(SOURCE))),
    sometimes("to", one("operation", block(OPERATION))),
    sometimes("when", conditions()),
).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


@st.composite
def policies(draw: st.DrawFn) -> list[Policy]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        action = draw(st.sampled_from(["ALLOW", "DENY", "AUDIT"]))
        rules = draw(st.lists(RULE, min_size=action == "DENY", max_size=3))
        namespace = draw(st.sampled_from(["default", "istio-system"]))
        found.append(Policy(f"p{number}", {"action": action, "rules": rules}, namespace, draw(st.booleans())))
    return found


WORD = st.sampled_from(["one", "two", "", "none"])
CLAIMS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            "iss": st.sampled_from(["iss", "https://i/j", "", ["iss"]]),
            "sub": st.sampled_from(["sub", "s", ""]),
            "aud": st.one_of(WORD, st.lists(WORD, max_size=2)),
            "azp": WORD,
            "groups": st.one_of(WORD, st.lists(st.one_of(WORD, st.integers()), max_size=3), st.integers()),
            "deep": st.one_of(WORD, st.fixed_dictionaries({"er": st.one_of(WORD, st.lists(WORD, max_size=2))})),
        },
    ),
)
ADDRESS = st.sampled_from(["10.0.0.1", "10.0.0.6", "192.168.3.4", "fd00::1", "8.8.8.8"])
ASKED = st.builds(
    Asked,
    method=st.sampled_from(["GET", "POST", "PUT", "get"]),
    path=st.sampled_from(["/", "/a", "/a/b", "/a/", "/b", "/a/x/c", "/a//c", "/x/b", "/a/|", "/a/=", "/a/b/", "//"]),
    host=st.sampled_from(["x", "x:80", "X", "y.com", "Y.COM:80", ""]),
    headers=st.lists(st.tuples(st.sampled_from(["x-one", "x-two"]), WORD), max_size=3),
    names=st.one_of(st.none(), st.sampled_from(NAMES)),
    direct_ip=ADDRESS,
    remote_ip=ADDRESS,
    destination_ip=ADDRESS,
    port=st.sampled_from([80, 8080]),
    server_name=st.sampled_from(["", "x", "y.com"]),
    claims=CLAIMS,
    tcp=st.booleans(),
)


@settings(max_examples=600, deadline=None)
@given(written=policies(), asked=st.lists(ASKED, min_size=1, max_size=6))
def test_every_verdict_is_that_of_the_slow_reader(written: list[Policy], asked: list[Asked]) -> None:
    found = compiled(written)
    for each in [*asked, *asked]:  # the second time out of memory
        authorizer = (found.tcp if each.tcp else found.http).authorizer
        assert authorizer.judge(facts(each)).denied_by == verdict(written, each), (written, each)


# What is remembered


def counting(*paths: str) -> Authorizer:
    rules = [Rule(f"rule[{path}]", PathTerm(Text("exact", path)), AllOf()) for path in paths]
    return Authorizer((Stage("DENY", Rules(rules)),))


def at(path: str, **more: str) -> Facts:
    found = Facts(**more)
    found.head = RequestHead(b"GET", path.encode(), b"x", [])
    return found


def test_a_verdict_is_remembered_by_what_rules_read_and_by_nothing_else() -> None:
    authorizer = counting("/a")
    first = authorizer.judge(at("/a", direct_ip="10.0.0.1"))
    assert authorizer.judge(at("/a", direct_ip="10.0.0.2")) is first
    assert authorizer.judge(at("/b")).denied_by is None


def test_long_paths_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    authorizer = counting("/a")
    long = "/" + "a" * rbac.LARGEST_REMEMBERED
    assert authorizer.judge(at(long)) is not authorizer.judge(at(long))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbac, "MOST_REMEMBERED", 3)
    authorizer = counting("/a")
    for number in range(10):
        authorizer.judge(at(f"/{number}"))
    assert len(authorizer._known) <= 3


def test_rules_are_tried_in_the_order_of_their_ids() -> None:
    rules = [Rule(f"ns[a]-policy[p]-rule[{number}]", AllOf(), AllOf()) for number in (2, 10, 1)]
    verdict = Authorizer((Stage("DENY", Rules(rules)),)).judge(Facts())
    assert verdict.denied_by == "ns[a]-policy[p]-rule[10]"  # Envoy's map is ordered by text: "10]" before "1]"


def test_each_stage_that_lets_a_request_pass_counts() -> None:
    everything = Rules([Rule("all", AllOf(), AllOf())])
    nothing = Rules([])
    authorizer = Authorizer((Stage("AUDIT", everything), Stage("DENY", nothing), Stage("ALLOW", everything)))
    found = authorizer.judge(Facts())
    assert (found.denied_by, found.allowed, found.audited_by) == (None, 3, "all")
    denied = Authorizer((Stage("AUDIT", nothing), Stage("DENY", everything))).judge(Facts())
    assert (denied.denied_by, denied.allowed, denied.audited_by) == ("all", 1, None)


def test_what_is_tried_out_enforces_nothing_and_is_told() -> None:
    everything = Rules([Rule("all", AllOf(), AllOf())])
    found = Authorizer((Stage("DENY", None, everything), Stage("ALLOW", None, Rules([])))).judge(Facts())
    assert (found.denied_by, found.allowed) == (None, 0)
    assert [(trial.action, trial.allowed, trial.policy) for trial in found.trials] == [
        ("DENY", False, "all"),
        ("ALLOW", False, ""),
    ]


def test_the_details_name_the_rule() -> None:
    assert denial_details("ns[a]-policy[b c]-rule[0]") == "rbac_access_denied_matched_policy[ns[a]-policy[b_c]-rule[0]]"
