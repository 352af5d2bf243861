"""Transport sockets: Envoy's UpstreamTlsContext and DownstreamTlsContext, certificates by the paths of their files.

Source: Envoy api/envoy/extensions/transport_sockets/tls/v3; Istio pilot/pkg/networking/core/{cluster_tls,listener}.go.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls, ServerTls, ServerTlsMode, TlsParameters
from pyproxy.envoy.values import TYPE, Resource, given
from pyproxy.mtls.alpn import SERVER_HTTP, SERVER_TCP
from pyproxy.mtls.layout import CHAIN, KEY, ROOT
from pyproxy.snapshot.model import Cluster
from pyproxy.snapshot.tls import TCP_ALPN
from pyproxy.wire.peer_exchange import PEER_EXCHANGE

_TLS = f"{TYPE}.extensions.transport_sockets.tls.v3"
_RAW: Resource = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": {"@type": f"{TYPE}.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
}
_VERIFYING = (ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL, ServerTlsMode.ISTIO_MUTUAL)
ABLE: Resource = {"tlsMode": "istio"}
"""What the metadata of an endpoint says that takes mutual TLS."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where this proxy's own certificate is, and which files there are."""

    folder: str = ""
    """With Istio's three files; empty: this proxy has no certificate."""
    exists: Callable[[str], bool] = lambda _file: True
    """A document may name a file that is not there."""

    def own(self, name: str) -> str:
        """One of the three."""
        return str(Path(self.folder, name))

    def serve(self, *files: str) -> bool:
        """Whether all of these files can be used; those without a name are not needed."""
        return all(self.exists(file) for file in files if file)


# Towards clusters


def can_connect(cluster: Cluster, certificates: Certificates) -> bool:
    """Whether there is everything that TLS to a cluster needs. Without it every connection fails."""
    tls = cluster.tls
    if tls is None or tls.automatic:
        return True
    if tls.mode is ClientTlsMode.ISTIO_MUTUAL:
        return bool(certificates.folder)
    return certificates.serve(tls.certificate_file, tls.key_file, _authority(tls), tls.crl_file) and (
        tls.insecure_skip_verify or bool(_authority(tls))
    )


def cluster_socket(cluster: Cluster, certificates: Certificates) -> Resource:
    """A cluster's transport socket; of automatic mutual TLS those among which an endpoint's metadata chooses."""
    found: dict[str, Any] = _secured(cluster, certificates)
    version = cluster.connection.proxy_protocol
    if not version:
        return found
    matches = found.get("transport_socket_matches")
    if matches is None:
        return {"transport_socket": _introducing(found.get("transport_socket", _RAW), version)}
    return {
        "transport_socket_matches": [
            {**each, "transport_socket": _introducing(each["transport_socket"], version)} for each in matches
        ]
    }


def _introducing(socket: Resource, version: str) -> Resource:
    """The header of the PROXY protocol goes before all that the socket says."""
    return {
        "name": "envoy.transport_sockets.upstream_proxy_protocol",
        "typed_config": {
            "@type": f"{TYPE}.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": version},
            "transport_socket": socket,
        },
    }


def _secured(cluster: Cluster, certificates: Certificates) -> Resource:
    tls = cluster.tls
    if tls is None or not can_connect(cluster, certificates) or (tls.automatic and not certificates.folder):
        return {}
    socket = _socket("Upstream", {"common_tls_context": _client(tls, certificates), **given(("sni", tls.sni))})
    if not tls.automatic:
        return {"transport_socket": socket}
    return {
        "transport_socket_matches": [
            {"name": "tlsMode-istio", "match": ABLE, "transport_socket": socket},
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": _RAW},
        ]
    }


def names_by_request(tls: ClientTls | None) -> Resource:
    """SNI and expected name out of the request: for HttpProtocolOptions."""
    if tls is None or tls.mode is ClientTlsMode.ISTIO_MUTUAL or tls.sni:
        return {}
    options: Resource = {"auto_sni": True, **given(("auto_san_validation", tls.auto_san))}
    return {"upstream_http_protocol_options": options}


