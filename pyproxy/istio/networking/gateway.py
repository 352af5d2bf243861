"""Gateway and every message inside it (networking/v1alpha3/gateway.proto)."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import Flag, Many, Map, Message, UInt32


class Gateway(Message):
    """Servers at the edge of the mesh and the proxies that run them."""

    servers: Many[Server] = ()
    selector: Map[str] = {}


class Server(Message):
    """One port of a gateway, its hosts and its TLS."""

    port: Port
    bind: str | None = None
    hosts: Many[str]
    tls: ServerTLSSettings | None = None
    default_endpoint: str | None = None
    name: str | None = None


class Port(Message):
    """A port of a server."""

    number: UInt32
    protocol: str
    name: str
    target_port: UInt32 | None = None


TLSmode = Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]

TLSProtocol = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]


class TLSCertificate(Message):
    """A certificate with its key, as paths."""

    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None


class ServerTLSSettings(Message):
    """How a server ends TLS; `mode` unset is PASSTHROUGH."""

    https_redirect: Flag | None = None
    mode: TLSmode | None = None
    server_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    ca_crl: str | None = None
    credential_name: str | None = None
    credential_names: Many[str] = ()
    ca_cert_credential_name: str | None = None
    tls_certificates: Many[TLSCertificate] = ()
    subject_alt_names: Many[str] = ()
    verify_certificate_spki: Many[str] = ()
    verify_certificate_hash: Many[str] = ()
    min_protocol_version: TLSProtocol | None = None
    max_protocol_version: TLSProtocol | None = None
    cipher_suites: Many[str] = ()
    ecdh_curves: Many[str] = ()
    insecure_skip_verify: Flag | None = None
