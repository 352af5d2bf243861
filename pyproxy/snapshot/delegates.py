"""A root route and the routes of the VirtualService that it delegates to → the routes that apply.

The delegate's matches narrow the root's; a delegate route of which some match fits under no root match is dropped.
Source: Istio pilot/pkg/model/virtualservice.go (MergeHTTPRoutes, mergeHTTPMatchRequests, hasConflict).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, HTTPRoute, StringMatch

_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "cors_policy",
    "mirrors",
    "headers",
)
_MATCHES = ("uri", "scheme", "method", "authority")
_MATCH_MAPS = ("headers", "without_headers", "query_params")


def merge_routes(root: HTTPRoute, delegate: Sequence[HTTPRoute]) -> Iterator[HTTPRoute]:
    """The delegate's routes in order, each under the root's conditions and with what it leaves to the root."""
    for route in delegate:
        match = _merge_matches(root.match, route.match)
        if match is None:
            continue
        changed: dict[str, Any] = {"match": match, "name": _joined(root.name, route.name)}
        changed |= {name: getattr(root, name) for name in _INHERITED if not _given(route, name)}
        yield route.model_copy(update=changed)


def _given(route: HTTPRoute, name: str) -> bool:
    return getattr(route, name) not in (None, ())


def _joined(root: str | None, delegate: str | None) -> str | None:
    return f"{root}-{delegate}" if root and delegate else root or delegate


def _merge_matches(
    roots: Sequence[HTTPMatchRequest], leaves: Sequence[HTTPMatchRequest]
) -> tuple[HTTPMatchRequest, ...] | None:
    """Every pair that fits; None when some delegate match fits none of the root's."""
    if not roots or not leaves:
        return tuple(roots or leaves)
    merged: list[HTTPMatchRequest] = []
    for leaf in leaves:
        fitting = [_merge_match(root, leaf) for root in roots if not _conflict(root, leaf)]
        if not fitting:
            return None
        merged += fitting
    return tuple(merged)


def _merge_match(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    scalars = (*_MATCHES, "port", "source_namespace", "gateways", "stat_prefix")
    changed: dict[str, Any] = {name: getattr(leaf, name) or getattr(root, name) for name in scalars}
    changed["name"] = _joined(root.name, leaf.name)
    for name in (*_MATCH_MAPS, "source_labels"):
        changed[name] = {**getattr(root, name), **getattr(leaf, name)}
    return leaf.model_copy(update=changed)


def _conflict(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Whether the delegate's match is not within the root's."""
    if any(_strings_conflict(getattr(root, name), getattr(leaf, name)) for name in _MATCHES):
        return True
    for name in _MATCH_MAPS:
        ours: dict[str, StringMatch] = getattr(root, name)
        theirs: dict[str, StringMatch] = getattr(leaf, name)
        if any(_strings_conflict(ours.get(key), value) for key, value in theirs.items()):
            return True
    if bool(root.ignore_uri_case) != bool(leaf.ignore_uri_case):
        return True
    if root.port and leaf.port and root.port != leaf.port:
        return True
    if root.source_namespace and leaf.source_namespace != root.source_namespace:
        return True
    if any(root.source_labels.get(key, value) != value for key, value in leaf.source_labels.items()):
        return True
    return bool(root.gateways and leaf.gateways) and not set(leaf.gateways) <= set(root.gateways)


def _strings_conflict(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Exact wants the same exact, prefix a longer prefix or exact; a regex fits with nothing but absence."""
    if root is None or leaf is None:
        return False
    if root.regex or leaf.regex:
        return True
    if root.exact:
        return bool(leaf.prefix) or leaf.exact != root.exact
    if root.prefix:
        return not (leaf.prefix or leaf.exact or "").startswith(root.prefix)
    return True
