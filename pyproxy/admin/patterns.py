"""`?filter=` and `?name_regex=`: tests of a name. RE2, so that no pattern can hold the event loop."""

from __future__ import annotations

from collections.abc import Callable

from pyproxy.admin.pages import BadRequest
from pyproxy.core.regex import RegexError, compile_regex

Matches = Callable[[str], bool]


def pattern(expression: str, *, whole: bool = False) -> Matches:
    """A test of one name: found anywhere in it, or the whole of it. Everything passes an empty expression.

    Raises BadRequest for what RE2 does not take.
    """
    if not expression:
        return lambda name: True
    try:
        compiled = compile_regex(expression)
    except RegexError as error:
        raise BadRequest(f"Invalid re2 regex: {error}") from error
    test = compiled.fullmatch if whole else compiled.search
    return lambda name: test(name.encode()) is not None
