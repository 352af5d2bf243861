"""Keys: which kinds are made, what is read back, and that no reason quotes a key."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pyproxy.mtls.keys import KeyKind, digest_for, encode_key, new_key, parse_key, same_public


def test_ecdsa_on_p256_is_the_default_and_rsa_has_istios_size() -> None:
    key = new_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    other = new_key(KeyKind.RSA)
    assert isinstance(other, rsa.RSAPrivateKey)
    assert other.key_size == 2048


@pytest.mark.parametrize("kind", KeyKind)
def test_a_key_comes_back_as_it_was_written(kind: KeyKind) -> None:
    key = new_key(kind)
    assert encode_key(key).startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert same_public(parse_key(encode_key(key)).public_key(), key.public_key())
    assert not same_public(new_key(kind).public_key(), key.public_key())


def test_the_digest_is_as_strong_as_the_curve() -> None:
    curves = (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1())
    digests = [digest_for(ec.generate_private_key(curve)).name for curve in curves]
    assert digests == ["sha256", "sha384", "sha512"]
    assert digest_for(new_key(KeyKind.RSA)).name == "sha256"


def encrypted() -> bytes:
    return new_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def ed25519_key() -> bytes:
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", "is no private key in PEM"),
        (b"MIGHAgEAMBMGByqGSM49AgEGCCqG", "is no private key in PEM"),
        (encode_key(new_key())[:-60], "is no private key in PEM"),
        (encrypted(), "is encrypted"),
        (ed25519_key(), "neither an ECDSA nor an RSA key"),
    ],
)
def test_what_is_no_usable_key_is_said_without_quoting_it(pem: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_key(pem)
    assert caught.value.__cause__ is None
    assert "MIG" not in str(caught.value)
