"""Which chains are trusted, and of which that is remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Use

from pyproxy.mtls import roots
from pyproxy.mtls.facts import facts_if_readable
from pyproxy.mtls.failure import TlsError, distrust_text
from pyproxy.mtls.openssl import TlsContext
from pyproxy.mtls.roots import Distrust, Roots
from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.fakes import FakeClock
from tests.handshakes import refused, shake

ROOT = Authority()
RSA = rsa.generate_private_key(65537, 2048)
WITH_SHA256, WITH_SHA1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
Show = Callable[[Issued], None]


@pytest.fixture
def clock() -> FakeClock:
    """Its wall is the system's, which OpenSSL goes by."""
    clock = FakeClock()
    clock.now += time.time() - clock.time()
    return clock


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> TlsContext:
    made = showing(tmp_path / "server", ROOT.issue(REVIEWS), server_side=True, now=clock.time)
    made.roots.add((ROOT.own.der,))
    made.verify("everybody")
    return made


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[Distrust | None]:
    """What came of each chain that OpenSSL was asked to verify."""
    seen: list[Distrust | None] = []
    verify = Roots._verify

    def spy(self: Roots, *what: Any) -> Distrust | None:
        seen.append(verify(self, *what))
        return seen[-1]

    monkeypatch.setattr(Roots, "_verify", spy)
    return seen


@pytest.fixture
def show(server: TlsContext, tmp_path: Path) -> Show:
    """A handshake with the server in which a client shows this. Raises TlsError."""

    def handshake(issued: Issued) -> None:
        shake(showing(tmp_path / "client", issued).connection(), server.connection())

    return handshake


def showing(folder: Path, issued: Issued, *, server_side: bool = False, **options: Any) -> TlsContext:
    made = TlsContext(server_side=server_side, **options)
    made.set_ciphers("DEFAULT@SECLEVEL=0" if not server_side else "DEFAULT")  # else it would show nothing weak
    ROOT.write(folder, issued)
    made.show(str(folder / "cert-chain.pem"), str(folder / "key.pem"))
    return made


def test_a_chain_is_verified_once(show: Show, verified: list[Distrust | None]) -> None:
    first, second = ROOT.issue(PRODUCTPAGE), ROOT.issue(PRODUCTPAGE)
    for issued in (first, first, second, first, second):
        show(issued)
    assert verified == [None, None]


def test_each_context_verifies_for_itself(
    show: Show, server: TlsContext, verified: list[Distrust | None], tmp_path: Path
) -> None:
    issued = ROOT.issue(PRODUCTPAGE)
    show(issued)
    other = showing(tmp_path / "other", ROOT.issue(REVIEWS), server_side=True)
    other.roots.add((Authority("another").own.der,))
    other.verify("everybody")
    with pytest.raises(TlsError, match="unable to get local issuer"):
        shake(showing(tmp_path / "client", issued).connection(), other.connection())
    assert len(verified) == 2


def test_what_is_not_trusted_is_verified_each_time(show: Show, verified: list[Distrust | None]) -> None:
    stranger = Authority("other").issue(PRODUCTPAGE)
    for _ in range(2):
        with pytest.raises(TlsError, match="unable to get local issuer"):
            show(stranger)
    assert len(verified) == 2
    assert None not in verified


@pytest.mark.parametrize("later", [-7200.0, 3500.0, 3600.0, 1800.0])
def test_it_is_remembered_while_every_certificate_is_valid(
    show: Show, clock: FakeClock, verified: list[Distrust | None], later: float
) -> None:
    """The root begins an hour ago and the intermediate ends in half an hour; the leaf is good for longer."""
    authority = Authority("intermediate", ROOT, days=1800 / 86400)
    issued = authority.issue(PRODUCTPAGE, start=-3 * HOUR, end=3 * HOUR)
    show(issued)
    clock.now += 1700
    show(issued)
    assert len(verified) == 1
    clock.now += later - 1700
    show(issued)
    assert len(verified) == 2


def test_what_is_shown_decides(show: Show, verified: list[Distrust | None]) -> None:
    """A leaf that was trusted with what leads to the root is not without."""
    issued = Authority("intermediate", ROOT).issue(PRODUCTPAGE)
    show(issued)
    with pytest.raises(TlsError, match="unable to get local issuer"):
        show(Issued(issued.certificate, issued.key))
    show(issued)
    assert len(verified) == 2


def test_where_lists_of_revoked_certificates_count_nothing_is_remembered(
    show: Show, server: TlsContext, tmp_path: Path, verified: list[Distrust | None]
) -> None:
    good, bad = ROOT.issue(PRODUCTPAGE), ROOT.issue(PRODUCTPAGE)
    (tmp_path / "revoked.pem").write_bytes(ROOT.revoke(bad))
    server.roots.refuse_revoked(str(tmp_path / "revoked.pem"))
    for _ in range(2):
        show(good)
    assert len(verified) == 2
    with pytest.raises(TlsError, match="certificate revoked"):
        show(bad)


def test_the_oldest_is_forgotten(
    show: Show, verified: list[Distrust | None], monkeypatch: pytest.MonkeyPatch, server: TlsContext
) -> None:
    monkeypatch.setattr(roots, "KNOWN", 2)
    first, second, third = (ROOT.issue(PRODUCTPAGE) for _ in range(3))
    for issued in (first, second, third):
        show(issued)
    assert len(server.roots._known) == 2
    show(third)
    show(second)
    assert len(verified) == 3
    show(first)
    assert len(verified) == 4


