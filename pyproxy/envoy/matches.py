"""Conditions of a route as Envoy's config.route.v3.RouteMatch, and of one text as type.matcher.v3.StringMatcher.

Source: Istio pilot/pkg/networking/core/route/route.go (TranslateRouteMatch, translateHeaderMatch).
"""

from __future__ import annotations

from pyproxy.envoy.authentication import JWT_FILTER
from pyproxy.envoy.values import Resource
from pyproxy.snapshot.matching import claim_path
from pyproxy.snapshot.model import Conditions, TextMatch


def match_resource(conditions: Conditions | None) -> Resource:
    """The match of one route; None takes everything."""
    if conditions is None:
        return {"prefix": "/"}
    resource = _path(conditions)
    headers = [_header(name, match, invert=False) for name, match in conditions.headers if not _is_claim(name)]
    headers += [_header(name, match, invert=True) for name, match in conditions.without_headers if not _is_claim(name)]
    claims = [_claim(claim_path(name), match, invert=False) for name, match in conditions.headers if _is_claim(name)]
    claims += [
        _claim(claim_path(name), match, invert=True) for name, match in conditions.without_headers if _is_claim(name)
    ]
    parts = {
        "headers": headers,
        "query_parameters": [{"name": name, **_text(match)} for name, match in conditions.query],
        "dynamic_metadata": claims,
    }
    return resource | {name: part for name, part in parts.items() if part}


def string_matcher(match: TextMatch) -> Resource:
    """A condition on one text that is there."""
    if match.how == "present":
        return {"safe_regex": {"regex": ".*"}}
    return {"safe_regex": {"regex": match.text}} if match.how == "regex" else {match.how: match.text}


def _path(conditions: Conditions) -> Resource:
    match = conditions.path
    if match is None:
        return {"prefix": "/"}
    if match.how == "regex":
        return {"safe_regex": {"regex": match.text}}
    resource: Resource = {"path" if match.how == "exact" else "prefix": match.text}
    return resource | {"case_sensitive": False} if conditions.ignore_case else resource


def _text(match: TextMatch) -> Resource:
    return {"present_match": True} if match.how == "present" else {"string_match": string_matcher(match)}


def _header(name: str, match: TextMatch, *, invert: bool) -> Resource:
    resource: Resource = {"name": name, **_text(match)}
    if invert:
        resource["invert_match"] = True
        if match.how != "present":
            resource["treat_missing_header_as_empty"] = True
    return resource


def _is_claim(name: str) -> bool:
    return bool(claim_path(name))


def _claim(path: tuple[str, ...], match: TextMatch, *, invert: bool) -> Resource:
    """A claim of a verified token: a text, or one of a list's. Without a filter that verifies there is none."""
    value: Resource = {"string_match": string_matcher(match)}
    return {
        "filter": JWT_FILTER,
        "path": [{"key": key} for key in ("payload", *path)],
        "value": {"or_match": {"value_matchers": [{"list_match": {"one_of": value}}, value]}},
        **({"invert": True} if invert else {}),
    }
