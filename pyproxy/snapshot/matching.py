"""Match clauses → predicates over a request head: one flat closure per condition, cheapest first.

What a clause says about the proxy itself (port, gateways, source labels and namespace) is decided here too, once.
Source: Istio pilot/pkg/networking/core/route/route.go (TranslateRouteMatch, sourceMatchHTTP); Envoy config_utility.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from pyproxy.core.http import RequestHead
from pyproxy.core.regex import compile_regex
from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, StringMatch
from pyproxy.policy.claims import claim_at, claim_texts
from pyproxy.snapshot.model import Identity, Predicate

Text = Callable[[bytes], object]
"""A test of one value; the result's truth counts."""
CLAIMS = "@request.auth.claims"
_PSEUDO: dict[str, Callable[[RequestHead], bytes]] = {
    ":method": lambda head: head.method,
    ":authority": lambda head: head.authority,
    "host": lambda head: head.authority,  # Envoy knows the two as one header
    ":scheme": lambda head: head.scheme,
    ":path": lambda head: head.target,
}


# Decided when the snapshot is compiled


class Matched(Protocol):
    """What HTTP, TLS and TCP matches say about the proxy."""

    port: int | None
    gateways: tuple[str, ...]
    source_labels: dict[str, str]
    source_namespace: str | None


def applies(match: HTTPMatchRequest, identity: Identity, gateway: str, port: int) -> bool:
    """Whether a clause is for this proxy at all. `gateways` silences source labels and namespace.

    `match.gateways` must be expanded; `gateway` is `mesh` for a sidecar.
    """
    if match.port and match.port != port:
        return False
    if match.gateways:
        return gateway in match.gateways
    return _source_matches(match, identity)


def applies_to_connections(match: Matched, identity: Identity, gateway: str, port: int) -> bool:
    """The same for a TLS or TCP clause, where every condition counts."""
    if match.port and match.port != port:
        return False
    return (not match.gateways or gateway in match.gateways) and _source_matches(match, identity)


def _source_matches(match: Matched, identity: Identity) -> bool:
    labels = identity.labels
    return all(labels.get(key) == value for key, value in match.source_labels.items()) and (
        not match.source_namespace or match.source_namespace == identity.namespace
    )


def is_catch_all(match: HTTPMatchRequest) -> bool:
    """Whether no request can fail it: no later clause is ever reached. Istio looks at the path and at headers."""
    uri = match.uri
    any_path = uri is None or uri.prefix == "/" or uri.regex == ".*" or present(uri)
    conditional = match.headers or match.without_headers or match.query_params
    return any_path and not (conditional or match.method or match.authority or match.scheme)


# Decided for each request


def compile_match(match: HTTPMatchRequest) -> Predicate | None:
    """One predicate for one clause: every condition in it must hold. None when there is none."""
    conditions = tuple(_conditions(match))
    if not conditions:
        return None
    if len(conditions) == 1:
        return conditions[0]
    first, *others = conditions
    if len(others) == 1:
        return _both(first, others[0])

    def holds(head: RequestHead) -> bool:
        for condition in conditions:  # noqa: SIM110 - all() costs a generator per request
            if not condition(head):
                return False
        return True

    return holds


def _both(first: Predicate, second: Predicate) -> Predicate:
    return lambda head: first(head) and second(head)


def _conditions(match: HTTPMatchRequest) -> Iterator[Predicate]:
    pseudo = {":method": match.method, ":authority": match.authority, ":scheme": match.scheme}
    for name, value in pseudo.items():
        if value is not None:
            yield from _header(name, value)
    if match.uri is not None:
        yield from _path(match.uri, ignore_case=bool(match.ignore_uri_case))
    for name, value in match.headers.items():
        yield from _header(name, value)
    for name, value in match.without_headers.items():
        yield _without_header(name, value)
    for name, value in match.query_params.items():
        yield _query(name.encode(), value)


def _path(uri: StringMatch, *, ignore_case: bool) -> Iterator[Predicate]:
    """A condition on the path without its query; none for one that every path meets."""
    if uri.exact is not None:
        exact = uri.exact.encode()
        yield _folded(exact.lower().__eq__) if ignore_case else lambda head: head.path == exact
    elif uri.prefix not in (None, "", "/"):
        prefix = str(uri.prefix).encode()
        yield _folded_prefix(prefix.lower()) if ignore_case else lambda head: head.path.startswith(prefix)
    elif uri.regex is not None and uri.regex != ".*":
        full_match = compile_regex(uri.regex).fullmatch
        yield lambda head: full_match(head.path) is not None


def _folded(equals: Callable[[object], bool]) -> Predicate:
    return lambda head: equals(head.path.lower())


def _folded_prefix(prefix: bytes) -> Predicate:
    return lambda head: head.path.lower().startswith(prefix)