def test_a_long_chain_is_not_remembered(show: Show, verified: list[Distrust | None]) -> None:
    names = [f"host-{number}.of.a.long.name.example.com" for number in range(150)]
    issued = ROOT.issue(PRODUCTPAGE, *names)
    for _ in range(2):
        show(issued)
    assert verified == [None, None]


def test_names_are_asked_for_each_time(show: Show, server: TlsContext, tmp_path: Path) -> None:
    issued = ROOT.issue(PRODUCTPAGE)
    show(issued)
    unwelcome = server.connection()
    unwelcome.welcome = lambda _: "not you"
    error, alert = refused(showing(tmp_path / "again", issued).connection(), unwelcome)
    assert (error.refusal, alert) == ("not you", "SSLV3_ALERT_CERTIFICATE_UNKNOWN")


def test_a_root_that_is_shown_too_does_no_harm(show: Show) -> None:
    issued = ROOT.issue(PRODUCTPAGE)
    show(Issued(issued.certificate, issued.key, [ROOT.own.certificate]))


def test_a_stranger_that_shows_its_own_root_is_refused(server: TlsContext, tmp_path: Path) -> None:
    other = Authority("other")
    issued = other.issue(PRODUCTPAGE)
    shown = showing(tmp_path / "client", Issued(issued.certificate, issued.key, [other.own.certificate]))
    error, alert = refused(shown.connection(), server.connection())
    assert error.refusal == distrust_text(1, "self signed certificate in certificate chain")
    assert alert == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_certificate_that_signed_itself_is_refused(server: TlsContext, tmp_path: Path) -> None:
    error, _ = refused(showing(tmp_path / "client", Authority("other").own).connection(), server.connection())
    assert error.refusal == distrust_text(0, "self signed certificate")


def test_another_with_the_name_of_the_root_does_no_harm(show: Show) -> None:
    """Shown along with the leaf, it looks as if it had signed it; the root, which did, is found first."""
    issued = ROOT.issue(PRODUCTPAGE)
    show(Issued(issued.certificate, issued.key, [Authority().own.certificate]))


def test_a_signature_of_another_with_the_name_of_the_root_is_none(show: Show) -> None:
    for chain in ([], [ROOT.own.certificate]):
        issued = Authority().issue(PRODUCTPAGE)
        with pytest.raises(TlsError, match="certificate signature failure"):
            show(Issued(issued.certificate, issued.key, chain))


def test_what_is_for_servers_is_no_clients(show: Show) -> None:
    servers, clients = (x509.ExtendedKeyUsage([use]) for use in (Use.SERVER_AUTH, Use.CLIENT_AUTH))
    with pytest.raises(TlsError, match=r"(?i)unsupported certificate purpose|unsuitable certificate purpose"):
        show(ROOT.issue(PRODUCTPAGE, use=servers))
    show(ROOT.issue(PRODUCTPAGE, use=clients))


def test_a_leaf_signs_nobody(show: Show) -> None:
    leaf = ROOT.issue(REVIEWS, subject=Authority("leaf").subject)
    below = Authority("leaf")
    below.own = leaf
    issued = below.issue(PRODUCTPAGE)
    show(Issued(leaf.certificate, leaf.key))
    with pytest.raises(TlsError, match=r"(?i)invalid CA certificate|cannot sign|purpose"):
        show(Issued(issued.certificate, issued.key, [leaf.certificate]))


def test_a_weak_key_on_the_way_is_not_trusted(show: Show) -> None:
    weak = Authority("weak", ROOT, key=rsa.generate_private_key(65537, 1024))
    with pytest.raises(TlsError, match="CA certificate key too weak"):
        show(weak.issue(PRODUCTPAGE))


def test_a_weak_key_of_the_leafs_own_is_not_trusted(show: Show) -> None:
    with pytest.raises(TlsError, match="EE certificate key too weak"):
        show(ROOT.issue(PRODUCTPAGE, key=rsa.generate_private_key(65537, 1024)))


def test_a_weak_signature_is_not_trusted_but_a_roots_own(show: Show, server: TlsContext) -> None:
    old = Authority("old", key=RSA)
    server.roots.add((by_sha1(old.own).der,))
    show(old.issue(PRODUCTPAGE))
    with pytest.raises(TlsError, match="CA signature digest algorithm too weak"):
        show(by_sha1(old.issue(PRODUCTPAGE)))


@pytest.mark.parametrize(("unreadable", "trusted"), [(0, True), (1, False), (2, True)])
def test_what_cannot_be_read_leads_to_no_root_and_is_not_remembered(
    show: Show, verified: list[Distrust | None], monkeypatch: pytest.MonkeyPatch, unreadable: int, trusted: bool
) -> None:
    """OpenSSL can: who names the leaf's owner refuses that one, and roots are whatever a file says."""
    authority = Authority("intermediate", ROOT)
    issued = authority.issue(PRODUCTPAGE)
    der = (issued.der, authority.own.der, ROOT.own.der)[unreadable]
    monkeypatch.setattr(roots, "facts_if_readable", lambda each: facts_if_readable(each) if each != der else None)
    for _ in range(2):
        if trusted:
            show(issued)
        else:
            with pytest.raises(TlsError, match="unspecified"):
                show(issued)
    assert len(verified) == 2


def test_what_is_no_certificate_is_no_root(server: TlsContext) -> None:
    with pytest.raises(TlsError):
        server.roots.add((b"\x30\x00",))


def by_sha1(issued: Issued) -> Issued:
    """Signed anew by the RSA key, with a digest that nobody should use any more."""
    der = issued.der.replace(WITH_SHA256, WITH_SHA1)
    signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    der = der[: -RSA.key_size // 8] + RSA.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    return Issued(x509.load_der_x509_certificate(der), issued.key)
