"""TLS that a proxy ends, on a Gateway's server or a Sidecar's ingress."""

from __future__ import annotations

from collections import Counter

from pyproxy.istio.networking.gateway import ServerTLSSettings
from pyproxy.istio.rules.place import Place

CIPHERS = frozenset(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    )
)
"""What BoringSSL has; Istio leaves out any other."""


def certificate_fields(tls: ServerTLSSettings) -> dict[str, object]:
    """The fields that say where certificates come from, by their JSON names, as far as they are set."""
    fields = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "tlsCertificates": tls.tls_certificates,
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
    }
    return {name: value for name, value in fields.items() if value}


def check_server_tls(tls: ServerTLSSettings | None, place: Place) -> None:
    """Versions and ciphers, and the certificates that each mode needs."""
    if tls is None:
        return
    if tls.min_protocol_version in ("TLSV1_0", "TLSV1_1") and not tls.cipher_suites:
        place.at("minProtocolVersion").warning("needs cipherSuites: the default ones are for TLS 1.2 and later")
    _check_ciphers(tls, place.at("cipherSuites"))
    mode = tls.mode or "PASSTHROUGH"
    given = certificate_fields(tls)
    if mode == "ISTIO_MUTUAL":
        for name in given:
            place.at(name).error("mode ISTIO_MUTUAL excludes it: the mesh's own certificates are used")
        return
    if mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH"):
        for name in [*given, *(["caCrl"] if tls.ca_crl else [])]:
            place.at(name).warning(f"has no effect with mode {mode}{'' if tls.mode else ', the default'}")
    _check_sources(tls, place)
    if mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"):
        if not tls.credential_name and not tls.credential_names:
            _check_certificates(tls, mode, place)
        _check_revocations(tls, mode, place)


def _check_ciphers(tls: ServerTLSSettings, place: Place) -> None:
    for index, cipher in enumerate(tls.cipher_suites):
        # Istio lets BoringSSL's operators such as + and [ pass without a look.
        if cipher not in ("", "ALL") and cipher[0].isalnum() and cipher not in CIPHERS:
            place.at(index).warning(f"{cipher} is not known and left out")
    for cipher, times in Counter(tls.cipher_suites).items():
        if times > 1:
            place.warning(f"{cipher} is there more than once")


def _check_sources(tls: ServerTLSSettings, place: Place) -> None:
    sources = [
        name
        for name, value in (
            ("serverCertificate and privateKey", tls.server_certificate and tls.private_key),
            ("credentialName", tls.credential_name),
            ("credentialNames", tls.credential_names),
            ("tlsCertificates", tls.tls_certificates),
        )
        if value
    ]
    if len(sources) > 1:
        place.error(f"{' and '.join(sources)} exclude each other: set one of them")
    for name, values in (("credentialNames", tls.credential_names), ("tlsCertificates", tls.tls_certificates)):
        if len(values) > 2:
            place.at(name).error(f"two at most, not {len(values)}")


def _check_certificates(tls: ServerTLSSettings, mode: str, place: Place) -> None:
    if mode != "SIMPLE" and not tls.ca_certificates:
        place.error(f"mode {mode} requires caCertificates, or credentialName")
    for index, pair in enumerate(tls.tls_certificates):
        _check_pair(pair.server_certificate, pair.private_key, mode, place.at("tlsCertificates", index))
    if not tls.tls_certificates:
        _check_pair(tls.server_certificate, tls.private_key, mode, place)


def _check_pair(certificate: str | None, key: str | None, mode: str, place: Place) -> None:
    if not certificate:
        place.error(f"mode {mode} requires serverCertificate, or credentialName")
    if not key:
        place.error(f"mode {mode} requires privateKey, or credentialName")


def _check_revocations(tls: ServerTLSSettings, mode: str, place: Place) -> None:
    if tls.ca_crl and tls.credential_name:
        place.at("caCrl").error("credentialName excludes it: put the list into the credential")
    elif tls.ca_crl and mode == "SIMPLE":
        place.at("caCrl").error("mode SIMPLE asks for no certificate that could be revoked")
