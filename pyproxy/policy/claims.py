"""What a verified token claims, as rules and headers want it. Source: Envoy jwt_authn/authenticator.cc."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

ALWAYS_LISTS: Final = frozenset({"scope", "permission"})
"""Claims that are lists in one text, whatever a rule says (Istio policy_applier.go, buildSpaceDelimitedClaims)."""
_LARGEST: Final = 2.0**64
_NEVER_IN_A_HEADER: Final = frozenset("\r\n\0")


def with_lists(claims: Mapping[str, Any], space_delimited: Collection[str]) -> dict[str, Any]:
    """The claims, with those that are lists in one text made lists; a text without a word stays."""
    found = dict(claims)
    for name in space_delimited:
        value = claims.get(name)
        if isinstance(value, str) and (words := [word for word in value.split(" ") if word]):
            found[name] = words
    return found


def claim_at(claims: Mapping[str, Any], path: Iterable[str]) -> Any:
    """What a path leads to; None when it leads nowhere (and for null, which nothing matches)."""
    found: Any = claims
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def claim_texts(value: Any) -> list[str]:
    """The texts by which a claim may be matched: itself, or the texts of a list."""
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def header_value(value: Any) -> bytes | None:
    """A claim as a header's value: texts, numbers and booleans as they are, lists and objects as JSON in base64.

    None for what is not written: null, the empty text, and a text that would end the header line.
    """
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        return value.encode() if value and _NEVER_IN_A_HEADER.isdisjoint(value) else None
    if isinstance(value, int | float):
        return _number(value).encode()
    return base64.b64encode(_json(value).encode()) if isinstance(value, list | dict) else None


def _number(value: float) -> str:
    """Whole ones from 0 up to 64 bits as integers, all others with six digits after the point."""
    number = float(value)
    return str(int(number)) if 0 <= number < _LARGEST and number.is_integer() else f"{number:f}"


def _json(value: list[Any] | dict[str, Any]) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e")  # as protobuf writes them
