"""Header names, and header values with Envoy's %COMMANDS% in them (Istio's header_value_validator.go)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyproxy.istio.networking.virtual_service import Headers
from pyproxy.istio.rules.place import Place

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~A-Za-z0-9]+")
_PSEUDO_HEADERS = frozenset((":method", ":scheme", ":authority", ":path", ":status"))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CLAIM = re.compile(r"@request\.auth\.claims(?:\..+|\[.+\])", re.IGNORECASE | re.DOTALL)

# %NAME%, %NAME(argument)% or %NAME(["list", "of"])%. A backslash hides the next character of an argument, which ends
# at the first quote or bracket, as Envoy's header parser has it.
_ARGUMENT = r'(?:[^\\")]|\\.)*'
_COMMAND = rf'%(?:[^%(]+%|[^%(]*\( *(?:\[ *"|[^\[ ]){_ARGUMENT}(?:" *, *"{_ARGUMENT})*(?:\)|" *\] *\)) *%)'
_VALUE = re.compile(rf"(?:[^%]+|%%|{_COMMAND})*+")


def is_claim(name: str) -> bool:
    """Whether a header name stands for a claim of a verified token: `@request.auth.claims.a.b` or `[a][b]`."""
    return _CLAIM.fullmatch(name) is not None


def matched_header_problem(name: str) -> str | None:
    """For the name of a header that is matched."""
    if name in _PSEUDO_HEADERS or is_claim(name):
        return None
    return header_name_problem(name)


def header_name_problem(name: str) -> str | None:
    """For the name of an ordinary header (RFC 7230 token)."""
    if not name:
        return "a header name may not be empty"
    return None if _TOKEN.fullmatch(name) else f'"{name}" is not a header name'


def is_authority(name: str) -> bool:
    """Whether writing this header rewrites the host."""
    return name.lower() in (":authority", "host")


def _written_header_problem(name: str, *, authority: bool) -> str | None:
    """For the name of a header that is written or removed; `authority` where the host may be."""
    if not name:
        return "a header name may not be empty"
    if authority and is_authority(name):
        return None
    if name.startswith(":") or name.lower() == "host":
        return f"{name} cannot be changed here"
    return None


def header_value_problem(value: str) -> str | None:
    """For a value that is written: no control characters but tab, and every % a part of %% or of a whole %COMMAND%."""
    if _CONTROL.search(value):
        return "a header value may not hold control characters"
    if not _VALUE.fullmatch(value):
        return f'"{value}" has a % that is no part of a %COMMAND%: write %% for a percent sign'
    return None


def check_headers(headers: Headers | None, place: Place) -> None:
    """Everything that a route or a destination does to headers."""
    if headers is None:
        return
    if (request := headers.request) is not None:
        at = place.at("request")
        _check_values(request.add, at.at("add"), authority=True)
        _check_values(request.set, at.at("set"), authority=True)
        _check_removals(request.remove, at.at("remove"))
    if (response := headers.response) is not None:
        at = place.at("response")
        _check_values(response.add, at.at("add"), authority=False)
        _check_values(response.set, at.at("set"), authority=False)
        _check_removals(response.remove, at.at("remove"))


def _check_values(values: Mapping[str, str], place: Place, *, authority: bool) -> None:
    for name, value in values.items():
        place.at(name).error(_written_header_problem(name, authority=authority))
        place.at(name).error(header_value_problem(value))


def _check_removals(names: tuple[str, ...], place: Place) -> None:
    for index, name in enumerate(names):
        place.at(index).error(_written_header_problem(name, authority=False))
