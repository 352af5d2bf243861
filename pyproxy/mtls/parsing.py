"""A certificate's bytes to its facts."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pyproxy.mtls.facts import CertificateFacts

_NAMES = {NameOID.EMAIL_ADDRESS: "emailAddress", NameOID.SERIAL_NUMBER: "serialNumber"}
"""As OpenSSL prints them in RFC 2253 form, where cryptography would print the number."""
_LEAST_MODULUS = 2048
_LEAST_CURVE = 224
_LEAST_DIGEST = 28
"""Bytes; bits the others. All of them are 112 bits of security, OpenSSL's level 2."""
_UNREADABLE = (
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    TypeError,  # a name whose bytes are of another kind than its attribute
)
"""What cryptography raises beside ValueError."""


def parse_facts(der: bytes) -> CertificateFacts:
    """Raises ValueError when it is no certificate, or one that cryptography cannot read."""
    try:
        return _facts(x509.load_der_x509_certificate(der), der)
    except _UNREADABLE as error:
        raise ValueError(str(error)) from error


def _facts(certificate: x509.Certificate, der: bytes) -> CertificateFacts:
    uris, names, addresses, every = _alternative_names(certificate)
    key = certificate.public_key()
    digest = certificate.signature_hash_algorithm
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return CertificateFacts(
        subject=_text(certificate.subject),
        issuer=_text(certificate.issuer),
        serial=_hexadecimal(certificate.serial_number),
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        uri_sans=uris,
        dns_sans=names,
        ip_sans=addresses,
        sans=every,
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=hashlib.sha256(spki).hexdigest(),
        weak_key=_is_weak(key),
        weak_digest=digest is not None and digest.digest_size < _LEAST_DIGEST,
        der=der,
    )


def _is_weak(key: CertificatePublicKeyTypes) -> bool:
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):
        return key.key_size < _LEAST_MODULUS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < _LEAST_CURVE


def _alternative_names(
    certificate: x509.Certificate,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), (), (), ()
    uris = tuple(found.get_values_for_type(x509.UniformResourceIdentifier))
    names = tuple(found.get_values_for_type(x509.DNSName))
    addresses = tuple(map(str, found.get_values_for_type(x509.IPAddress)))
    every = tuple(str(each.value) for each in found if isinstance(each, _SHOWN))
    return uris, names, addresses, every


_SHOWN = (x509.UniformResourceIdentifier, x509.DNSName, x509.IPAddress, x509.RFC822Name)


def _text(name: x509.Name) -> str:
    """RFC 2253, what is not ASCII escaped byte by byte as OpenSSL does."""
    text = name.rfc4514_string(_NAMES)
    if text.isascii():
        return text
    return "".join(each if each.isascii() else "".join(f"\\{byte:02X}" for byte in each.encode()) for each in text)


def _hexadecimal(number: int) -> str:
    """Whole bytes, as BN_bn2hex prints them."""
    digits = f"{number:x}"
    return digits if len(digits) % 2 == 0 or number == 0 else "0" + digits
