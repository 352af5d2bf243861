"""Facts of both ends' certificates and connections, for Envoy's TLS operators. Missing without TLS.

Source: Envoy source/common/formatter/stream_info_formatter.cc, tls/connection_info_impl_base.cc.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.tls import Peer

_PEM_ESCAPES: Final = str.maketrans({"\n": "%0A", " ": "%20", "+": "%2B", "/": "%2F", "=": "%3D"})
_FACTS: Final[Mapping[str, Callable[[Peer], str]]] = {
    "LOCAL_SUBJECT": lambda peer: peer.local_subject,
    "LOCAL_URI_SAN": lambda peer: peer.local_uri_san,
    "PEER_CERT": lambda peer: escaped_pem(peer.certificate),
    "PEER_DNS_SAN": lambda peer: ",".join(peer.dns_sans),
    "PEER_FINGERPRINT_256": lambda peer: peer.sha256,
    "PEER_ISSUER": lambda peer: peer.issuer,
    "PEER_SERIAL": lambda peer: peer.serial,
    "PEER_SUBJECT": lambda peer: peer.subject,
    "PEER_URI_SAN": lambda peer: ",".join(peer.uri_sans),
    "SERVER_NAME": lambda peer: peer.server_name,
    "TLS_CIPHER": lambda peer: peer.cipher,
    "TLS_VERSION": lambda peer: peer.version,
}
_DOWNSTREAM_ONLY: Final = ("LOCAL_SUBJECT", "PEER_FINGERPRINT_256", "PEER_SERIAL")
_UPSTREAM_ONLY: Final = ("SERVER_NAME",)


def downstream(fact: Callable[[Peer], str]) -> Callable[[RequestContext], bytes | None]:
    """A fact of the client's connection."""
    return lambda ctx: _told(fact, ctx.downstream_tls)


def upstream(fact: Callable[[Peer], str]) -> Callable[[RequestContext], bytes | None]:
    """A fact of the upstream's connection."""
    return lambda ctx: _told(fact, ctx.upstream_tls)


def _told(fact: Callable[[Peer], str], peer: Peer | None) -> bytes | None:
    return (fact(peer).encode("utf-8", "surrogateescape") or None) if peer is not None else None


def escaped_pem(certificate: bytes) -> str:
    """A certificate in DER as PEM for a URL; empty for none."""
    return ssl.DER_cert_to_PEM_cert(certificate).translate(_PEM_ESCAPES) if certificate else ""


OPERATORS: Final[Mapping[str, Callable[[RequestContext], bytes | None]]] = {
    **{f"DOWNSTREAM_{name}": downstream(fact) for name, fact in _FACTS.items() if name not in _UPSTREAM_ONLY},
    **{f"UPSTREAM_{name}": upstream(fact) for name, fact in _FACTS.items() if name not in _DOWNSTREAM_ONLY},
}
"""By Envoy's names."""
