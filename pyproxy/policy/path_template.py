"""Path templates of AuthorizationPolicy: `{*}` is one segment, `{**}` any text (Envoy uri_template_internal.cc)."""

from __future__ import annotations

from typing import Final

from pyproxy.core.regex import quote

ONE_SEGMENT: Final = "{*}"
ANY_TEXT: Final = "{**}"
_SEGMENT: Final = "[a-zA-Z0-9\\-._~%!$&'()*+,;=:@]+"  # RFC 3986 pchar (Envoy 1.40; older ones leave out * and =)
_TEXT: Final = "[a-zA-Z0-9\\-._~%!$&'()*+,;=:@/]*"
_OPERATORS: Final = {ONE_SEGMENT: _SEGMENT, ANY_TEXT: _TEXT, "*": _SEGMENT, "**": _TEXT}


def is_template(path: str) -> bool:
    """Whether a path holds an operator; one that does not is plain text, perhaps with `*` at an end."""
    return ONE_SEGMENT in path or ANY_TEXT in path


def template_pattern(path: str) -> str:
    """The regular expression (RE2) that a whole path must match, without its query."""
    segments = path.removeprefix("/").split("/")
    return "/" + "/".join(_OPERATORS.get(segment) or quote(segment) for segment in segments)
