"""The mesh's trust domain and its aliases, as principals of rules name them. Source: Istio security/trustdomain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LOCAL = "cluster.local"
"""In a rule it stands for the mesh's own trust domain, whatever that is called."""


@dataclass(frozen=True, slots=True)
class TrustDomains:
    """Ours first, then its aliases."""

    all: tuple[str, ...]

    def of_principals(self, principals: Sequence[str]) -> tuple[str, ...]:
        """A principal in one of our trust domains stands for that in each of them."""
        return tuple(name for principal in principals for name in self._of_principal(principal))

    def expand(self, trust_domains: Sequence[str]) -> tuple[str, ...]:
        """One of our trust domains stands for all of them."""
        found = [name for each in trust_domains for name in (self.all if each in self.all else (each,))]
        return tuple(dict.fromkeys(found))

    def _of_principal(self, principal: str) -> tuple[str, ...]:
        parts = principal.split("/")
        named = parts[0]
        if len(parts) != 5 or named == "*":
            return (principal,)
        if named != _LOCAL and not any(_alike(named, ours) for ours in self.all):
            return (principal,)
        rest = "/".join(parts[1:])
        return tuple(dict.fromkeys(principal if _has_suffix(ours, named) else f"{ours}/{rest}" for ours in self.all))


def _alike(name: str, other: str) -> bool:
    """Equal, or one of them is a pattern that the other fits."""
    return (
        name == other
        or other == "*"
        or _has_prefix(name, other)
        or _has_prefix(other, name)
        or _has_suffix(name, other)
        or _has_suffix(other, name)
    )


def _has_prefix(name: str, pattern: str) -> bool:
    return pattern.endswith("*") and name.startswith(pattern[:-1])


def _has_suffix(name: str, pattern: str) -> bool:
    return pattern.startswith("*") and name.endswith(pattern[1:])
