"""Header operations of a route and of a destination → HeaderOps, and the host rewrite hidden among them.

Source: Istio pilot/pkg/networking/core/route/route.go (TranslateHeadersOperations); Envoy header_parser.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyproxy.istio.networking.virtual_service import HeaderOperations, Headers
from pyproxy.snapshot.model import HeaderOps, Template
from pyproxy.wire.format import FormatError, compile_header_value

_AUTHORITY = ("host", ":authority")
FRAMING = frozenset({"content-length", "transfer-encoding"})
"""Headers that say where a message ends: only whoever sends it can write them."""


@dataclass(frozen=True, slots=True)
class LevelOps:
    """The header operations of one level: a route's, or a destination's."""

    request: HeaderOps | None = None
    response: HeaderOps | None = None
    authority: str = ""
    """What `set` or else `add` of the host asks for; it rewrites the host and is no header."""


NO_OPERATIONS = LevelOps()


def compile_headers(headers: Headers | None) -> LevelOps:
    """One level's operations."""
    if headers is None:
        return NO_OPERATIONS
    request = headers.request
    return LevelOps(
        request=_operations(request),
        response=_operations(headers.response),
        authority="" if request is None else _authority(request.set) or _authority(request.add),
    )


def merge(route: LevelOps, destination: LevelOps) -> LevelOps:
    """Both levels as one list, for a route with one destination: the destination's come after the route's."""
    return LevelOps(
        request=_joined(route.request, destination.request),
        response=_joined(route.response, destination.response),
        authority=route.authority or destination.authority,
    )


def _joined(first: HeaderOps | None, second: HeaderOps | None) -> HeaderOps | None:
    if first is None or second is None:
        return first or second
    return HeaderOps(
        remove=first.remove + second.remove,
        set=first.set + second.set,
        add=first.add + second.add,
        set_texts=first.set_texts + second.set_texts,
        add_texts=first.add_texts + second.add_texts,
    )


def _operations(operations: HeaderOperations | None) -> HeaderOps | None:
    """None when nothing is left to do. Istio orders the names of one operation by alphabet."""
    if operations is None:
        return None
    set_lines, add_lines = _lines(operations.set), _lines(operations.add)
    compiled = HeaderOps(
        remove=tuple(name.lower().encode() for name in operations.remove if not _internal(name)),
        set=tuple((name, template) for name, template, _ in set_lines),
        add=tuple((name, template) for name, template, _ in add_lines),
        set_texts=tuple(text for _, _, text in set_lines),
        add_texts=tuple(text for _, _, text in add_lines),
    )
    return compiled if compiled.remove or compiled.set or compiled.add else None


def _lines(lines: Mapping[str, str]) -> list[tuple[bytes, Template, str]]:
    """Name, template and text of each line. What would never be written, or not be understood, is left out."""
    wanted = (
        (name, value)
        for name, value in sorted(lines.items())
        if value and not _internal(name) and name.lower() not in FRAMING
    )
    compiled = ((name.lower().encode(), _template(value), value) for name, value in wanted)
    return [(name, template, value) for name, template, value in compiled if template is not None]


def _template(value: str) -> Template | None:
    """None for commands that Envoy would refuse; findings.py warns about them."""
    try:
        return compile_header_value(value)
    except FormatError:
        return None


def _internal(name: str) -> bool:
    return name.startswith(":") or name.lower() == "host"


def _authority(lines: Mapping[str, str]) -> str:
    return next((value for name, value in lines.items() if name.lower() in _AUTHORITY), "")
