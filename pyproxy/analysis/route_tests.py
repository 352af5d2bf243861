"""Route tests in the format of istio-config-validator: crafted requests, and the route that each must or must not meet.

The format is that of github.com/getyourguide/istio-config-validator (docs/test-cases.md). Requests meet the rules as
pyproxy matches them, with every condition; ports, gateways and source labels are left out, as they are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import yaml
from yaml import Node

from pyproxy.core.http import RequestHead
from pyproxy.istio.fields import Flag, Many, Map, Message, by_json_name
from pyproxy.istio.files import find_files, read_documents
from pyproxy.istio.networking.virtual_service import (
    Delegate,
    Headers,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
    HTTPRouteDestination,
    VirtualService,
)
from pyproxy.istio.problems import FieldPath, Problem
from pyproxy.istio.report import Report
from pyproxy.istio.resources import Document
from pyproxy.istio.schema import parse_message
from pyproxy.istio.yaml_values import Reading
from pyproxy.snapshot.delegates import merge_routes
from pyproxy.snapshot.hosts import covers, expand, is_wildcard, specificity
from pyproxy.snapshot.matching import compile_match
from pyproxy.snapshot.mesh import mesh_settings


class CraftedRequest(Message):
    """Every combination of these is one request."""

    authority: Many[str]
    method: Many[str]
    uri: Many[str]
    headers: Map[str] = {}


class RouteTest(Message):
    """One test; of the parts of a route those that are given are compared."""

    description: str | None = None
    request: CraftedRequest
    route: Many[HTTPRouteDestination] = ()
    redirect: HTTPRedirect | None = None
    rewrite: HTTPRewrite | None = None
    fault: HTTPFaultInjection | None = None
    headers: Headers | None = None
    delegate: Delegate | None = None
    want_match: Flag | None = None


class RouteTests(Message):
    """One document of a test file."""

    test_cases: Many[RouteTest]


@dataclass(frozen=True, slots=True)
class Placed:
    """A test and where it stands."""

    test: RouteTest
    file: Path
    line: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of the route that is not as the test wants it."""

    part: str
    wanted: str
    """Yaml; with wantMatch false what was not wanted."""
    found: str
    diff: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One request of a test."""

    method: str
    authority: str
    uri: str
    rule: str
    """Which rule it met: `VirtualService/namespace/name http[0] (name)`; empty: none."""
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Nothing differs from what was wanted."""
        return not self.differences


_COMPARED = ("delegate", "route", "redirect", "rewrite", "fault", "headers")
_LISTS = ("authority", "method", "uri")


def read_tests(paths: Sequence[Path]) -> tuple[list[Placed], list[Problem]]:
    """The tests in files, and in folders with everything below them, and what is wrong with their text."""
    tests: list[Placed] = []
    problems: list[Problem] = []
    for file in find_files(paths):
        if isinstance(file, Problem):
            problems.append(file)
            continue
        for root in read_documents(file):
            if isinstance(root, Problem):
                problems.append(root)
            else:
                report = Report(file, root)
                tests += _tests_in(file, root, report)
                problems += report.problems
    return tests, problems


def _tests_in(file: Path, root: Node, report: Report) -> Iterator[Placed]:
    from pyproxy.istio.yaml_places import position

    reading = Reading()
    found, mismatches = parse_message(RouteTests, reading.value(root), report.written)
    report.add_faults(reading.faults)
    report.add_mismatches((), mismatches)
    if found is None or report.failed:
        return
    for index, test in enumerate(found.test_cases):
        path: FieldPath = ("testCases", index)
        for name in _LISTS:
            if not getattr(test.request, name):
                report.add("error", "PYP0003", (*path, "request", name), "needs at least one entry")
        yield Placed(test, file, position(root, path)[0])


