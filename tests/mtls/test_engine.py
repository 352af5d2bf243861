"""One connection on memory: bytes in, bytes out, and OpenSSL's words for what went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.mtls.engine import ROOM, TlsConnection, last_error, lib
from pyproxy.mtls.failure import TlsError, distrust_text
from pyproxy.mtls.openssl import TlsContext
from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.handshakes import refused

ROOT = Authority()


def context(folder: Path, identity: str, *, server_side: bool) -> TlsContext:
    made = TlsContext(server_side=server_side)
    shown = ROOT.workload(folder, identity)
    made.show(str(shown / "cert-chain.pem"), str(shown / "key.pem"))
    made.roots.add((ROOT.own.der,))
    made.verify("everybody")
    return made


@pytest.fixture
def ends(tmp_path: Path) -> tuple[TlsConnection, TlsConnection]:
    """A client and a server after their handshake."""
    client = context(tmp_path / "client", PRODUCTPAGE, server_side=False).connection("reviews.test")
    server = context(tmp_path / "server", REVIEWS, server_side=True).connection()
    assert not client.shake()
    server.feed(client.outgoing())
    assert not server.shake()
    client.feed(server.outgoing())
    assert client.shake()
    server.feed(client.outgoing())
    assert server.shake()
    client.feed(server.outgoing())
    assert client.read() == b""
    return client, server


def test_both_ends_know_what_was_agreed_on(ends: tuple[TlsConnection, TlsConnection]) -> None:
    client, server = ends
    assert client.version == server.version == "TLSv1.3"
    assert client.cipher == server.cipher == "TLS_AES_128_GCM_SHA256"
    assert client.alpn == server.alpn == ""
    assert REVIEWS.encode() in client.certificate
    assert PRODUCTPAGE.encode() in server.certificate
    assert not client.resumed


def test_nothing_is_known_before(tmp_path: Path) -> None:
    early = context(tmp_path, PRODUCTPAGE, server_side=False).connection()
    assert (early.cipher, early.certificate, early.alpn, early.outgoing(), early.waiting) == ("", b"", "", b"", False)


@pytest.mark.parametrize("size", [1, 16384, 16385, ROOM - 1, ROOM, 5 * ROOM + 1])
def test_any_number_of_bytes_goes_over(ends: tuple[TlsConnection, TlsConnection], size: int) -> None:
    client, server = ends
    data = bytes(range(256)) * (size // 256 + 1)
    client.write(data[:size])
    server.feed(client.outgoing())
    assert client.outgoing() == b""
    assert server.read() == data[:size]
    assert server.read() == b""


def test_what_is_written_need_not_be_bytes(ends: tuple[TlsConnection, TlsConnection]) -> None:
    client, server = ends
    client.write(bytearray(b"one "))
    client.write(memoryview(b"and another")[4:])
    server.feed(client.outgoing())
    assert server.read() == b"one another"


def test_half_a_record_waits_for_the_rest(ends: tuple[TlsConnection, TlsConnection]) -> None:
    client, server = ends
    client.write(b"whole")
    record = client.outgoing()
    server.feed(record[:10])
    assert server.read() == b""
    server.feed(record[10:])
    assert server.read() == b"whole"
    assert not server.ended


def test_an_end_follows_what_was_said(ends: tuple[TlsConnection, TlsConnection]) -> None:
    client, server = ends
    client.write(b"last words")
    client.end()
    server.feed(client.outgoing())
    assert server.read() == b"last words"
    assert server.ended


def test_a_broken_record_has_its_word_and_leaves_no_other(ends: tuple[TlsConnection, TlsConnection]) -> None:
    client, server = ends
    client.write(b"fine")
    record = bytearray(client.outgoing())
    record[-1] ^= 1
    server.feed(bytes(record))
    with pytest.raises(TlsError, match="DECRYPTION_FAILED_OR_BAD_RECORD_MAC"):
        server.read()
    assert last_error() == ""
    client.feed(server.outgoing())
    with pytest.raises(TlsError, match="SSLV3_ALERT_BAD_RECORD_MAC"):
        client.read()


def showing(folder: Path, issued: Issued) -> TlsContext:
    """A client's, that shows this."""
    made = context(folder / "trust", PRODUCTPAGE, server_side=False)
    ROOT.write(folder, issued)
    made.show(str(folder / "cert-chain.pem"), str(folder / "key.pem"))
    return made


