"""Random valid documents and requests that are made to meet them: what the routing of both proxies is compared by.

A case is one service with its VirtualService and DestinationRule, under names of its own, so that many cases share one
mesh and one process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import hypothesis
from hypothesis import strategies as st

from tests.differential.generated_rules import (
    HOST,
    HOSTS,
    METHODS,
    NAMES,
    NUMBER,
    PATHS,
    PORTS,
    QUERIES,
    SUBSETS,
    VALUES,
    WILD,
    Spec,
    rules,
)


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str = "GET"
    target: str = "/"
    host: str = HOST
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def raw(self, identifier: str) -> bytes:
        """The request's bytes; `x-case` finds it again in a log."""
        lines = [f"{self.method} {self.target} HTTP/1.1", f"host: {self.host}", f"x-case: {identifier}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body or self.method in ("POST", "PUT"):
            lines.append(f"content-length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode("latin-1")


@dataclass(frozen=True)
class Case:
    """Documents and the requests that go with them."""

    documents: tuple[Spec, ...]
    requests: tuple[Asked, ...]
    splits: bool = False
    """Some rule has several destinations: chance says where a request goes."""

    def numbered(self, number: int) -> Case:
        """The same under a number's names."""

        def renamed(text: str) -> str:
            return text.replace(NUMBER, str(number))

        requests = tuple(
            replace(
                asked,
                target=renamed(asked.target),
                host=renamed(asked.host),
                headers=tuple((name, renamed(value)) for name, value in asked.headers),
            )
            for asked in self.requests
        )
        return Case(json.loads(renamed(json.dumps(self.documents))), requests, self.splits)


def generate(count: int, seed: int) -> list[Case]:
    """So many cases, numbered from 0; the same ones for the same seed."""
    return [_example(seed * 1_000_003 + number).numbered(number) for number in range(count)]


def _example(seed: int) -> Case:
    """One case. A longer run would vary what it has found: here every case begins anew, behind the simplest of all."""
    found: list[Case] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases())
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found[-1]


# Requests


def requests_for(virtual_service: Spec) -> st.SearchStrategy[Asked]:
    """Requests that use the texts of the rules, as they are and nearly so."""
    paths = {text for text in _texts(virtual_service, "uri") if text.startswith("/")}
    targets = st.one_of(
        st.sampled_from(sorted({*PATHS, *paths})), st.sampled_from(sorted(paths) or ["/"]), st.just("/"), _grown(paths)
    )
    pairs = st.tuples(
        st.sampled_from((*NAMES, "X-A", "x-b")),
        st.sampled_from(VALUES) | st.sampled_from(sorted(_values(virtual_service))),
    )
    return st.builds(
        Asked,
        method=st.sampled_from(("GET", "GET", "GET", *METHODS)),
        target=st.tuples(targets, st.sampled_from(QUERIES)).map("".join),
        host=st.one_of(st.just(HOST), st.sampled_from(HOSTS)),
        headers=st.one_of(st.lists(pairs, max_size=3), st.lists(pairs, max_size=2).flatmap(_with_special)).map(
            _told_once
        ),
        body=st.just(""),
    ).flatmap(lambda asked: _with_body(asked))


def _with_body(asked: Asked) -> st.SearchStrategy[Asked]:
    if asked.method not in ("POST", "PUT", "PATCH"):
        return st.just(asked)
    return st.sampled_from(("", "body")).map(
        lambda body: Asked(asked.method, asked.target, asked.host, asked.headers, body)
    )


SPECIAL = (
    (("origin", "https://a.test"),),
    (("origin", "https://b.test"), ("access-control-request-method", "POST")),
    (("origin", "https://a.test"), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a")),
    (("content-type", "application/grpc"), ("te", "trailers")),
    (("x-forwarded-proto", "https"),),
    (("x-forwarded-for", "10.1.2.3, 10.4.5.6"),),
    (("x-envoy-retry-on", "5xx"), ("x-envoy-upstream-rq-timeout-ms", "7"), ("x-envoy-original-path", "/old")),
    (("referer", "not a url"),),
    (("x-forwarded-client-cert", "By=me"),),
    (("connection", "x-a, keep-alive"), ("keep-alive", "5")),
)


def _told_once(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Without a second line of what Envoy joins to one line as it arrives: see docs/decisions/0010."""
    seen: dict[tuple[str, int], tuple[str, str]] = {}
    for index, (name, value) in enumerate(pairs):
        seen.setdefault((name, 0 if name in ("user-agent", "accept") else index), (name, value))
    return tuple(seen.values())


def _with_special(pairs: list[tuple[str, str]]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.sampled_from(SPECIAL).map(lambda special: [*pairs, *special])


def _grown(paths: set[str]) -> st.SearchStrategy[str]:
    """A path of the rules with something behind it, cut short, or in another case."""
    return st.tuples(
        st.sampled_from(sorted(paths) or ["/a"]), st.sampled_from(("x", "/x", "/", "cut", "case", "v7", "/..", "?x=/"))
    ).map(lambda pair: {"cut": pair[0][:-1] or "/", "case": pair[0].swapcase()}.get(pair[1], pair[0] + pair[1]))


def _texts(value: object, under: str) -> list[str]:
    """Every text of a StringMatch under a field of that name."""
    if isinstance(value, Mapping):
        found = [str(text) for text in value[under].values()] if isinstance(value.get(under), Mapping) else []
        return found + [text for member in value.values() for text in _texts(member, under)]
    return [text for member in value for text in _texts(member, under)] if isinstance(value, list) else []


def _values(virtual_service: Spec) -> list[str]:
    found = ["a"]
    for rule in virtual_service["http"]:
        for match in rule.get("match", ()):
            for part in ("headers", "withoutHeaders"):
                found += [text for way in match.get(part, {}).values() for text in way.values()]
    return [text for text in found if not set(text) & set("[]()*+?|^$\\.")]


# Cases


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A service, its subsets, its rules, and a dozen and a half requests."""
    count = draw(st.integers(1, 4))
    http = [draw(rules(last=False)) for _ in range(count - 1)] + [draw(rules(last=True))]
    hosts = draw(st.sampled_from(([HOST], [HOST, f"*.{WILD}"], [f"shop-{NUMBER}", f"exact.{WILD}"])))
    spec = {"hosts": hosts, "http": http}
    asked = draw(st.lists(requests_for(spec), min_size=18, max_size=18))
    splits = any(len(rule.get("route", ())) > 1 for rule in http)
    documents = (_entry(), _subsets(), _rest_of_wild(), _document("VirtualService", f"rules-{NUMBER}", spec))
    return Case(documents if f"exact.{WILD}" in hosts else (*documents[:2], documents[3]), tuple(asked), splits)


def _document(kind: str, name: str, spec: Spec) -> Spec:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _rest_of_wild() -> Spec:
    """Older rules for all hosts of a wildcard, one of which may have rules of its own."""
    rule = {"directResponse": {"status": 201, "body": {"string": "rest"}}}
    return _document("VirtualService", f"rest-{NUMBER}", {"hosts": [f"*.{WILD}"], "http": [rule]})


def _entry() -> Spec:
    endpoints = [{"address": "127.0.0.1", "labels": {"version": version}} for version in SUBSETS]
    return _document(
        "ServiceEntry",
        f"shop-{NUMBER}",
        {
            "hosts": [HOST],
            "location": "MESH_EXTERNAL",
            "resolution": "STATIC",
            "ports": [
                {"number": port, "name": f"http-{port}", "protocol": "HTTP", "targetPort": "UPSTREAM"} for port in PORTS
            ],
            "endpoints": endpoints,
        },
    )


def _subsets() -> Spec:
    subsets = [{"name": version, "labels": {"version": version}} for version in SUBSETS]
    return _document("DestinationRule", f"shop-{NUMBER}", {"host": HOST, "subsets": subsets})
