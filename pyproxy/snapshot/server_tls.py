"""TLS that a Gateway's server ends: its certificates, and what it asks of clients.

Source: Istio pilot/pkg/networking/core/listener.go (BuildListenerTLSContext), security/model/authentication.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyproxy.core.tls import ServerTls, ServerTlsMode, TlsParameters
from pyproxy.istio.networking.gateway import ServerTLSSettings
from pyproxy.snapshot.credentials import Credential, Credentials
from pyproxy.snapshot.mesh import MeshSettings, known_ciphers

_VERSIONS = {f"TLSV1_{minor}": f"TLSv1_{minor}" for minor in range(4)}
_VERIFYING = (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL)
PASSING = (ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH)
"""TLS goes on to the destination as it came."""


def mode_of(tls: ServerTLSSettings) -> ServerTlsMode:
    """What a server does with TLS; PASSTHROUGH when it does not say."""
    return ServerTlsMode(tls.mode or "PASSTHROUGH")


def compile_server_tls(
    tls: ServerTLSSettings, hosts: tuple[str, ...], route_table: str, credentials: Credentials, mesh: MeshSettings
) -> ServerTls:
    """TLS of one server that ends it. `hosts` are its server names; `route_table` as in ServerTls."""
    mode = mode_of(tls)
    files = _files(tls, mode, credentials)
    (certificate, key), *more = files.pairs or (("", ""),)
    return ServerTls(
        mode,
        hosts,
        certificate_file=certificate,
        key_file=key,
        ca_file=files.ca,
        crl_file=files.crl,
        subject_alt_names=tls.subject_alt_names,
        certificate_spki=tls.verify_certificate_spki,
        certificate_hashes=tuple(each.replace(":", "").lower() for each in tls.verify_certificate_hash),
        parameters=TlsParameters() if mode is ServerTlsMode.ISTIO_MUTUAL else _parameters(tls, mesh),
        more_certificates=tuple(more),
        accept_untrusted=bool(tls.insecure_skip_verify),
        route_table=route_table,
    )


@dataclass(frozen=True, slots=True)
class _Files:
    """Certificates with their keys, and what clients' certificates are held against."""

    pairs: tuple[tuple[str, str], ...] = ()
    ca: str = ""
    crl: str = ""


def _files(tls: ServerTLSSettings, mode: ServerTlsMode, credentials: Credentials) -> _Files:
    """ISTIO_MUTUAL has the workload's own; of several credentials the first brings the authority."""
    if mode is ServerTlsMode.ISTIO_MUTUAL:
        return _Files(crl=tls.ca_crl or "")
    verifies = mode in _VERIFYING
    named = named_credentials(tls, credentials)
    if named:
        authority = authority_of(tls, credentials)
        pairs = tuple((each.certificate, each.key) for each in named)
        return _Files(pairs, authority.ca if verifies else "", authority.crl if verifies else "")
    pairs = tuple((each.server_certificate or "", each.private_key or "") for each in tls.tls_certificates)
    pairs = pairs or ((tls.server_certificate or "", tls.private_key or ""),)
    return _Files(pairs, (tls.ca_certificates or "") if verifies else "", tls.ca_crl or "")


def named_credentials(tls: ServerTLSSettings, credentials: Credentials) -> list[Credential]:
    """Those that a server's certificates come from; empty when they are files of other places."""
    names = tls.credential_names or ((tls.credential_name,) if tls.credential_name else ())
    return [credentials.named(name) for name in names]


def authority_of(tls: ServerTLSSettings, credentials: Credentials) -> Credential:
    """The one that clients' certificates are held against."""
    if tls.ca_cert_credential_name:
        return credentials.named(tls.ca_cert_credential_name)
    return named_credentials(tls, credentials)[0]


def missing_files(tls: ServerTLSSettings, credentials: Credentials) -> list[str]:
    """The files of a server's credentials that are not there."""
    named = [] if mode_of(tls) is ServerTlsMode.ISTIO_MUTUAL else named_credentials(tls, credentials)
    missing = [file for each in named for file in each.missing(pair=True, ca=False)]
    if named and mode_of(tls) in _VERIFYING:
        missing += authority_of(tls, credentials).missing(pair=False, ca=True)
    return missing


def _parameters(tls: ServerTLSSettings, mesh: MeshSettings) -> TlsParameters:
    """The server's own before the mesh's defaults."""
    defaults = mesh.tls_defaults
    return TlsParameters(
        min_version=_VERSIONS.get(tls.min_protocol_version or "", defaults.min_version),
        max_version=_VERSIONS.get(tls.max_protocol_version or "", ""),
        ciphers=known_ciphers(tls.cipher_suites) or defaults.ciphers,
    )
