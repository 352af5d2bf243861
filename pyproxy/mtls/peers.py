"""Who is at the other end of a TLS connection, and whether that is who it should be.

OpenSSL has verified the chain; names are asked here. A verdict is None, or why not in Envoy's words. A session that is
resumed brings its certificate along and is asked the same; and for its date, which OpenSSL does not look at then.
Source: Envoy cert_validator/default_validator.cc, tls/utility.cc (dnsNameMatch).
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Final

from pyproxy.core.spiffe import trust_domain_of
from pyproxy.core.tls import ClientTls, MeshTls, Peer, ServerTls
from pyproxy.mtls.channel import TlsChannel
from pyproxy.mtls.facts import CertificateFacts, facts_if_readable
from pyproxy.mtls.failure import refusal_text

_KNOWN: Final = 1024
"""Peers that are remembered, the last seen ones."""
_BROKEN: Final = refusal_text("the certificate cannot be read")
EXPIRED: Final = refusal_text("X509_verify_cert: certificate verification error at depth 0: certificate has expired")


def peer_of(channel: TlsChannel) -> Peer:
    """The facts of a connection whose handshake is done. A certificate that was seen before costs a look-up."""
    tls, context = channel.tls, channel.context
    return _peer(
        tls.certificate,
        tls.version,
        tls.cipher,
        tls.alpn,
        channel.server_name,
        context.local_uri_san,
        context.local_subject,
        tls.resumed,
    )


@lru_cache(_KNOWN)
def _peer(
    der: bytes,
    version: str,
    cipher: str,
    alpn: str,
    server_name: str,
    local_uri_san: str,
    local_subject: str,
    resumed: bool,
) -> Peer:
    facts = facts_if_readable(der)
    return Peer(
        version=version,
        cipher=cipher,
        alpn=alpn,
        server_name=server_name,
        presented=bool(der),
        uri_sans=facts.uri_sans if facts else (),
        dns_sans=facts.dns_sans if facts else (),
        subject=facts.subject if facts else "",
        issuer=facts.issuer if facts else "",
        serial=facts.serial if facts else "",
        sha256=facts.sha256 if facts else "",
        spki_sha256=facts.spki_sha256 if facts else "",
        certificate=der,
        local_uri_san=local_uri_san,
        local_subject=local_subject,
        resumed=resumed,
    )


@lru_cache(_KNOWN)
def showing(certificate: bytes) -> Peer:
    """Who shows a certificate (DER), of whom no more is known yet."""
    return Peer(presented=True, certificate=certificate)


def verify_client(peer: Peer, mesh: MeshTls, now: float) -> str | None:
    """A client within the mesh: its identity must be in a trust domain of ours."""
    facts = facts_if_readable(peer.certificate)
    if facts is None:
        return _BROKEN
    for uri in facts.uri_sans:
        if trust_domain_of(uri) in mesh.trust_domains:
            return _dated(peer, facts, now)
    return _no_match(facts)


def verify_gateway_client(peer: Peer, server: ServerTls, now: float) -> str | None:
    """A client of a Gateway's server, if it showed a certificate: names, then its digest or its key's."""
    if not peer.presented:
        return None  # OpenSSL has asked for one where one is needed
    facts = facts_if_readable(peer.certificate)
    if facts is None:
        return _BROKEN
    names = server.subject_alt_names
    if names and not any(_names(facts, name) for name in names):
        return _no_match(facts)
    if server.certificate_hashes or server.certificate_spki:
        hashes = {each.replace(":", "").lower() for each in server.certificate_hashes}
        key = base64.b64encode(bytes.fromhex(facts.spki_sha256)).decode()
        if facts.sha256 not in hashes and key not in server.certificate_spki:
            return refusal_text("cert hash and spki")
    return _dated(peer, facts, now)


def verify_server(peer: Peer, tls: ClientTls, host: str, now: float) -> str | None:
    """A cluster's endpoint; `host` is the request's, without port, for clusters that take their names from it."""
    if tls.insecure_skip_verify:
        return None
    facts = facts_if_readable(peer.certificate)
    if facts is None:
        return _BROKEN
    if tls.subject_alt_names:
        if not any(_names(facts, name) for name in tls.subject_alt_names):
            return _no_match(facts)
    elif tls.auto_san and host and not _names(facts, host):
        return refusal_text(f"verify SAN list, expected SANs: [{host}], certificate SANs: [{', '.join(facts.sans)}]")
    return _dated(peer, facts, now)


def _names(facts: CertificateFacts, name: str) -> bool:
    """Exactly, or a DNS name by a wildcard in the certificate."""
    return name in facts.sans or any(_dns_fits(name.lower(), san.lower()) for san in facts.dns_sans)


def _dns_fits(name: str, pattern: str) -> bool:
    """One `*` within the first label and nowhere else; not in an internationalised one."""
    if name == pattern:
        return True
    label, _, rest = name.partition(".")
    first, _, pattern_rest = pattern.partition(".")
    if not rest or rest != pattern_rest or first.count("*") != 1 or first.startswith("xn--"):
        return False
    before, _, after = first.partition("*")
    return len(label) >= len(before) + len(after) and label.startswith(before) and label.endswith(after)


def _no_match(facts: CertificateFacts) -> str:
    return refusal_text(f"SAN matcher, certificate SANs are [{', '.join(facts.sans)}]")


def _dated(peer: Peer, facts: CertificateFacts, now: float) -> str | None:
    return EXPIRED if peer.resumed and facts.not_after < now else None
