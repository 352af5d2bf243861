"""x-forwarded-client-cert."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.core.tls import Peer
from pyproxy.proxy.client_cert import CLIENT_CERT, client_cert_element, forward_client_cert
from pyproxy.proxy.environment import ClientConnection
from pyproxy.runtime.counters import HttpStats
from pyproxy.snapshot.model import ForwardClientCert, HttpSettings, Listener, ListenerKind

PEER = Peer(
    presented=True,
    uri_sans=("spiffe://cluster.local/ns/default/sa/client",),
    dns_sans=("a.com", "b.com"),
    subject="CN=client,O=Istio",
    sha256="00ff",
    certificate=b"\x01\x02",
    local_uri_san="spiffe://cluster.local/ns/default/sa/server",
)
ELEMENT = (
    b"By=spiffe://cluster.local/ns/default/sa/server;Hash=00ff;"
    b'Subject="CN=client,O=Istio";URI=spiffe://cluster.local/ns/default/sa/client;DNS=a.com;DNS=b.com'
)


def connection(mode: ForwardClientCert, peer: Peer | None) -> ClientConnection:
    settings = HttpSettings(forward_client_cert=mode)
    listener = Listener("virtualInbound", ListenerKind.INBOUND_CAPTURE, "127.0.0.1", 15006, settings)
    made = ClientConnection(listener, settings, HttpStats())
    made.tls = peer
    return made


def forwarded(mode: str, peer: Peer | None, told: bytes | None = None) -> list[bytes]:
    head = RequestHead(b"GET", b"/", b"a", [], notable={} if told is None else {CLIENT_CERT: told})
    forward_client_cert(head, connection(ForwardClientCert(mode), peer))
    return head.get_all(CLIENT_CERT)


@pytest.mark.parametrize(
    ("mode", "told", "expected"),
    [
        ("SANITIZE", b"x", []),
        ("FORWARD_ONLY", b"x", [b"x"]),
        ("FORWARD_ONLY", None, []),
        ("APPEND_FORWARD", None, [ELEMENT]),
        ("APPEND_FORWARD", b"x,y", [b"x,y," + ELEMENT]),
        ("SANITIZE_SET", b"x", [ELEMENT]),
        ("ALWAYS_FORWARD_ONLY", b"x", [b"x"]),
    ],
)
def test_what_becomes_of_the_header_of_a_client_with_a_certificate(
    mode: str, told: bytes | None, expected: list[bytes]
) -> None:
    assert forwarded(mode, PEER, told) == expected


@pytest.mark.parametrize("mode", [mode.value for mode in ForwardClientCert])
@pytest.mark.parametrize("peer", [None, Peer()], ids=["plaintext", "TLS without a certificate"])
def test_without_a_certificate_it_is_taken_off(mode: str, peer: Peer | None) -> None:
    assert forwarded(mode, peer, b"x") == ([b"x"] if mode == "ALWAYS_FORWARD_ONLY" else [])


def test_the_element_is_made_once_for_a_connection() -> None:
    here = connection(ForwardClientCert.APPEND_FORWARD, PEER)
    for _ in range(2):
        forward_client_cert(RequestHead(b"GET", b"/", b"a", []), here)
        made = here.client_cert
        here.tls = replace(PEER, sha256="other")
    assert made == ELEMENT


@pytest.mark.parametrize(
    ("peer", "details", "expected"),
    [
        (Peer(sha256="0a"), ("Subject", "URI", "DNS"), b'Hash=0a;Subject="";URI='),
        (Peer(sha256="0a", uri_sans=("a", "b")), ("URI",), b"Hash=0a;URI=a;URI=b"),
        (PEER, (), b"By=spiffe://cluster.local/ns/default/sa/server;Hash=00ff"),
        (
            replace(PEER, local_uri_san=""),
            ("Cert",),
            b'Hash=00ff;Cert="-----BEGIN%20CERTIFICATE-----%0AAQI%3D%0A-----END%20CERTIFICATE-----%0A"',
        ),
    ],
)
def test_details(peer: Peer, details: tuple[str, ...], expected: bytes) -> None:
    assert client_cert_element(peer, details) == expected
