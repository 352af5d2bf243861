"""A JSON web token that was verified: what authorization rules and routes may ask about it. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NO_CLAIMS: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """One verified token."""

    principal: str = ""
    """`iss/sub`."""
    audiences: tuple[str, ...] = ()
    presenter: str = ""
    """`azp`."""
    claims: Mapping[str, object] = field(default_factory=lambda: _NO_CLAIMS)
    """The payload, nested as in the token. Claims that hold words between spaces (`scope`, `permission`, and those that
    the rule names) are lists already, as Envoy's jwt_authn leaves them in its metadata."""