class Rules:
    """The VirtualServices that tests are held against."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._domain = mesh_settings(documents).domain
        self._roots = [(each, each.spec) for each in documents if isinstance(each.spec, VirtualService)]
        self._delegates = {(document.namespace, document.name): spec for document, spec in self._roots}

    def run(self, test: RouteTest) -> Iterator[Tried]:
        """Each request that a test crafts."""
        asked = test.request
        for uri, authority, method in product(asked.uri, asked.authority, asked.method):
            head = _head(method, authority, uri, asked.headers)
            rule, root, leaf = self._meet(head, authority.lower())
            differences = tuple(_differences(test, root, leaf))
            yield Tried(method, authority, uri, rule, differences)

    def _meet(self, head: RequestHead, authority: str) -> tuple[str, HTTPRoute | None, HTTPRoute | None]:
        """The rule that takes a request: as it is written, and after its delegate's rules were put in its place."""
        host = authority.rpartition(":")[0] if authority.rpartition(":")[2].isdigit() else authority
        for document, spec in self._serving(host):
            for index, route in enumerate(spec.http):
                if _takes(route, head):
                    leaf = self._resolved(document, route, head)
                    name = f" ({route.name})" if route.name else ""
                    lost = "" if leaf is not None else ", and no rule of its delegate that fits within it"
                    return f"{document.resource} http[{index}]{name}{lost}", route, leaf
        return "", None, None

    def _serving(self, host: str) -> list[tuple[Document, VirtualService]]:
        """Those with the host, the most specific name of it first; then in the order of the documents."""
        found = []
        for document, spec in self._roots:
            written = [name.lower() for name in spec.hosts]
            names = {*written, *(expand(name, document.namespace, self._domain) for name in written)}
            fitting = [name for name in names if name == host or (is_wildcard(name) and covers(name, host))]
            if fitting:
                found.append((min(map(specificity, fitting)), document.order, document, spec))
        return [(document, spec) for _, _, document, spec in sorted(found, key=lambda each: each[:2])]

    def _resolved(self, document: Document, route: HTTPRoute, head: RequestHead) -> HTTPRoute | None:
        if route.delegate is None:
            return route
        key = (route.delegate.namespace or document.namespace, route.delegate.name or "")
        delegate = self._delegates.get(key)
        merged = merge_routes(route, delegate.http) if delegate is not None else ()
        return next((each for each in merged if _takes(each, head)), None)


def _head(method: str, authority: str, uri: str, headers: dict[str, str]) -> RequestHead:
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return RequestHead(method.encode(), uri.encode(), authority.encode(), lines)


def _takes(route: HTTPRoute, head: RequestHead) -> bool:
    return not route.match or any(_matches(each, head) for each in route.match)


def _matches(match: HTTPMatchRequest, head: RequestHead) -> bool:
    predicate = compile_match(match)
    return predicate is None or predicate(head)


def _differences(test: RouteTest, root: HTTPRoute | None, leaf: HTTPRoute | None) -> Iterator[Difference]:
    """Each part that the test names: equal with wantMatch, not equal without."""
    for part in _COMPARED:
        wanted = getattr(test, part)
        if wanted in (None, ()):
            continue
        route = root if part == "delegate" else leaf
        found = getattr(route, part) if route is not None else None
        if (found == wanted) is not bool(test.want_match):
            yield _difference(part, wanted, found, want_match=bool(test.want_match))


def _difference(part: str, wanted: object, found: object, *, want_match: bool) -> Difference:
    wanted_text, found_text = _as_yaml(part, wanted), _as_yaml(part, found)
    lines = difflib.unified_diff(
        wanted_text.splitlines(), found_text.splitlines(), "wanted", "found", lineterm="", n=10
    )
    diff = "\n".join(lines) if want_match else f"must not be\n{wanted_text}"
    return Difference(part, wanted_text, found_text, diff)


def _as_yaml(part: str, value: object) -> str:
    return yaml.safe_dump({part: _plain(value)}, sort_keys=False).rstrip("\n")


def _plain(value: object) -> object:
    """A message as a document would write it, without what is not set. Durations in seconds."""
    if isinstance(value, Message):
        return {name: _plain(member) for name, member in by_json_name(value) if member not in (None, (), {})}
    if isinstance(value, tuple):
        return [_plain(member) for member in value]
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    return value
