"""x-forwarded-client-cert: who called, as the connection's certificates say. Source: Envoy conn_manager_utility.cc.

What the client wrote there itself counts only where documents trust the client.
"""

from __future__ import annotations

from typing import Final

from pyproxy.core.http import RequestHead
from pyproxy.core.tls import Peer
from pyproxy.proxy.environment import ClientConnection
from pyproxy.snapshot.model import ForwardClientCert
from pyproxy.wire.tls_facts import escaped_pem

CLIENT_CERT: Final = b"x-forwarded-client-cert"
_FORWARD_ONLY: Final = ForwardClientCert.FORWARD_ONLY
_APPEND_FORWARD: Final = ForwardClientCert.APPEND_FORWARD
_SANITIZE_SET: Final = ForwardClientCert.SANITIZE_SET
_ALWAYS_FORWARD_ONLY: Final = ForwardClientCert.ALWAYS_FORWARD_ONLY


def forward_client_cert(head: RequestHead, connection: ClientConnection) -> None:
    """Write the header, or give it back as it came, as the listener's settings say. The codec has taken it off."""
    told = head.notable.get(CLIENT_CERT)
    mode = connection.settings.forward_client_cert
    peer = connection.tls
    if peer is None or not peer.presented:
        value = told if mode is _ALWAYS_FORWARD_ONLY else None
    elif mode is _ALWAYS_FORWARD_ONLY or mode is _FORWARD_ONLY:
        value = told
    elif mode is _APPEND_FORWARD or mode is _SANITIZE_SET:
        value = connection.client_cert
        if value is None:
            value = connection.client_cert = client_cert_element(peer, connection.settings.client_cert_details)
        if told is not None and mode is _APPEND_FORWARD:
            value = told + b"," + value
    else:
        value = None
    if value is not None:
        head.headers.append((CLIENT_CERT, value))


def client_cert_element(peer: Peer, details: tuple[str, ...]) -> bytes:
    """The element for one hop; `details` as in HttpSettings.client_cert_details."""
    parts = [f"By={peer.local_uri_san}"] if peer.local_uri_san else []
    parts.append(f"Hash={peer.sha256}")
    for detail in details:
        parts += _detail(peer, detail)
    return ";".join(parts).encode("utf-8", "surrogateescape")


def _detail(peer: Peer, detail: str) -> list[str]:
    """A certificate without subject or URI says so; one without DNS names says nothing of them."""
    if detail == "Cert":
        return [f'Cert="{escaped_pem(peer.certificate)}"']
    if detail == "Subject":
        return [f'Subject="{peer.subject}"']
    if detail == "URI":
        return [f"URI={uri}" for uri in peer.uri_sans or ("",)]
    return [f"DNS={name}" for name in peer.dns_sans]
