"""What a certificate says, read once: names, dates, digests, in the form in which Envoy shows them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_KNOWN = 1024
"""Certificates whose facts are kept, the last used ones: a peer that comes again costs a look-up."""


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
    weak_key: bool
    """Its key has less than 112 bits of security: RSA below 2048 bits, curves below 224."""
    weak_digest: bool
    """It is signed with a digest of less: SHA-1, MD5."""
    der: bytes


@lru_cache(_KNOWN)
def facts_of(der: bytes) -> CertificateFacts:
    """The facts of a certificate. Raises ValueError when it is none."""
    from pyproxy.mtls.parsing import parse_facts  # with it come 10 MB, which who has no certificate need not pay

    return parse_facts(der)


def facts_if_readable(der: bytes) -> CertificateFacts | None:
    """None: OpenSSL reads what cryptography does not, names that are no names and the like."""
    try:
        return facts_of(der) if der else None
    except ValueError:
        return None