def test_a_certificate_that_is_refused_has_its_cause(tmp_path: Path) -> None:
    server = context(tmp_path / "server", REVIEWS, server_side=True)
    stranger = showing(tmp_path / "client", Authority("other").issue(PRODUCTPAGE))
    error, alert = refused(stranger.connection(), server.connection())
    assert (error.reason, alert) == ("CERTIFICATE_VERIFY_FAILED", "TLSV1_ALERT_UNKNOWN_CA")
    assert error.verify_message == "unable to get local issuer certificate"
    assert error.refusal == distrust_text(0, "unable to get local issuer certificate")


def test_how_far_from_the_leaf_a_chain_is_broken_is_said(tmp_path: Path) -> None:
    server = context(tmp_path / "server", REVIEWS, server_side=True)
    late = showing(tmp_path / "client", Authority("intermediate", ROOT, days=-0.01).issue(PRODUCTPAGE))
    error, alert = refused(late.connection(), server.connection())
    assert (error.refusal, alert) == (
        distrust_text(1, "certificate has expired"),
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    )


def test_who_is_too_early_hears_what_an_envoy_would_say(tmp_path: Path) -> None:
    server = context(tmp_path / "server", REVIEWS, server_side=True)
    early = showing(tmp_path / "client", ROOT.issue(PRODUCTPAGE, start=HOUR, end=2 * HOUR))
    error, alert = refused(early.connection(), server.connection())
    assert (error.refusal, alert) == (
        distrust_text(0, "certificate is not yet valid"),
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    )


def test_who_is_not_welcome_hears_it_in_the_handshake(tmp_path: Path) -> None:
    server = context(tmp_path / "server", REVIEWS, server_side=True).connection()
    asked: list[bytes] = []

    def welcome(certificate: bytes) -> str:
        asked.append(certificate)
        return "you are not on the list"

    server.welcome = welcome
    issued = ROOT.issue(PRODUCTPAGE)
    error, alert = refused(showing(tmp_path / "client", issued).connection(), server)
    assert (error.refusal, alert) == ("you are not on the list", "SSLV3_ALERT_CERTIFICATE_UNKNOWN")
    assert asked == [issued.der]


def test_a_verdict_that_cannot_be_reached_lets_nobody_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = context(tmp_path / "server", REVIEWS, server_side=True).connection()

    def welcome(certificate: bytes) -> str:
        raise RuntimeError("nobody knows")

    server.welcome = welcome
    error, _ = refused(showing(tmp_path / "client", ROOT.issue(PRODUCTPAGE)).connection(), server)
    assert error.reason == "CERTIFICATE_VERIFY_FAILED"
    assert "nobody knows" in caplog.text


def test_two_handshakes_at_once_have_verdicts_of_their_own(tmp_path: Path) -> None:
    shared = context(tmp_path / "server", REVIEWS, server_side=True)
    first, second = shared.connection(), shared.connection()
    first.welcome, second.welcome = (lambda _: None), (lambda _: "not you")
    clients = [showing(tmp_path / name, ROOT.issue(PRODUCTPAGE)).connection() for name in ("a", "b")]
    for client, server in zip(clients, (first, second), strict=True):
        client.shake()
        server.feed(client.outgoing())
        server.shake()
        client.feed(server.outgoing())
        client.shake()
    for client, server in zip(clients, (first, second), strict=True):
        server.feed(client.outgoing())
    assert first.shake()
    with pytest.raises(TlsError):
        second.shake()


def test_the_library_is_as_new_as_is_counted_on() -> None:
    assert lib.OpenSSL_version_num() >= 0x30500000
