"""Match clauses in the operator's own words, kept beside the predicates of matching.py for export and people."""

from __future__ import annotations

from collections.abc import Mapping

from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, StringMatch
from pyproxy.snapshot.matching import present
from pyproxy.snapshot.model import Conditions, TextMatch

_ANY = Conditions()
_PRESENT = TextMatch("present")


def conditions_of(match: HTTPMatchRequest) -> Conditions | None:
    """What one clause asks of a request; None when it asks nothing. What it asks of the proxy is decided before."""
    pseudo = {":method": match.method, ":authority": match.authority, ":scheme": match.scheme}
    asked = {name: value for name, value in pseudo.items() if value is not None}
    path = _path(match.uri)
    found = Conditions(
        path=path,
        ignore_case=bool(match.ignore_uri_case) and path is not None and path.how != "regex",
        headers=_each(asked) + _each(match.headers),  # which may name a pseudo header once more
        without_headers=_each(match.without_headers),
        query=tuple((name, text_match(value)) for name, value in match.query_params.items()),
    )
    return None if found == _ANY else found


def text_match(match: StringMatch) -> TextMatch:
    """One condition on one text."""
    if present(match):
        return _PRESENT
    if match.exact is not None:
        return TextMatch("exact", match.exact)
    if match.prefix is not None:
        return TextMatch("prefix", match.prefix)
    return TextMatch("regex", match.regex or "")


def _path(uri: StringMatch | None) -> TextMatch | None:
    if uri is None or present(uri) or uri.prefix in ("", "/"):
        return None  # the regex `.*` stays: what it matches is the whole path, for a rewrite
    return text_match(uri)


def _each(values: Mapping[str, StringMatch]) -> tuple[tuple[str, TextMatch], ...]:
    """Names in lower case, but for the path into a token, where case counts."""
    return tuple((name if name.startswith("@") else name.lower(), text_match(value)) for name, value in values.items())