def _header(name: str, value: StringMatch) -> Iterator[Predicate]:
    """Some line of that name meets the match; a match without a way to match wants the header to be there."""
    claim = claim_path(name)
    if claim:
        yield _claim(claim, compile_string(value))
        return
    key = name.lower()
    get = _PSEUDO.get(key)
    if get is not None:
        if value.exact is not None and key == ":method":
            yield _method(value.exact.encode())
        elif not present(value):
            yield _pseudo_header(get, compile_string(value))
    elif present(value):
        yield _has_header(key.encode())
    elif value.exact is not None:
        line = (key.encode(), value.exact.encode())
        yield lambda head: line in head.headers
    else:
        yield _some_header(key.encode(), compile_string(value))


def _without_header(name: str, value: StringMatch) -> Predicate:
    """No line of that name meets the match. A header that is missing counts as an empty one, except for presence."""
    found = next(_header(name, value), None)
    if found is None:
        return lambda head: False  # a pseudo header is always there
    holds = found  # bound once: what follows is called per request
    if claim_path(name) or present(value) or not compile_string(value)(b""):
        return lambda head: not holds(head)
    is_there = _has_header(name.lower().encode())
    return lambda head: is_there(head) and not holds(head)


def claim_path(name: str) -> tuple[str, ...]:
    """The way to a claim that a header match names, `@request.auth.claims.a.b` or `@request.auth.claims[a][b]`.

    Empty for what is an ordinary header. Source: Istio pkg/jwt/routing.go, ToRoutingClaim.
    """
    if not name.lower().startswith(CLAIMS):
        return ()
    rest = name[len(CLAIMS) :]
    if rest.startswith(".") and len(rest) > 1:
        return tuple(rest[1:].split("."))
    if rest.startswith("[") and rest.endswith("]") and len(rest) > 2:
        return tuple(rest[1:-1].split("]["))
    return ()


def _claim(path: tuple[str, ...], test: Text) -> Predicate:
    """A claim of the verified token: a text, or one of a list's texts, meets the match."""

    def holds(head: RequestHead) -> bool:
        token = head.token
        return token is not None and any(test(text.encode()) for text in claim_texts(claim_at(token.claims, path)))

    return holds


def _method(exact: bytes) -> Predicate:
    return lambda head: head.method == exact


def _pseudo_header(get: Callable[[RequestHead], bytes], test: Text) -> Predicate:
    return lambda head: bool(test(get(head)))


def _has_header(name: bytes) -> Predicate:
    def holds(head: RequestHead) -> bool:
        for key, _ in head.headers:  # noqa: SIM110 - any() costs a generator per request
            if key == name:
                return True
        return False

    return holds


def _some_header(name: bytes, test: Text) -> Predicate:
    """Repeated lines are tried one by one (Envoy from 1.39; before, joined by commas)."""

    def holds(head: RequestHead) -> bool:
        for key, value in head.headers:  # noqa: SIM110 - as above
            if key == name and test(value):
                return True
        return False

    return holds


def _query(name: bytes, value: StringMatch) -> Predicate:
    """The first parameter of that name, as it stands in the target: nothing is decoded."""
    test = None if present(value) else compile_string(value)

    def holds(head: RequestHead) -> bool:
        for part in head.target.partition(b"?")[2].split(b"&"):
            key, _, found = part.partition(b"=")
            if key == name:
                return test is None or bool(test(found))
        return False

    return holds


# Strings


def present(match: StringMatch) -> bool:
    """Whether a match only wants something to be there: `{}`, and by Istio's custom the regex `*`."""
    return match.exact is None and match.prefix is None and match.regex in (None, "*")


def compile_string(match: StringMatch) -> Text:
    """A test of one value; an empty match takes everything."""
    if match.exact is not None:
        return match.exact.encode().__eq__
    if match.prefix is not None:
        return _starts_with(match.prefix.encode())
    if match.regex is not None and match.regex != "*":
        full_match: Text = compile_regex(match.regex).fullmatch
        return full_match
    return lambda value: True


def _starts_with(prefix: bytes) -> Text:
    return lambda value: value.startswith(prefix)


def describe(match: HTTPMatchRequest) -> str:
    """A clause in words, for `proxy-config routes` and `explain`."""
    parts = [] if match.uri is None else [_in_words("path", match.uri)]
    if match.ignore_uri_case and match.uri is not None:
        parts[0] += " (any case)"
    parts += [
        _in_words(name, value)
        for name, value in (("method", match.method), ("authority", match.authority), ("scheme", match.scheme))
        if value is not None
    ]
    parts += [_in_words(f"header {name}", value) for name, value in match.headers.items()]
    parts += ["not " + _in_words(f"header {name}", value) for name, value in match.without_headers.items()]
    parts += [_in_words(f"query {name}", value) for name, value in match.query_params.items()]
    return " and ".join(parts) or "everything"


def _in_words(subject: str, match: StringMatch) -> str:
    if present(match):
        return f"{subject} present"
    if match.exact is not None:
        return f"{subject} = {match.exact}"
    return f"{subject} ~ {match.regex}" if match.prefix is None else f"{subject} starts {match.prefix}"
