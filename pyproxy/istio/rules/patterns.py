"""Regular expressions and string matches."""

from __future__ import annotations

from pyproxy.core.regex import RegexError, compile_regex
from pyproxy.istio.networking.virtual_service import StringMatch
from pyproxy.istio.rules.place import Place


def regex_problem(pattern: str) -> str | None:
    """For any regular expression: RE2 syntax, not empty, at most 1024 bytes."""
    if not pattern:
        return "a regular expression may not be empty"
    if len(pattern.encode()) > 1024:
        return "a regular expression has 1024 bytes at most"
    try:
        compile_regex(pattern)
    except RegexError as error:
        return f"not a regular expression of RE2: {error} (https://github.com/google/re2/wiki/Syntax)"
    return None


def check_string_match(match: StringMatch | None, place: Place, *, empty_prefix: bool = False) -> None:
    """A match with a prefix or a regex that says something; paths alone may have an empty prefix."""
    if match is None:
        return
    if match.prefix == "" and not empty_prefix:
        place.at("prefix").error("a prefix may not be empty; leave it out to match whatever is present")
    if match.regex is not None:
        place.at("regex").error(regex_problem(match.regex))
