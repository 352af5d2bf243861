"""Times as Envoy's START_TIME prints them: strftime plus epoch seconds and sub-second digits.

Source: Envoy common/common/utility.cc (DateFormatter, AccessLogDateTimeFormatter), compared in tests/differential.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

_NEWLINE = re.compile(r"\n|%[-_0^#]*[1-9]*[EO]?n")
_OWN = re.compile(r"%(?:s|(?P<digits>[1-9]?)f|E(?P<precision>[1-9])(?P<form>[Sf]))")
_ZONE = re.compile(r"(?<!%)%Z")
_EPOCH = 0
"""Stands for `%s` among the pieces; 1 to 9 stand for that many sub-second digits."""


def compile_timestamp(text: str, *, local: bool = False) -> Callable[[float], bytes]:
    """Unix seconds → text, in UTC or local time. Empty `text` is ISO 8601 with milliseconds.

    Raises ValueError for a format that would print a newline.
    """
    if _NEWLINE.search(text):
        raise ValueError("a time format must not contain a newline")
    if not local:
        text = _ZONE.sub("UTC", text)  # Python says GMT
    pieces = _pieces(text or ("%Y-%m-%dT%H:%M:%S.%3f%z" if local else "%Y-%m-%dT%H:%M:%S.%3fZ"))
    cached_second = -1
    cached: list[str | int] = []

    def render(at: float) -> bytes:
        nonlocal cached_second, cached
        second, micros = divmod(round(at * 1e6), 1_000_000)
        if second != cached_second:  # strftime costs microseconds: once a second is enough
            cached = _whole_seconds(pieces, second, local=local)
            cached_second = second
        fraction = f"{micros:06d}000"
        return "".join([piece if isinstance(piece, str) else fraction[:piece] for piece in cached]).encode()

    return render


def _pieces(text: str) -> list[str | int]:
    """strftime texts, and numbers as `_EPOCH` says."""
    pieces: list[str | int] = []
    position = 0
    for found in _OWN.finditer(text):
        pieces.append(text[position : found.start()])
        position = found.end()
        if found["form"] == "S":
            pieces.append("%S.")
        if found["precision"]:
            pieces.append(int(found["precision"]))
        else:
            pieces.append(_EPOCH if found["digits"] is None else int(found["digits"] or 9))
    return [piece for piece in [*pieces, text[position:]] if piece != ""]


def _whole_seconds(pieces: list[str | int], second: int, *, local: bool) -> list[str | int]:
    when = time.localtime(second) if local else time.gmtime(second)
    return [
        time.strftime(piece, when) if isinstance(piece, str) else str(second) if piece == _EPOCH else piece
        for piece in pieces
    ]
