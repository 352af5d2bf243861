"""The key sets that verify tokens now, by where they come from. Whoever fetches puts them here; requests only look.

A source whose keys were never had verifies nothing: its tokens are refused, as istiod sees to with a key of which
nobody has the private half (pilot/pkg/model/jwks_resolver.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from pyproxy.policy.jwks import NOBODYS_KEYS, KeySet, KeySetError, parse_key_set
from pyproxy.policy.token_rules import KeySource


class KeyRing:
    """The key sets of one process."""

    def __init__(self) -> None:
        self._sets: dict[KeySource, KeySet] = {}
        self._texts: dict[KeySource, bytes] = {}
        self._on_change: Callable[[KeySource, bytes], None] | None = None

    def key_set(self, source: KeySource) -> KeySet:
        """What verifies the tokens of a source: always the same object until its keys change."""
        if source.inline:
            return _inline(source.inline)
        return self._sets.get(source, NOBODYS_KEYS)

    def put(self, source: KeySource, text: bytes) -> bool:
        """New keys of a source; whether they differ from those it had. Raises KeySetError: then those stay."""
        if self._texts.get(source) == text:
            return False
        self._sets[source] = parse_key_set(text)
        self._texts[source] = text
        if self._on_change is not None:
            self._on_change(source, text)
        return True

    def keep_only(self, sources: Iterable[KeySource]) -> None:
        """Forget the keys of all other sources: no rule names them any more."""
        wanted = set(sources)
        for source in self._sets.keys() - wanted:
            del self._sets[source], self._texts[source]

    def on_change(self, told: Callable[[KeySource, bytes], None]) -> None:
        """Who else is to hear of new keys; there is one."""
        self._on_change = told

    def items(self) -> Iterable[tuple[KeySource, bytes]]:
        """What was fetched, and from where."""
        return self._texts.items()


@lru_cache(maxsize=256)
def _inline(text: str) -> KeySet:
    """A document's own keys; one without a usable key verifies nothing, as in Envoy."""
    try:
        return parse_key_set(text)
    except KeySetError:
        return KeySet()
