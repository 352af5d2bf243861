"""Private keys: made, written as PEM and read back. What the kinds of keys differ in is said here and nowhere else."""

from __future__ import annotations

from enum import Enum

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

RSA_BITS = 2048
"""Istio's, for workloads and for its self-signed root."""


class KeyKind(Enum):
    """What kind of key to make."""

    ECDSA = "ecdsa"
    RSA = "rsa"


def new_key(kind: KeyKind = KeyKind.ECDSA) -> PrivateKey:
    """A fresh key: ECDSA on P-256, or RSA with 2048 bits."""
    if kind is KeyKind.RSA:
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def kind_of(key: PublicKeyTypes) -> KeyKind:
    """The kind of key that a public one belongs to; those are the two that there are here."""
    return KeyKind.RSA if isinstance(key, rsa.RSAPublicKey) else KeyKind.ECDSA


def encode_key(key: PrivateKey) -> bytes:
    """PKCS #8 in PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def parse_key(pem: bytes) -> PrivateKey:
    """The key in a PEM file. Raises ValueError with a reason that holds nothing of the key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("is encrypted: write it without a password, as `openssl pkey` does") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no private key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("is neither an ECDSA nor an RSA key, and peers would not take it")
    return key


def digest_for(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """What to sign with: as long a digest as the curve is strong, SHA-256 with RSA. Source: Go crypto/x509."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def same_public(one: PublicKeyTypes, other: PublicKeyTypes) -> bool:
    """Whether two public keys are the same one."""
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return one.public_bytes(*form) == other.public_bytes(*form)
