"""What a certificate says, read once: names, dates, digests, in the form in which Envoy shows them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

_KNOWN = 1024
"""Certificates whose facts are kept, the last used ones: a peer that comes again costs a look-up."""
_NAMES = {NameOID.EMAIL_ADDRESS: "emailAddress", NameOID.SERIAL_NUMBER: "serialNumber"}
"""As OpenSSL prints them in RFC 2253 form, where cryptography would print the number."""


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. Times are Unix seconds, digests and the serial number lower-case hexadecimal."""

    subject: str
    """RFC 2253; `issuer` too."""
    issuer: str
    serial: str
    not_before: float
    not_after: float
    uri_sans: tuple[str, ...]
    dns_sans: tuple[str, ...]
    ip_sans: tuple[str, ...]
    sans: tuple[str, ...]
    """All of them, in the certificate's order."""
    sha256: str
    spki_sha256: str
    der: bytes


@lru_cache(_KNOWN)
def facts_of(der: bytes) -> CertificateFacts:
    """The facts of a certificate. Raises ValueError when it is none."""
    certificate = x509.load_der_x509_certificate(der)
    uris, names, addresses, every = _alternative_names(certificate)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
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
        der=der,
    )


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
