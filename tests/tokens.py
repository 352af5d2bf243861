"""Keys made for tests, and tokens that they sign: right ones, and with one thing wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

_ALGORITHMS = get_default_algorithms()
_CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
SECRET = b"a secret of the issuer's, of 64 bytes, so that it is long enough"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and what the world sees of it."""

    private: Any
    algorithm: str
    key_id: str = ""

    def jwk(self, **more: Any) -> dict[str, Any]:
        """As a member of a key set; `alg` only when asked for."""
        public = self.private if isinstance(self.private, bytes) else self.private.public_key()
        found = dict(_ALGORITHMS[self.algorithm].to_jwk(public, as_dict=True))
        found.pop("key_ops", None)
        return found | ({"kid": self.key_id} if self.key_id else {}) | more


@cache
def signing_key(algorithm: str = "RS256", name: str = "first", *, key_id: str | None = None) -> SigningKey:
    """The key of that name; `key_id` is the name unless told otherwise."""
    return SigningKey(_private(algorithm, name), algorithm, name if key_id is None else key_id)


@cache
def _private(algorithm: str, name: str) -> Any:
    if algorithm.startswith("HS"):
        return SECRET
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    return rsa.generate_private_key(65537, 2048)


def key_set(*keys: SigningKey | Mapping[str, Any]) -> str:
    """A JSON Web Key Set."""
    return json.dumps({"keys": [key.jwk() if isinstance(key, SigningKey) else dict(key) for key in keys]})


def encoded(data: bytes | str | Mapping[str, Any] | list[Any]) -> str:
    """A section of a token."""
    raw = json.dumps(data, separators=(",", ":")) if isinstance(data, dict | list) else data
    return base64.urlsafe_b64encode(raw.encode() if isinstance(raw, str) else raw).decode().rstrip("=")


def token(
    claims: Mapping[str, Any] | str | bytes,
    key: SigningKey | None = None,
    *,
    header: Mapping[str, Any] | str | bytes | None = None,
    algorithm: str = "",
) -> str:
    """A signed token; `header` is added to the usual one, or replaces it when it is text."""
    key = key or signing_key()
    algorithm = algorithm or key.algorithm
    usual: dict[str, Any] = {"alg": algorithm, "typ": "JWT"} | ({"kid": key.key_id} if key.key_id else {})
    first = {**usual, **(header or {})} if header is None or isinstance(header, Mapping) else header
    first = {name: value for name, value in first.items() if value is not None} if isinstance(first, dict) else first
    signed = f"{encoded(first)}.{encoded(claims)}"  # type: ignore[arg-type]
    return f"{signed}.{encoded(_ALGORITHMS[algorithm].sign(signed.encode(), key.private))}"
