"""Path normalisation before anything else looks at a path. Source: Envoy path_utility.cc; Istio pathNormalization."""

from __future__ import annotations

import re
from typing import Final

PLAIN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@/[]"
"""Characters that stay in a path as they are."""
_NOT_PLAIN: Final = re.compile(rb"[^%%%b]" % re.escape(PLAIN))
_DOTS_WITH_PARAMETERS: Final = re.compile(rb"/(\.\.?);[^/]*")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")
_BARE_PERCENT: Final = b"\0"
"""Stands for a `%` that begins no escape, until it is known that it begins none afterwards either."""
_NEW_ESCAPE: Final = re.compile(rb"\0(?=[0-9A-Fa-f]{2})")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SLASHES: Final = re.compile(rb"//+")
_ESCAPED_SLASH: Final = re.compile(rb"%(2[fF]|5[cC])")


def normalize(target: bytes, *, merge_slashes: bool = False, decode_slashes: bool = False) -> bytes | None:
    """The target with its path in canonical form, the query untouched; None where Envoy answers 400."""
    if b"#" in target:
        return None
    path, mark, query = target.partition(b"?")
    if decode_slashes:
        path = _ESCAPED_SLASH.sub(lambda found: b"/" if found[1][:1] == b"2" else b"\\", path)
    canonical = _canonical(path)
    if canonical is None:
        return None
    if merge_slashes:
        canonical = _SLASHES.sub(b"/", canonical)
    return canonical + mark + query


def _canonical(path: bytes) -> bytes | None:
    """Unreserved escapes decoded, others made, backslashes turned, dot segments resolved and clamped at the root."""
    path = _DOTS_WITH_PARAMETERS.sub(rb"/\1", path)
    if b"%00" in path:
        return None
    path = _ESCAPE.sub(_decode_unreserved, path)
    path = _NEW_ESCAPE.sub(b"%25", path).replace(_BARE_PERCENT, b"%").replace(b"\\", b"/")
    path = _NOT_PLAIN.sub(_escape, path)
    if b"/." not in path:
        return path
    segments: list[bytes] = []
    parts = path.split(b"/")[1:]
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if part == b".":
            if index == last:
                segments.append(b"")
        elif part == b"..":
            if segments:
                segments.pop()
            if index == last:
                segments.append(b"")
        else:
            segments.append(part)
    return b"/" + b"/".join(segments)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _decode_unreserved(found: re.Match[bytes]) -> bytes:
    if not found[1]:
        return _BARE_PERCENT
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else found[0]
