"""One issuer's key and the tokens that it signed for many users, for a scenario where each request brings one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "issuer.bench"
USERS = 5000
"""Each with a token; they take turns. So many that each of two workers has forgotten one when it comes again."""
LIFE = timedelta(hours=12)
"""Longer than anybody measures."""


@dataclass(frozen=True)
class Issued:
    """What the load sends, and what proxies verify it with."""

    authorizations: list[str]
    """Values of the header."""
    jwks: str
    """The JSON Web Key Set with the public key."""


@cache
def issued() -> Issued:
    """RS256 with 2,048 bits, as identity providers sign; made once per run, in seconds."""
    key = rsa.generate_private_key(65537, 2048)
    claims = {"iss": ISSUER, "groups": ["readers", "writers"], "exp": datetime.now(UTC) + LIFE}
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    keys = {"keys": [{"kid": "bench", "kty": public["kty"], "n": public["n"], "e": public["e"]}]}
    tokens = [
        jwt.encode(claims | {"sub": f"user-{number}"}, key, algorithm="RS256", headers={"kid": "bench"})
        for number in range(USERS)
    ]
    return Issued([f"Bearer {token}" for token in tokens], json.dumps(keys))