def _client(tls: ClientTls, certificates: Certificates) -> Resource:
    mesh = tls.mode is ClientTlsMode.ISTIO_MUTUAL
    chain, key, ca = tls.certificate_file, tls.key_file, _authority(tls)
    if mesh:
        chain, key, ca = (certificates.own(name) for name in (CHAIN, KEY, ROOT))
    validation: Resource = {}
    if not tls.insecure_skip_verify:
        validation = _validation(ca, tls.crl_file, _named(tls.subject_alt_names))
    return {
        "tls_params": _parameters(tls.parameters, "TLSv1_2"),
        **given(
            ("tls_certificates", [_pair(chain, key)] if chain else []),
            ("validation_context", validation),
            ("alpn_protocols", _known(tls.alpn or (TCP_ALPN if mesh else ()))),
        ),
    }


def _authority(tls: ClientTls) -> str:
    """Whom a server's certificate must lead to; empty when nobody is asked, or the system knows none."""
    if tls.insecure_skip_verify:
        return ""
    return tls.ca_file or ssl.get_default_verify_paths().cafile or ""


# From clients


def inbound_socket(mesh: MeshTls, certificates: Certificates, *, http: bool) -> Resource:
    """Mutual TLS on a workload's port."""
    domains: list[Resource] = [
        {"san_type": "URI", "matcher": {"prefix": f"spiffe://{domain}/"}} for domain in mesh.trust_domains
    ]
    context = {
        "tls_params": _parameters(mesh.parameters, "TLSv1_2"),
        "tls_certificates": [_pair(certificates.own(CHAIN), certificates.own(KEY))],
        "validation_context": _validation(certificates.own(ROOT), "", domains),
        "alpn_protocols": _known(SERVER_HTTP if http else SERVER_TCP),
    }
    return _socket("Downstream", {"common_tls_context": context, "require_client_certificate": True})


def gateway_socket(server: ServerTls, certificates: Certificates) -> Resource | None:
    """TLS of a Gateway's server; None: its files are not there, and nobody can connect."""
    pairs, ca = [(server.certificate_file, server.key_file), *server.more_certificates], server.ca_file
    if server.mode is ServerTlsMode.ISTIO_MUTUAL:
        if not certificates.folder:
            return None
        pairs, ca = [(certificates.own(CHAIN), certificates.own(KEY))], certificates.own(ROOT)
    verifies = server.mode in _VERIFYING
    files = [file for pair in pairs for file in pair] + ([ca, server.crl_file] if verifies else [])
    if not certificates.serve(*files):
        return None
    validation: Resource = {}
    if verifies:
        validation = _validation(ca, server.crl_file, _named(server.subject_alt_names)) | given(
            ("verify_certificate_spki", list(server.certificate_spki)),
            ("verify_certificate_hash", list(server.certificate_hashes)),
            ("trust_chain_verification", "ACCEPT_UNTRUSTED" if server.accept_untrusted else ""),
        )
    context = {
        "tls_certificates": [_pair(*pair) for pair in pairs],
        **given(
            ("tls_params", _parameters(server.parameters, "")),
            ("validation_context", validation),
            ("alpn_protocols", list(SERVER_HTTP) if server.route_table else []),
        ),
    }
    required = verifies and server.mode is not ServerTlsMode.OPTIONAL_MUTUAL
    return _socket("Downstream", {"common_tls_context": context, "require_client_certificate": required})


# Parts


def _known(protocols: Sequence[str]) -> list[str]:
    """Without the exchange of metadata before TCP: its filter is in Istio's Envoy, not in the public one."""
    return [each for each in protocols if each != PEER_EXCHANGE]


def _socket(side: str, context: Resource) -> Resource:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TLS}.{side}TlsContext", **context},
    }


def _pair(chain: str, key: str) -> Resource:
    return {"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}


def _validation(ca: str, crl: str, names: list[Resource]) -> Resource:
    return {
        "trusted_ca": {"filename": ca},
        **given(("crl", {"filename": crl} if crl else {}), ("match_typed_subject_alt_names", names)),
    }


def _named(names: Iterable[str]) -> list[Resource]:
    """One of these, exactly, in an alternative name of its kind."""
    return [{"san_type": _kind(name), "matcher": {"exact": name}} for name in names]


def _kind(name: str) -> str:
    if "://" in name:
        return "URI"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "DNS"
    return "IP_ADDRESS"


def _parameters(parameters: TlsParameters, lowest: str) -> Resource:
    """`lowest` where nothing is said; without it Envoy's own."""
    return given(
        ("tls_minimum_protocol_version", parameters.min_version or lowest),
        ("tls_maximum_protocol_version", parameters.max_version or (lowest and "TLSv1_3")),
        ("cipher_suites", list(parameters.ciphers)),
    )
