"""Key sets: which keys a JSON Web Key Set gives, and whether one of them signed a token.

A key counts only for algorithms of its own kind: a public key is never taken for an HMAC secret, nor an RSA key for an
elliptic curve. What a set says of private keys is not read. Source: RFC 7517, 7518, 8037; Envoy source/common/jwt/
(jwks.cc, verify.cc): the same keys are taken, and the same text says why a token is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pyproxy.policy.jws import Token, TokenError

NO_VALID_KEYS: Final = "Jwks doesn't have any valid public key"
NO_KEY_FITS: Final = "Jwks doesn't have key to match kid or alg from Jwt"
NOT_SIGNED: Final = "Jwt verification fails"
WRONG_LENGTH: Final = "Jwt ED25519 signature is wrong length"

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_HMAC: Final = ("HS256", "HS384", "HS512")
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_PUBLIC_EXPONENTS: Final = (3, 65537)
_ED25519_SIGNATURE: Final = 64
MAX_KEYS: Final = 200
"""Keys of one set that are looked at: a set without `kid` has every token tried against every key."""


@lru_cache(maxsize=1)
def _algorithms() -> Mapping[str, Any]:
    """PyJWT's, imported at the first key: most meshes have no tokens, and it costs several MiB."""
    from jwt.algorithms import get_default_algorithms

    return get_default_algorithms()


class KeySetError(ValueError):
    """The text is no key set at all; the message says why and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, ready to verify with."""

    key_id: str
    algorithm: str
    """The only one that it may be used with; empty: any of `fits`."""
    fits: tuple[str, ...]
    """Algorithms for a key of its kind."""
    material: Any

    def signed(self, token: Token) -> bool:
        """Whether the token's signature is by this key. Raises TokenError when no key could have made it."""
        name = token.algorithm
        if name not in self.fits:
            return False
        if name == "EdDSA" and len(token.signature) != _ED25519_SIGNATURE:
            raise TokenError(WRONG_LENGTH)
        return bool(_algorithms()[name].verify(token.signed, self.material, token.signature))


class KeySet:
    """The keys of one issuer at one time."""

    __slots__ = ("keys",)

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        self.keys = keys

    def verify(self, token: Token) -> None:
        """Raises TokenError unless some key that fits by `kid` and `alg` made the signature."""
        if not self.keys:
            raise TokenError(NO_VALID_KEYS)
        found = False
        for key in self.keys:
            if token.key_id and key.key_id and token.key_id != key.key_id:
                continue
            if key.algorithm and key.algorithm != token.algorithm:
                continue
            found = True
            if key.signed(token):
                return
        raise TokenError(NOT_SIGNED if found else NO_KEY_FITS)


class _NobodysKeys(KeySet):
    """Stands in for keys that could not be had: as istiod's public key whose private half is thrown away."""

    def verify(self, token: Token) -> None:
        raise TokenError(NOT_SIGNED)


NOBODYS_KEYS: Final[KeySet] = _NobodysKeys()


def parse_key_set(text: str | bytes) -> KeySet:
    """The usable keys of a document; those that are broken or of unknown kind are left out. Raises KeySetError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeySetError("is not JSON") from error
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise KeySetError('has no list "keys"')
    found = (_key(each) for each in listed[:MAX_KEYS] if isinstance(each, dict))
    return KeySet(tuple(key for key in found if key is not None))


def _key(jwk: Mapping[str, Any]) -> Key | None:
    key_id, algorithm = jwk.get("kid", ""), jwk.get("alg", "")
    key_id = key_id if isinstance(key_id, str) else ""
    algorithm = algorithm if isinstance(algorithm, str) else ""
    public = _public_part(jwk, algorithm)
    if public is None:
        return None
    fits, members = public
    if algorithm and algorithm not in fits:
        return None
    from jwt.exceptions import PyJWTError

    try:
        material = _algorithms()[fits[0]].from_jwk(members)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if fits is _RSA and material.public_numbers().e not in _PUBLIC_EXPONENTS:
        return None
    return Key(key_id, algorithm, fits, material)


def _public_part(jwk: Mapping[str, Any], algorithm: str) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """The algorithms that a key is for, and its members without the private ones; None: no key that we know."""
    kind = jwk.get("kty")
    if kind == "RSA":
        return _RSA, _members(jwk, "kty", "n", "e")
    if kind == "EC":
        curves = {name: curve for curve, name in _CURVES.items()}
        curve = jwk.get("crv") or curves.get(algorithm or "ES256", "")
        name = _CURVES.get(curve) if isinstance(curve, str) else None
        return None if name is None else ((name,), _members(jwk, "kty", "x", "y") | {"crv": curve})
    if kind == "OKP":
        return (("EdDSA",), _members(jwk, "kty", "crv", "x")) if jwk.get("crv") == "Ed25519" else None
    return (_HMAC, _members(jwk, "kty", "k")) if kind == "oct" else None


def _members(jwk: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: jwk[name] for name in names if name in jwk}
