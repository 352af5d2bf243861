"""What Envoy's TLS operators say."""

from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.tls import Peer
from pyproxy.wire.commands import compile_command
from pyproxy.wire.tls_facts import OPERATORS, escaped_pem

DER = bytes(range(256))
PEER = Peer(
    version="TLSv1.3",
    cipher="TLS_AES_128_GCM_SHA256",
    server_name="outbound_.80_._.shop",
    presented=True,
    uri_sans=("spiffe://a", "spiffe://b"),
    dns_sans=("a.com", "b.com"),
    subject="CN=a",
    issuer="CN=root",
    serial="0abc",
    sha256="ff",
    certificate=DER,
    local_uri_san="spiffe://c",
    local_subject="CN=c",
)


def context(downstream: Peer | None = None, upstream: Peer | None = None) -> RequestContext:
    ctx = RequestContext(RequestHead(b"GET", b"/", b"shop", []), 0.0, 0.0)
    ctx.downstream_tls, ctx.upstream_tls = downstream, upstream
    return ctx


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LOCAL_URI_SAN", b"spiffe://c"),
        ("PEER_DNS_SAN", b"a.com,b.com"),
        ("PEER_ISSUER", b"CN=root"),
        ("PEER_SUBJECT", b"CN=a"),
        ("PEER_URI_SAN", b"spiffe://a,spiffe://b"),
        ("TLS_CIPHER", b"TLS_AES_128_GCM_SHA256"),
        ("TLS_VERSION", b"TLSv1.3"),
    ],
)
def test_a_fact_of_each_side(name: str, expected: bytes) -> None:
    for side, ctx in (("DOWNSTREAM", context(PEER)), ("UPSTREAM", context(upstream=PEER))):
        assert compile_command(f"{side}_{name}", "", None)(ctx) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DOWNSTREAM_LOCAL_SUBJECT", b"CN=c"),
        ("DOWNSTREAM_PEER_FINGERPRINT_256", b"ff"),
        ("DOWNSTREAM_PEER_SERIAL", b"0abc"),
        ("UPSTREAM_SERVER_NAME", b"outbound_.80_._.shop"),
    ],
)
def test_a_fact_of_one_side(name: str, expected: bytes) -> None:
    assert OPERATORS[name](context(PEER, PEER)) == expected


def test_nothing_without_tls_or_without_a_certificate() -> None:
    for name, getter in OPERATORS.items():
        assert getter(context()) is None, name
        assert getter(context(Peer(), Peer())) is None, name


def test_a_certificate_as_it_stands_in_a_url() -> None:
    text = escaped_pem(DER)
    assert text.startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert text.endswith("%0A-----END%20CERTIFICATE-----%0A")
    assert not set(text) & set("\n +/=")
