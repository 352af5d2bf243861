"""What verify finds: one wrong thing at a time, each with its file and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Authority, Names, make_intermediate, make_root, sign_workload
from pyproxy.mtls.chains import encode_certificates
from pyproxy.mtls.folders import Bundle, Place, write_authority, write_bundle, write_key
from pyproxy.mtls.inspection import AUTHORITY, examine, look, places
from pyproxy.mtls.issuing import Order, Wish, fill
from pyproxy.mtls.keys import digest_for, new_key

NOW = datetime(2026, 1, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = make_root(new_key(), "cluster.local", NOW)
MIDDLE = make_intermediate(ROOT, new_key(), "cluster.local", NOW)
REVIEWS = Order("reviews-v1.shop", Names(SpiffeId("cluster.local", "shop", "reviews")))
SERVER = Order("shop-cert", Names(dns=("example.com",)), credential=True)


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """An authority, a workload and a server, all good."""
    write_authority(tmp_path / "ca", MIDDLE)
    for order in (REVIEWS, SERVER):
        fill(order, tmp_path, MIDDLE, NOW, Wish())
    return tmp_path


def found(certs: Path, now: datetime = NOW) -> list[tuple[str, str]]:
    """File, from `certs`, and what is wrong."""
    return [(str(each.file.relative_to(certs)), each.what) for each in examine(certs, certs / "ca", now)]


def test_good_ones_are_listed_and_have_no_findings(certs: Path) -> None:
    assert found(certs) == []
    seen = look(certs, certs / "ca")
    assert [(each.name, each.subject, each.issuer, each.status(NOW)) for each in seen] == [
        (AUTHORITY, "Intermediate CA", "Root CA", "valid"),
        ("reviews-v1.shop", "", "Intermediate CA", "valid"),
        ("shop-cert", "", "Intermediate CA", "valid"),
    ]
    assert seen[1].names == REVIEWS.names
    assert int(seen[1].serial, 16) == seen[1].certificate.serial_number


def test_a_workloads_own_folder_can_be_looked_at(certs: Path) -> None:
    own = certs / "reviews-v1.shop"
    assert [place.folder for place in places(own)] == [own]
    assert [each.name for each in look(own, own / "ca")] == ["reviews-v1.shop"]
    assert examine(own, own / "ca", NOW) == []


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "no", tmp_path / "no" / "ca") == []
    assert examine(tmp_path / "no", tmp_path / "no" / "ca", NOW) == []


def test_age_is_told(certs: Path) -> None:
    leaf = look(certs, certs / "ca")[1]
    assert [leaf.status(NOW + hours * HOUR) for hours in (-1, 0, 17, 24)] == [
        "not yet valid",
        "valid",
        "due",
        "expired",
    ]
    what = "is due: valid until 2026-01-03 00:00 UTC"
    assert found(certs, NOW + 17 * HOUR) == [
        ("reviews-v1.shop/cert-chain.pem", what),
        ("credentials/shop-cert/tls.crt", what),
    ]
    assert not any(each.serious for each in examine(certs, certs / "ca", NOW + 17 * HOUR))
    late = examine(certs, certs / "ca", NOW + 25 * HOUR)
    assert {each.what for each in late} == {"expired at 2026-01-03 00:00 UTC"}
    assert all(each.serious and "pyproxy certs issue" in each.remedy for each in late)


def other_key(certs: Path) -> None:
    write_key(certs / "reviews-v1.shop" / "key.pem", new_key())


def no_root(certs: Path) -> None:
    (certs / "reviews-v1.shop" / "root-cert.pem").unlink()


def other_root(certs: Path) -> None:
    stranger = make_root(new_key(), "cluster.local", NOW)
    (certs / "reviews-v1.shop" / "root-cert.pem").write_bytes(encode_certificates(stranger.roots))


def no_intermediate(certs: Path) -> None:
    file = certs / "reviews-v1.shop" / "cert-chain.pem"
    file.write_bytes(encode_certificates(x509.load_pem_x509_certificates(file.read_bytes())[:1]))


def other_authority(certs: Path) -> None:
    write_authority(certs / "ca", make_root(new_key(), "cluster.local", NOW))


def open_key(certs: Path) -> None:
    (certs / "reviews-v1.shop" / "key.pem").chmod(0o640)


def open_ca_key(certs: Path) -> None:
    (certs / "ca" / "ca-key.pem").chmod(0o604)


def put(certs: Path, names: Names) -> None:
    key = new_key()
    leaf = sign_workload(MIDDLE, key.public_key(), names, NOW)
    write_bundle(
        Place(certs / "reviews-v1.shop"), Bundle((leaf, *MIDDLE.intermediates), key, ROOT.roots), with_key=True
    )


def other_namespace(certs: Path) -> None:
    put(certs, Names(SpiffeId("cluster.local", "other", "reviews")))


def no_identity(certs: Path) -> None:
    put(certs, Names(dns=("reviews",)))


CHAIN = "reviews-v1.shop/cert-chain.pem"
NOT_SIGNED = "no certificate of CN={},O=cluster.local that signed it is there"


@pytest.mark.parametrize(
    ("spoil", "file", "what"),
    [
        (other_key, "reviews-v1.shop/key.pem", "is not the key of cert-chain.pem"),
        (no_root, "reviews-v1.shop", "root-cert.pem: No such file or directory"),
        (other_root, CHAIN, NOT_SIGNED.format("Root CA")),
        (no_intermediate, CHAIN, NOT_SIGNED.format("Intermediate CA")),
        (other_authority, CHAIN, "was signed by another authority than the one here"),
        (open_key, "reviews-v1.shop/key.pem", "others can read it (mode 0640)"),
        (open_ca_key, "ca/ca-key.pem", "others can read it (mode 0604)"),
        (other_namespace, CHAIN, "is for namespace other, its folder for another"),
        (no_identity, CHAIN, "names no identity"),
    ],
)
def test_what_is_wrong_is_found(certs: Path, spoil: Callable[[Path], None], file: str, what: str) -> None:
    spoil(certs)
    assert any(where == file and said.endswith(what) for where, said in found(certs)), found(certs)


def test_a_root_that_was_added_is_to_be_handed_out(certs: Path) -> None:
    older = make_root(new_key(), "older", NOW)
    write_authority(
        certs / "ca", Authority(MIDDLE.certificate, MIDDLE.key, MIDDLE.intermediates, (*ROOT.roots, *older.roots))
    )
    what = "differs from the root-cert.pem of the authority here"
    assert found(certs) == [("reviews-v1.shop/root-cert.pem", what), ("credentials/shop-cert/ca.crt", what)]


def test_foreign_uris_are_found(certs: Path) -> None:
    key = new_key()
    sans = [x509.UniformResourceIdentifier(uri) for uri in ("spiffe://td/reviews", "spiffe://td/ns/shop/sa/x")]
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(MIDDLE.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + HOUR)
        .add_extension(x509.SubjectAlternativeName(sans), critical=True)
        .sign(MIDDLE.key, digest_for(MIDDLE.key))
    )
    write_bundle(
        Place(certs / "reviews-v1.shop"), Bundle((leaf, *MIDDLE.intermediates), key, ROOT.roots), with_key=True
    )
    assert found(certs) == [
        (CHAIN, "has 2 URI SANs, and SPIFFE allows one"),
        (CHAIN, "spiffe://td/reviews is no spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT"),
    ]


def test_a_broken_authority_is_found(certs: Path) -> None:
    write_key(certs / "ca" / "ca-key.pem", new_key())
    [finding] = examine(certs, certs / "ca", NOW)
    assert finding.file == certs / "ca"
    assert "ca-key.pem is not the key of" in finding.what
    assert "pyproxy certs init --force" in finding.remedy
