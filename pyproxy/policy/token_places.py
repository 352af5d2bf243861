"""Where in a request tokens are: headers, query parameters, cookies. Source: Envoy jwt_authn/extractor.cc."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from pyproxy.core.http import RequestHead

_TOKEN_CHARACTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_AUTHORIZATION: Final = b"authorization"


@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """Each in the order in which it is looked at: headers before parameters before cookies, each by name."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Name in lower case, and what stands before the token; empty: the value is the token."""
    params: tuple[bytes, ...] = ()
    cookies: tuple[bytes, ...] = ()


DEFAULT_PLACES: Final = TokenPlaces(headers=((_AUTHORIZATION, b"Bearer "),), params=(b"access_token",))
"""Of a rule that names none."""


def find_tokens(places: TokenPlaces, head: RequestHead) -> list[bytes]:
    """Every token that a request has in these places; what stands there and is no token is found too."""
    found: list[bytes] = []
    for name, prefix in places.headers:
        values = [value for key, value in head.headers if key == name]
        if not values:
            continue
        if name == _AUTHORIZATION and len(values) > 1:
            values = [b",".join(values)]  # Envoy keeps one line of it: two tokens there are one that is broken
        for value in values:
            token = _after(prefix, value)
            if token is not None:
                found.append(token)
    if _may_have_parameters(places, head):
        given = dict(_reversed_parameters(head.target))
        found += [given[name] for name in places.params if name in given]
    if places.cookies:
        cookies = _cookies(head)
        found += [cookies[name] for name in places.cookies if name in cookies]
    return found


def take_away(places: TokenPlaces, head: RequestHead) -> None:
    """Leave no token in headers and parameters. Cookies stay, and all else as it was written."""
    for name, prefix in places.headers:
        for key, value in head.headers:
            if key == name and prefix in value:
                head.headers = [line for line in head.headers if line[0] != name]
                break
    if not _may_have_parameters(places, head):
        return
    path, _, query = head.target.partition(b"?")
    parts = query.split(b"&")
    kept = [part for part in parts if unquote_to_bytes(part.partition(b"=")[0]) not in places.params]
    if len(kept) < len(parts):
        head.target = path + b"?" + b"&".join(kept) if kept else path


def _may_have_parameters(places: TokenPlaces, head: RequestHead) -> bool:
    """Whether the query is worth taking apart."""
    target = head.target
    if not places.params or b"?" not in target:
        return False
    if b"%" in target:
        return True
    for name in places.params:  # noqa: SIM110 - any() costs a generator per request
        if name in target:
            return True
    return False


def _after(prefix: bytes, value: bytes) -> bytes | None:
    """The token behind a prefix, wherever that stands; None without it. What cannot begin a token is passed over."""
    if not prefix:
        return value
    at = value.find(prefix)
    if at < 0:
        return None
    start = at + len(prefix)
    if value[start : start + 1].isalnum():
        return value[start:]
    for index in range(start, len(value)):
        if value[index] in _TOKEN_CHARACTERS:
            return value[index:]
    return value


def _reversed_parameters(target: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values without percent signs, the last first: in a dict the first of a name stays."""
    for part in reversed(target.partition(b"?")[2].split(b"&")):
        name, _, value = part.partition(b"=")
        yield unquote_to_bytes(name), unquote_to_bytes(value)


def _cookies(head: RequestHead) -> dict[bytes, bytes]:
    """Cookies by name; of two with one name the first counts. Quotes around a value do not belong to it."""
    found: dict[bytes, bytes] = {}
    for line in head.get_all(b"cookie"):
        for part in line.split(b";"):
            name, equals, value = part.partition(b"=")
            if equals:
                quoted = len(value) > 1 and value[:1] == value[-1:] == b'"'
                found.setdefault(name.lstrip(b" "), value[1:-1] if quoted else value)
    return found
