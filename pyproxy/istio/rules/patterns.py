"""Regular expressions and string matches."""

from __future__ import annotations

from functools import lru_cache

import re2

from pyproxy.istio.networking.virtual_service import StringMatch
from pyproxy.istio.rules.place import Place

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False  # what is wrong goes into the report, not to standard error


@lru_cache(maxsize=1024)
def regex_problem(pattern: str) -> str | None:
    """For any regular expression: RE2 syntax, not empty, at most 1024 bytes."""
    if not pattern:
        return "a regular expression may not be empty"
    if len(pattern.encode()) > 1024:
        return "a regular expression has 1024 bytes at most"
    try:
        re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        return f"not a regular expression of RE2: {reason} (https://github.com/google/re2/wiki/Syntax)"
    return None


def check_string_match(match: StringMatch | None, place: Place, *, empty_prefix: bool = False) -> None:
    """A match with a prefix or a regex that says something; paths alone may have an empty prefix."""
    if match is None:
        return
    if match.prefix == "" and not empty_prefix:
        place.at("prefix").error("a prefix may not be empty; leave it out to match whatever is present")
    if match.regex is not None:
        place.at("regex").error(regex_problem(match.regex))
