"""Header names as they come, to lower case and to what a codec does with them: one dict look-up a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Fate = int
"""What a codec does with a header; 0 is nothing: it is forwarded."""
FORWARD: Final[Fate] = 0
_MOST_LEARNED: Final = 2048
"""Names beyond these are looked up the slow way, so that a peer who invents names fills no memory."""


class NameTable:
    """Names of one kind of message. `known` is read directly on the hot path; a miss goes through `learn`."""

    __slots__ = ("_fates", "known")

    def __init__(self, fates: Mapping[bytes, Fate]) -> None:
        self._fates = fates
        self.known: dict[bytes, tuple[bytes, Fate]] = {name: (name, fate) for name, fate in fates.items()}

    def learn(self, name: bytes) -> tuple[bytes, Fate]:
        """Lower-case name and fate of a name in any case."""
        lower = name.lower()
        entry = lower, self._fates.get(lower, FORWARD)
        if len(self.known) < _MOST_LEARNED and len(name) <= 64:
            self.known[name] = entry
        return entry
