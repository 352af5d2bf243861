"""What is asked of a TLS connection, on either side, and what became known about the peer of one. Data alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class MtlsMode(Enum):
    """What an inbound port accepts (PeerAuthentication)."""

    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class ClientTlsMode(Enum):
    """How connections to a cluster are secured (DestinationRule `tls.mode`); plaintext has no `ClientTls` at all."""

    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ServerTlsMode(Enum):
    """What a Gateway's server does with TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"


@dataclass(frozen=True, slots=True)
class TlsParameters:
    """Protocol versions (`TLSv1_2`, `TLSv1_3`; empty: the default, 1.2 to 1.3) and OpenSSL cipher names."""

    min_version: str = ""
    max_version: str = ""
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS towards a cluster's endpoints."""

    mode: ClientTlsMode
    automatic: bool = False
    """Auto mutual TLS: for endpoints with `mutual_tls` alone, plaintext for the rest."""
    sni: str = ""
    """Empty: the request's host for SIMPLE and MUTUAL (auto SNI)."""
    subject_alt_names: tuple[str, ...] = ()
    """One of these, exactly, must be in the server's certificate; empty: see `auto_san`."""
    auto_san: bool = False
    """Without `subject_alt_names`: the certificate must name the SNI or the request's host."""
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    """Empty: the system's for SIMPLE and MUTUAL; ISTIO_MUTUAL always has the mesh's."""
    crl_file: str = ""
    insecure_skip_verify: bool = False
    alpn: tuple[str, ...] = ()
    parameters: TlsParameters = TlsParameters()


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS on a Gateway's server."""

    mode: ServerTlsMode
    hosts: tuple[str, ...] = ("*",)
    """SNI that this server answers, wildcards among them."""
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    crl_file: str = ""
    subject_alt_names: tuple[str, ...] = ()
    certificate_spki: tuple[str, ...] = ()
    """verifyCertificateSpki, base64."""
    certificate_hashes: tuple[str, ...] = ()
    """verifyCertificateHash, hexadecimal."""
    parameters: TlsParameters = TlsParameters()
    more_certificates: tuple[tuple[str, str], ...] = ()
    """Certificate and key files beside the first, of another kind of key."""
    accept_untrusted: bool = False
    """insecureSkipVerify: a client's certificate is looked at, and whoever signed it may connect."""
    route_table: str = ""
    """Of a server that ends HTTPS: the table of its requests. Empty: `Snapshot.tcp_tables` knows the cluster by SNI."""


@dataclass(frozen=True, slots=True)
class MeshTls:
    """Mutual TLS between this mesh's proxies."""

    trust_domains: tuple[str, ...] = ("cluster.local",)
    """Ours and its aliases: a peer's identity must be in one of them."""
    parameters: TlsParameters = TlsParameters()
    """MeshConfig meshMTLS."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a TLS connection; of several names in the certificate, those Envoy shows first."""

    version: str = ""
    """`TLSv1.3`."""
    cipher: str = ""
    alpn: str = ""
    """The protocol that was agreed on."""
    server_name: str = ""
    """SNI."""
    presented: bool = False
    """The peer showed a certificate (which then passed)."""
    uri_sans: tuple[str, ...] = ()
    dns_sans: tuple[str, ...] = ()
    subject: str = ""
    """RFC 2253."""
    issuer: str = ""
    serial: str = ""
    """Lower-case hexadecimal."""
    sha256: str = ""
    """Of the certificate, lower-case hexadecimal."""
    spki_sha256: str = ""
    certificate: bytes = b""
    """DER."""
    local_uri_san: str = ""
    """The first URI SAN of the certificate that we showed."""
    local_subject: str = ""
    resumed: bool = False

    @property
    def uri_san(self) -> str:
        """The SPIFFE identity; empty when there is none."""
        return self.uri_sans[0] if self.uri_sans else ""

    @property
    def mutual(self) -> bool:
        """What Istio's metrics call mutual_tls: both certificates have a URI SAN."""
        return bool(self.uri_sans and self.local_uri_san)
