"""`?filter=` and `?name_regex=`: tests of a name. RE2, so that no pattern can hold the event loop."""

from __future__ import annotations

from collections.abc import Callable

import re2

from pyproxy.admin.pages import BadRequest

Matches = Callable[[str], bool]
_QUIET = re2.Options()
_QUIET.log_errors = False


def pattern(expression: str, *, whole: bool = False) -> Matches:
    """A test of one name: found anywhere in it, or the whole of it. Everything passes an empty expression.

    Raises BadRequest for what RE2 does not take.
    """
    if not expression:
        return lambda name: True
    try:
        compiled = re2.compile(expression, _QUIET)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadRequest(f"Invalid re2 regex: {text}") from error
    test = compiled.fullmatch if whole else compiled.search
    return lambda name: test(name) is not None
