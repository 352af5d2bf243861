"""A token's three sections → what it claims, before anybody has verified it. Source: RFC 7515, 7519.

The texts of refusal are Envoy's (source/common/jwt/status.cc), and so is the order in which things are looked at
(jwt.cc): the client is told of the first that is wrong. No text holds anything of the token.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from math import isinf
from typing import Any, Final, NoReturn

ALGORITHMS: Final = frozenset(
    {f"{family}{bits}" for family in ("ES", "HS", "RS", "PS") for bits in (256, 384, 512)} | {"EdDSA"}
)
LEEWAY: Final = 60
"""Seconds that clocks may differ by (Envoy kClockSkewInSecond)."""
DEEPEST: Final = 100
"""Lists and objects in one another (protobuf's limit)."""
NOT_A_TOKEN: Final = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
NOT_YET: Final = "Jwt not yet valid"
EXPIRED: Final = "Jwt is expired"
_LARGEST: Final = 2.0**64
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


class TokenError(ValueError):
    """A token is refused; the message is what its sender is told."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Only `KeySet.verify` tells whether it is true."""

    algorithm: str
    key_id: str
    issuer: str
    subject: str
    audiences: tuple[str, ...]
    not_before: int
    """Unix seconds; 0: at once."""
    expires: int
    """Unix seconds; 0: never."""
    claims: dict[str, Any]
    payload: bytes
    """The payload's section as it was sent, base64url."""
    signed: bytes
    """What the signature is of."""
    signature: bytes

    def check_time(self, now: float) -> None:
        """Raises TokenError outside the token's time; `now` is Unix seconds."""
        second = int(now)
        if second + LEEWAY < self.not_before:
            raise TokenError(NOT_YET)
        if self.expires and second > self.expires + LEEWAY:
            raise TokenError(EXPIRED)


def parse_token(text: bytes) -> Token:
    """Take a token apart. Raises TokenError."""
    sections = [section for section in text.split(b".") if section]
    if len(sections) != 3:
        raise TokenError(NOT_A_TOKEN)
    header = _object(sections[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenError("Jwt header [alg] field is required and must be a string")
    if algorithm not in ALGORITHMS:
        raise TokenError("Jwt header [alg] is not supported")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str):
        raise TokenError("Jwt header [kid] field is not a string")
    claims = _object(sections[1], "payload")
    issuer, subject = _text(claims, "iss"), _text(claims, "sub")
    _seconds(claims, "iat")
    not_before, expires = _seconds(claims, "nbf"), _seconds(claims, "exp")
    _text(claims, "jti")
    audiences = _audiences(claims)
    signature = _decode(sections[2])
    if signature is None:
        raise TokenError("Jwt signature is an invalid Base64url encoded")
    return Token(
        algorithm,
        key_id,
        issuer,
        subject,
        audiences,
        not_before,
        expires,
        claims,
        sections[1],
        sections[0] + b"." + sections[1],
        signature,
    )


def _object(section: bytes, name: str) -> dict[str, Any]:
    decoded = _decode(section)
    if decoded is None:
        raise TokenError(f"Jwt {name} is an invalid Base64url encoded")
    try:
        found = json.loads(
            decoded.decode(),
            parse_constant=_no_such_number,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_each_once,
        )
        if decoded.count(b"[") + decoded.count(b"{") > DEEPEST and _too_deep(found, DEEPEST):
            found = None
        elif b"\\u" in decoded:
            json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokenError(f"Jwt {name} is an invalid JSON")
    return found


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which JSON does not have


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name twice: two readers may choose differently")
    return found


def _too_deep(value: Any, deepest: int) -> bool:
    """Whether lists and objects stand in one another further than so."""
    if not isinstance(value, list | dict):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return deepest == 0 or any(_too_deep(each, deepest - 1) for each in inner)


def _finite(digits: str) -> float:
    found = float(digits)
    if isinf(found):
        raise ValueError("beyond what a number can hold")
    return found


def _whole(digits: str) -> int:
    _finite(digits)
    return int(digits)


def _decode(section: bytes) -> bytes | None:
    """Base64url with or without padding; None when it is none. White space does not count (absl escaping.cc)."""
    body = b"".join(section.split())
    plain = body.rstrip(b"=")
    padding = len(body) - len(plain)
    if plain.translate(None, _ALPHABET) or len(plain) % 4 == 1 or (padding and (len(body) % 4 or padding > 2)):
        return None
    return binascii.a2b_base64(plain.translate(_TO_STANDARD) + b"=" * (-len(plain) % 4))


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str):
        raise TokenError(f"Jwt payload [{name}] field is not a string")
    return value


def _seconds(claims: dict[str, Any], name: str) -> int:
    """A time; 0 when the token has none."""
    value = claims.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(f"Jwt payload [{name}] field is not an integer")
    if value < 0 or value >= _LARGEST:
        raise TokenError(f"Jwt payload [{name}] field is not a positive 64 bit integer")
    return int(value)


def _audiences(claims: dict[str, Any]) -> tuple[str, ...]:
    value = claims.get("aud", [])
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise TokenError("Jwt payload [aud] field is not a string or string list")
    return tuple(found)
