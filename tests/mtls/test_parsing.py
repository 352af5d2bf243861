"""What a certificate says, as Envoy shows it."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.mtls.facts import facts_of
from pyproxy.mtls.parsing import parse_facts
from tests.certificates import REVIEWS, Authority

ROOT = Authority()


def test_names_are_told_apart_and_kept_in_order() -> None:
    facts = facts_of(ROOT.issue("b.example.com", REVIEWS, "10.0.0.1", "*.a.example.com").der)
    assert facts.uri_sans == (REVIEWS,)
    assert facts.dns_sans == ("b.example.com", "*.a.example.com")
    assert facts.ip_sans == ("10.0.0.1",)
    assert facts.sans == ("b.example.com", REVIEWS, "10.0.0.1", "*.a.example.com")


def test_a_certificate_may_have_no_names() -> None:
    assert facts_of(ROOT.own.der).sans == ()


def test_digests_and_serial_number_are_lower_case_whole_bytes() -> None:
    issued = ROOT.issue(REVIEWS)
    facts = facts_of(issued.der)
    assert facts.sha256 == hashlib.sha256(issued.der).hexdigest()
    assert bytes.fromhex(facts.serial) == issued.certificate.serial_number.to_bytes(len(facts.serial) // 2)
    assert facts.serial == facts.serial.lower()
    assert len(facts.spki_sha256) == 64


def test_subject_and_issuer_are_written_as_openssl_writes_them() -> None:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sue, Grabbit"),
            x509.NameAttribute(NameOID.COMMON_NAME, "é"),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.c"),
        ]
    )
    facts = facts_of(ROOT.issue(REVIEWS, subject=subject).der)
    assert facts.subject == r"emailAddress=a@b.c,CN=\C3\A9,O=Sue\, Grabbit"
    assert facts.issuer == "CN=root,O=cluster.local"


def test_a_certificate_is_read_once() -> None:
    der = ROOT.issue(REVIEWS).der
    assert facts_of(der) is facts_of(bytes(der))


def test_what_is_no_certificate_is_an_error() -> None:
    with pytest.raises(ValueError):
        facts_of(b"no certificate")


CERTIFICATES = (ROOT.own.der, ROOT.issue("b.example.com", REVIEWS, "10.0.0.1").der)
CURVE, UNKNOWN_CURVE = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a8648ce3d030147")


def test_a_kind_of_key_that_cannot_be_read_is_an_error() -> None:
    """OpenSSL may know it: then its owner has no name here, and nothing falls over."""
    der = CERTIFICATES[1]
    assert CURVE in der
    with pytest.raises(ValueError):
        facts_of(der.replace(CURVE, UNKNOWN_CURVE))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.sampled_from(CERTIFICATES), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=3))
def test_whatever_a_peer_sends_is_a_certificate_or_an_error(der: bytes, changes: list[tuple[int, int]]) -> None:
    broken = bytearray(der)
    for at, byte in changes:
        broken[at % len(der)] = byte
    with contextlib.suppress(ValueError):
        assert parse_facts(bytes(broken)).der == broken
