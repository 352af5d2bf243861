"""Certificates as they are found in files: read from PEM, whom they name, and whether a chain of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

from pyproxy.core.spiffe import parse_spiffe
from pyproxy.mtls.authority import Names
from pyproxy.mtls.facts import facts_of

Kind = TypeVar("Kind", bound=x509.ExtensionType)


def parse_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """Every certificate of a PEM file, at least one. Raises ValueError with a reason."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        raise ValueError("holds no certificate in PEM") from None


def encode_certificates(certificates: Sequence[Certificate]) -> bytes:
    """One after the other in PEM."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def uris_of(certificate: Certificate) -> tuple[str, ...]:
    """Its URI SANs."""
    sans = _extension(certificate, x509.SubjectAlternativeName)
    return tuple(sans.get_values_for_type(x509.UniformResourceIdentifier)) if sans is not None else ()


def names_of(certificate: Certificate) -> Names:
    """Whom it names. Of URIs only the first counts, and only in Istio's form."""
    sans = _extension(certificate, x509.SubjectAlternativeName)
    if sans is None:
        return Names()
    uris = uris_of(certificate)
    return Names(parse_spiffe(uris[0]) if uris else None, tuple(sans.get_values_for_type(x509.DNSName)))


def is_authority(certificate: Certificate) -> bool:
    """Whether it may sign others."""
    basic = _extension(certificate, x509.BasicConstraints)
    usage = _extension(certificate, x509.KeyUsage)
    return basic is not None and basic.ca and (usage is None or usage.key_cert_sign)


def self_signed(certificate: Certificate) -> bool:
    """Whether it is a root."""
    return certificate.subject == certificate.issuer and signed_by(certificate, certificate)


def signed_by(certificate: Certificate, signer: Certificate) -> bool:
    """Whether the signer's key signed it and the names agree."""
    try:
        certificate.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def serial_of(certificate: Certificate) -> str:
    """As Envoy and a running proxy show it."""
    return facts_of(certificate.public_bytes(Encoding.DER)).serial


def chain_fault(
    leaf: Certificate, intermediates: Sequence[Certificate], roots: Sequence[Certificate], now: datetime
) -> str:
    """Why a leaf does not lead to one of the roots; empty when it does.

    Signatures, dates and the right to sign; of an authority in the leaf's place, the right to sign leaves below it. TLS
    libraries look at more, and what this authority makes passes there too.
    """
    current, rest, below = leaf, list(intermediates), int(is_authority(leaf))
    while True:
        if fault := _date_fault(current, now):
            return fault
        root = next((each for each in roots if each == current or signed_by(current, each)), None)
        if root is not None:
            return _date_fault(root, now) or ("" if root == current else _signer_fault(root, below))
        signer = next((each for each in rest if signed_by(current, each)), None)
        if signer is None:
            return f"no certificate of {_title(current.issuer) or 'its issuer'} that signed it is there"
        if fault := _signer_fault(signer, below):
            return fault
        rest.remove(signer)
        current, below = signer, below + 1


def _signer_fault(signer: Certificate, below: int) -> str:
    """Why it may not sign what it signed, with so many authorities between it and the leaf."""
    if not is_authority(signer):
        return f"{_title(signer.subject) or 'the certificate'}, which signed it, is no authority"
    basic = _extension(signer, x509.BasicConstraints)
    if basic is not None and basic.path_length is not None and below > basic.path_length:
        return f"{_title(signer.subject)} allows no more than {basic.path_length} authorities below itself"
    return ""


def _date_fault(certificate: Certificate, now: datetime) -> str:
    title = _title(certificate.subject)
    whose = f"{title}: " if title else ""
    if now >= certificate.not_valid_after_utc:
        return f"{whose}expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"{whose}not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC: look at the clock"
    return ""


def _title(name: x509.Name) -> str:
    return name.rfc4514_string()


def _extension(certificate: Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
