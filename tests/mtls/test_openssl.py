"""TLS contexts of OpenSSL's: what is shown, asked for, agreed to and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pyproxy.mtls.failure import TlsError
from pyproxy.mtls.openssl import TlsContext
from pyproxy.wire.client_hello import ClientHello
from tests.certificates import PRODUCTPAGE, REVIEWS, Authority, Issued, Key
from tests.handshakes import shake

ROOT = Authority()
TLS_1_2, TLS_1_3 = 0x0303, 0x0304


def shown(context: TlsContext, folder: Path, issued: Issued) -> TlsContext:
    ROOT.write(folder, issued)
    context.show(str(folder / "cert-chain.pem"), str(folder / "key.pem"))
    return context


@pytest.fixture
def server(tmp_path: Path) -> TlsContext:
    return shown(TlsContext(server_side=True), tmp_path / "server", ROOT.issue(REVIEWS))


@pytest.fixture
def client() -> TlsContext:
    context = TlsContext(server_side=False)
    context.roots.add((ROOT.own.der,))
    context.verify("everybody")
    return context


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (("http/1.1", "istio"), "istio"),
        (("istio",), "istio"),
        (("h3",), ""),
        (("istio2", "ist"), ""),
        ((), ""),
    ],
)
def test_the_server_takes_the_first_of_its_own(
    client: TlsContext, server: TlsContext, offered: tuple[str, ...], agreed: str
) -> None:
    server.set_alpn(("istio", "http/1.1"))
    if offered:
        client.set_alpn(offered)
    for _ in range(2):
        one, other = client.connection(), server.connection()
        shake(one, other)
        assert (one.alpn, other.alpn) == (agreed, agreed)


def test_a_certificate_that_stands_alone_is_shown_alone(client: TlsContext, server: TlsContext) -> None:
    server.roots.add((ROOT.own.der,))
    server.set_versions(TLS_1_2, TLS_1_2)  # where certificates go over unencrypted
    one, other = client.connection(), server.connection()
    one.shake()
    other.feed(one.outgoing())
    other.shake()
    flight = other.outgoing()
    assert REVIEWS.encode() in flight
    assert ROOT.own.der not in flight


@pytest.mark.parametrize("whom", ["nobody", "who shows one", "everybody"])
def test_clients_without_a_certificate(client: TlsContext, server: TlsContext, whom: str) -> None:
    server.roots.add((ROOT.own.der,))
    server.verify(whom)
    if whom == "everybody":
        with pytest.raises(TlsError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            shake(client.connection(), server.connection())
        return
    one, other = client.connection(), server.connection()
    shake(one, other)
    assert other.certificate == b""


def test_who_shows_one_is_verified(client: TlsContext, server: TlsContext, tmp_path: Path) -> None:
    shown(client, tmp_path / "client", ROOT.issue(PRODUCTPAGE))
    server.verify("who shows one")
    server.roots.add((Authority("other").own.der,))
    with pytest.raises(TlsError, match="unable to get local issuer certificate"):
        shake(client.connection(), server.connection())


def test_an_intermediate_may_be_trusted_alone(client: TlsContext, tmp_path: Path) -> None:
    intermediate = Authority("intermediate", ROOT)
    server = shown(TlsContext(server_side=True), tmp_path / "below", intermediate.issue(REVIEWS))
    there = TlsContext(server_side=False)
    there.roots.add((intermediate.own.der,))
    there.verify("everybody")
    for each in (client, there):
        shake(each.connection(), server.connection())


def test_certificates_of_two_kinds(client: TlsContext, server: TlsContext, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    shown(server, tmp_path / "rsa", ROOT.issue("rsa.example.com", key=key))
    client.set_versions(TLS_1_2, TLS_1_2)
    for ciphers, name in (("ECDHE-RSA-AES128-GCM-SHA256", b"rsa"), ("ECDHE-ECDSA-AES128-GCM-SHA256", b"reviews")):
        client.set_ciphers(ciphers)
        one = client.connection()
        shake(one, server.connection())
        assert name in one.certificate


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "P-521", "RSA", "Ed25519"],
)
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_keys_of_every_kind_are_shown_and_verified(client: TlsContext, tmp_path: Path, key: Key, version: int) -> None:
    server = shown(TlsContext(server_side=True), tmp_path / "server", ROOT.issue(REVIEWS, key=key))
    server.roots.add((ROOT.own.der,))
    server.verify("everybody")
    shown(client, tmp_path / "client", ROOT.issue(PRODUCTPAGE, key=key))
    client.set_versions(version, version)
    shake(client.connection(), server.connection())


def test_a_key_of_another_certificate_is_not_taken(tmp_path: Path) -> None:
    mine, other = ROOT.workload(tmp_path / "mine"), ROOT.workload(tmp_path / "other")
    with pytest.raises(TlsError, match="KEY_VALUES_MISMATCH"):
        TlsContext(server_side=True).show(str(mine / "cert-chain.pem"), str(other / "key.pem"))


def test_what_is_no_certificate_is_not_trusted() -> None:
    with pytest.raises(TlsError):
        TlsContext(server_side=True).roots.add((b"\x30\x00",))


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_sessions_are_resumed_by_tickets(client: TlsContext, server: TlsContext, version: int) -> None:
    client.set_versions(TLS_1_2, version)
    first = client.connection()
    shake(first, server.connection())
    again, other = client.connection(session=first.session), server.connection()
    shake(again, other)
    assert (again.resumed, other.resumed) == (True, True)


def test_who_cannot_resume_gets_no_state_to_keep(client: TlsContext, server: TlsContext) -> None:
    with_tickets = shake(client.connection(), server.connection(hello=hello("TLSv1.3")))
    first = client.connection()
    without = shake(first, server.connection(hello=hello("TLSv1.3", takes_tickets=False)))
    assert len(without) < len(with_tickets) / 2
    again = client.connection(session=first.session)
    shake(again, server.connection())
    assert not again.resumed


def test_before_tls_13_the_servers_order_of_ciphers_counts(client: TlsContext, server: TlsContext) -> None:
    ours, theirs = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
    server.set_ciphers(f"{ours}:{theirs}")
    client.set_ciphers(f"{theirs}:{ours}")
    client.set_versions(TLS_1_2, TLS_1_2)
    first = client.connection()
    shake(first, server.connection(hello=hello("TLSv1.2")))
    assert first.cipher == ours
    server.set_versions(TLS_1_2, TLS_1_2)
    client.set_versions(TLS_1_2, TLS_1_3)
    second = client.connection()
    shake(second, server.connection(hello=hello("TLSv1.3", "TLSv1.2")))
    assert second.cipher == ours


def hello(*versions: str, takes_tickets: bool = True) -> ClientHello:
    return ClientHello("", (), versions, takes_tickets)
