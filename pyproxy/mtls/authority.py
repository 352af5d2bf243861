"""A certificate authority in Istio's manner: a root, intermediates, and the certificates that they sign for workloads.

Reads no file and no clock. Source: Istio security/pkg/pki/util/generate_cert.go, security/pkg/cmd/constants.go; SPIFFE
X509-SVID sections 4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.x509 import Certificate
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.keys import PrivateKey, PublicKey, digest_for

CLOCK_SKEW: Final = timedelta(minutes=2)
"""How long before it was made a certificate is valid: clocks differ."""
ROOT_LIFETIME: Final = timedelta(days=3650)
WORKLOAD_LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a certificate names: a workload's identity, DNS names of a server, or both."""

    identity: SpiffeId | None = None
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that may sign others, with its key."""

    certificate: Certificate
    key: PrivateKey
    intermediates: tuple[Certificate, ...]
    """What a workload shows behind its own certificate: from the signer up, roots left out."""
    roots: tuple[Certificate, ...]
    """What workloads trust: several while one root takes the place of another."""


def make_root(key: PrivateKey, organization: str, now: datetime, lifetime: timedelta = ROOT_LIFETIME) -> Authority:
    """A new self-signed root; Istio writes the trust domain for the organization."""
    name = _authority_name(organization, "Root CA")
    certificate = _authority_builder(name, key.public_key(), now, now + lifetime, path_length=None)
    root = certificate.issuer_name(name).sign(key, digest_for(key))
    return Authority(root, key, (), (root,))


def make_intermediate(
    parent: Authority, key: PrivateKey, organization: str, now: datetime, lifetime: timedelta = ROOT_LIFETIME
) -> Authority:
    """A new authority under `parent`, which can sign workloads and no further authority. It ends no later than its
    parent. Raises ValueError when the parent has expired."""
    name = _authority_name(organization, "Intermediate CA")
    ends = _end(parent, now, lifetime)
    certificate = _signed(parent, _authority_builder(name, key.public_key(), now, ends, path_length=0))
    return Authority(certificate, key, (certificate, *parent.intermediates), parent.roots)


def sign_workload(
    authority: Authority, key: PublicKey, names: Names, now: datetime, lifetime: timedelta = WORKLOAD_LIFETIME
) -> Certificate:
    """A workload's certificate: no subject, the names in a critical SAN, for both ends of a connection.

    It ends no later than its signer. Raises ValueError when the signer has expired or there is no name.
    """
    sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names.dns]
    if names.identity is not None:
        sans.insert(0, x509.UniformResourceIdentifier(str(names.identity)))
    if not sans:
        raise ValueError("a certificate needs an identity or a DNS name")
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    if names.identity is not None:
        purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    builder = (
        _builder(x509.Name([]), key, now, _end(authority, now, lifetime))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(sans), critical=True)  # RFC 5280, 4.2.1.6: there is no subject
    )
    return _signed(authority, builder)


def _authority_name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]),  # RFC 5280: no longer
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _authority_builder(
    name: x509.Name, key: PublicKey, now: datetime, ends: datetime, path_length: int | None
) -> x509.CertificateBuilder:
    return (
        _builder(name, key, now, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _builder(subject: x509.Name, key: PublicKey, now: datetime, ends: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(ends)
    )


def _signed(authority: Authority, builder: x509.CertificateBuilder) -> Certificate:
    builder = builder.issuer_name(authority.certificate.subject)
    return builder.add_extension(_key_of(authority.certificate), critical=False).sign(
        authority.key, digest_for(authority.key)
    )


def _key_of(signer: Certificate) -> x509.AuthorityKeyIdentifier:
    """Which of the signer's keys it was: as the signer names it, else by digest."""
    try:
        named = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier(
            x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest, None, None
        )
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _end(signer: Authority, now: datetime, lifetime: timedelta) -> datetime:
    latest = min(each.not_valid_after_utc for each in (signer.certificate, *signer.intermediates))
    if now >= latest:
        raise ValueError(f"the authority expired at {latest:%Y-%m-%d %H:%M} UTC")
    return min(now + lifetime, latest)


def _usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_encipherment=key_encipherment,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
