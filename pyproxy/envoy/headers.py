"""Header operations as Envoy's HeaderValueOption lists. Source: Envoy api/envoy/config/core/v3/base.proto."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyproxy.envoy.values import Resource, text
from pyproxy.snapshot.model import HeaderOps, Template

_SET, _ADD = "OVERWRITE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD"


def header_operations(request: HeaderOps | None, response: HeaderOps | None) -> Resource:
    """The four fields that routes and weighted clusters have; those that do nothing are left out."""
    resource: Resource = {}
    for which, operations in (("request", request), ("response", response)):
        if operations is None:
            continue
        lines = [
            *_lines(operations.set, operations.set_texts, _SET),
            *_lines(operations.add, operations.add_texts, _ADD),
        ]
        if lines:
            resource[f"{which}_headers_to_add"] = lines
        if operations.remove:
            resource[f"{which}_headers_to_remove"] = [text(name) for name in operations.remove]
    return resource


def _lines(pairs: Iterable[tuple[bytes, Template]], texts: Iterable[str], action: str) -> Iterator[Resource]:
    for (name, _), value in zip(pairs, texts, strict=True):
        yield {"header": {"key": text(name), "value": value}, "append_action": action}
