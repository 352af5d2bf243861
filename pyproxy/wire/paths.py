"""Path normalisation before anything else looks at a path. Source: Envoy path_utility.cc; Istio pathNormalization."""

from __future__ import annotations

import re

_NOTABLE = re.compile(rb"[%\\#]|/\.")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SLASHES = re.compile(rb"//+")
_ESCAPED_SLASH = re.compile(rb"%(2[fF]|5[cC])")


def normalize(target: bytes, *, merge_slashes: bool = False, decode_slashes: bool = False) -> bytes | None:
    """The target with its path in canonical form, the query untouched; None where Envoy answers 400."""
    if not _NOTABLE.search(target) and not (merge_slashes and b"//" in target):
        return target
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
    """Unreserved escapes decoded, backslashes turned, dot segments resolved and clamped at the root."""
    if b"%00" in path:
        return None
    path = _ESCAPE.sub(_decode_unreserved, path).replace(b"\\", b"/")
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


def _decode_unreserved(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else found[0]
