"""What RequestAuthentication says of tokens, ready to be asked: issuers, audiences, places, keys. Data alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pyproxy.policy.claims import ALWAYS_LISTS
from pyproxy.policy.token_places import DEFAULT_PLACES, TokenPlaces

_SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a rule's keys come from: `inline` if set, else `uri`, else what the issuer's discovery document names."""

    issuer: str = ""
    uri: str = ""
    """http, https, or `file:///path`."""
    inline: str = field(default="", repr=False)
    timeout: float = 5.0
    """Seconds for one fetch."""


@dataclass(frozen=True, slots=True)
class TokenRule:
    """One jwtRule."""

    issuer: str
    """Empty: any."""
    keys: KeySource
    audiences: frozenset[str] = frozenset()
    """As `bare_audience` leaves them; empty: any."""
    places: TokenPlaces = DEFAULT_PLACES
    forward: bool = False
    """The token stays in the request."""
    payload_header: bytes = b""
    """Gets the payload as it was sent; empty: none."""
    claim_headers: tuple[tuple[bytes, tuple[str, ...]], ...] = ()
    """Header name in lower case, and the way to the claim."""
    space_delimited: frozenset[str] = ALWAYS_LISTS


def bare_audience(audience: str) -> str:
    """Without `http://` or `https://` and the last slash: by these no two audiences differ (check_audience.cc)."""
    for scheme in _SCHEMES:
        if audience.startswith(scheme):
            audience = audience[len(scheme) :]
            break
    return audience.removesuffix("/")
