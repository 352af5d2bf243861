"""Regular expressions that operators or clients write: RE2, as in Envoy, so that none can hold the event loop.

re2 is imported at the first pattern: most meshes have none, and it costs 2.4 MiB.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


class RegexError(ValueError):
    """RE2 does not take the pattern; the text is RE2's reason."""


@lru_cache(maxsize=4096)
def compile_regex(pattern: str, *, captures: bool = False) -> Any:
    """A compiled expression over bytes. Without `captures` a match costs half. Raises RegexError."""
    import re2

    options = re2.Options()
    options.log_errors = False  # what is wrong goes into the report, not to standard error
    options.never_capture = not captures
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0]
        raise RegexError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error


_SPECIAL = frozenset("\\.+*?()|[]{}^$")


def quote(text: str) -> str:
    """A text as a pattern that matches it alone, written as Go's regexp.QuoteMeta does."""
    return "".join("\\" + each if each in _SPECIAL else each for each in text)
