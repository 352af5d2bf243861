"""A certificate authority for tests: roots, intermediates and certificates with any names and dates, as PEM files."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)
REVIEWS = "spiffe://cluster.local/ns/default/sa/reviews"
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
PRODUCTPAGE = "spiffe://cluster.local/ns/default/sa/productpage"


@dataclass
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Key
    chain: list[x509.Certificate] = field(default_factory=list)
    """Intermediates that led to it."""

    @property
    def pem(self) -> bytes:
        """The certificate, then its intermediates."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in [self.certificate, *self.chain])

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class Authority:
    """A root, or an intermediate under another authority."""

    def __init__(
        self,
        name: str = "root",
        parent: Authority | None = None,
        *,
        days: float = 10,
        key: Key | None = None,
    ) -> None:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        builder = _builder(subject, parent.subject if parent else subject, key, -HOUR, datetime.timedelta(days=days))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        certificate = builder.sign(parent.own.key if parent else key, hashes.SHA256())
        self.subject = subject
        self.own = Issued(certificate, key)
        self._above: list[x509.Certificate] = [certificate, *parent._above] if parent else []
        self.root_pem: bytes = parent.root_pem if parent else self.own.pem

    def issue(
        self,
        *names: str,
        start: datetime.timedelta = -HOUR,
        end: datetime.timedelta = HOUR,
        subject: x509.Name | None = None,
        key: Key | None = None,
        authority: bool = False,
        use: x509.ExtendedKeyUsage | None = None,
    ) -> Issued:
        """A certificate with these subject alternative names: URIs, IP addresses, DNS names. Times are from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject or x509.Name([]), self.subject, key, start, end)
        if names:
            alternative = x509.SubjectAlternativeName([_general(each) for each in names])
            builder = builder.add_extension(alternative, critical=subject is None)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if use is not None:
            builder = builder.add_extension(use, critical=False)
        return Issued(builder.sign(self.own.key, hashes.SHA256()), key, self._above)

    def revoke(self, *revoked: Issued) -> bytes:
        """A revocation list, PEM."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject)
        builder = builder.last_update(now - HOUR).next_update(now + HOUR)
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(now - HOUR).build())
        return builder.sign(self.own.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, issued: Issued) -> Path:
        """A workload's folder with Istio's file names."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "root-cert.pem").write_bytes(self.root_pem)
        (folder / "cert-chain.pem").write_bytes(issued.pem)
        (folder / "key.pem").write_bytes(issued.key_pem)
        return folder

    def workload(self, folder: Path, identity: str = REVIEWS) -> Path:
        """A folder for a workload of this identity, good for an hour."""
        return self.write(folder, self.issue(identity))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: Key,
    start: datetime.timedelta,
    end: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
    )


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cluster.local")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
