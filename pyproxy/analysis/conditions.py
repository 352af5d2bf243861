"""A route's conditions held against one request, one by one, in the operator's words.

`Route.matches` is what the data path asks; this says why it gave its answer. A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyproxy.core.http import RequestHead
from pyproxy.core.regex import compile_regex
from pyproxy.core.text_match import TextMatch
from pyproxy.policy.claims import claim_at, claim_texts
from pyproxy.policy.hashing import query_parameter
from pyproxy.snapshot.matching import claim_path
from pyproxy.snapshot.model import Conditions

_MISSING = "(missing)"
_PSEUDO: dict[str, Callable[[RequestHead], bytes]] = {
    ":method": lambda head: head.method,
    ":authority": lambda head: head.authority,
    "host": lambda head: head.authority,
    ":scheme": lambda head: head.scheme,
    ":path": lambda head: head.target,
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One condition and the request's answer to it."""

    condition: str
    holds: bool
    found: str
    """What the request has there; `(missing)` for nothing."""


def check(conditions: Conditions | None, head: RequestHead) -> list[Checked]:
    """Every condition; a request matches when all hold. None asks nothing."""
    return [] if conditions is None else list(_checks(conditions, head))


def _checks(asked: Conditions, head: RequestHead) -> Iterator[Checked]:
    if asked.path is not None:
        path = head.path.lower() if asked.ignore_case else head.path
        wanted = TextMatch(asked.path.how, asked.path.text.lower()) if asked.ignore_case else asked.path
        words = _words("path", asked.path) + (" (any case)" if asked.ignore_case else "")
        yield Checked(words, _fits(wanted, path), _text(head.path))
    for name, match in asked.headers:
        values = _values(name, head)
        yield Checked(_words(_subject(name), match), any(_fits(match, value) for value in values), _shown(values))
    for name, match in asked.without_headers:
        values = _values(name, head)
        found = any(_fits(match, value) for value in values)
        absent = not values and not claim_path(name) and match.how != "present" and _fits(match, b"")
        yield Checked(f"not {_words(_subject(name), match)}", not found and not absent, _shown(values))
    for name, match in asked.query:
        value = query_parameter(head.target, name.encode())
        yield Checked(_words(f"query {name}", match), value is not None and _fits(match, value), _shown([value]))


def _values(name: str, head: RequestHead) -> list[bytes]:
    claim = claim_path(name)
    if claim:
        token = head.token
        return [] if token is None else [text.encode() for text in claim_texts(claim_at(token.claims, claim))]
    get = _PSEUDO.get(name)
    return [get(head)] if get is not None else head.get_all(name.encode())


def _fits(match: TextMatch, value: bytes) -> bool:
    text = match.text.encode()
    if match.how == "exact":
        return value == text
    if match.how == "prefix":
        return value.startswith(text)
    return match.how == "present" or compile_regex(match.text).fullmatch(value) is not None


def _subject(name: str) -> str:
    return name.removeprefix(":") if name.startswith(":") else f"header {name}"


def _words(subject: str, match: TextMatch) -> str:
    verbs = {"exact": "=", "prefix": "starts", "regex": "~"}
    return f"{subject} present" if match.how == "present" else f"{subject} {verbs[match.how]} {match.text}"


def _shown(values: list[bytes] | list[bytes | None]) -> str:
    return ", ".join(_text(value) for value in values if value is not None) or (
        '""' if any(value is not None for value in values) else _MISSING
    )


def _text(value: bytes) -> str:
    return value.decode("latin-1")
