"""What a certificate says, as Envoy shows it; cryptography is asked the same."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.mtls.facts import CertificateFacts, facts_of
from pyproxy.mtls.parsing import key_algorithm, may_have_issued, parse_facts, parse_pem
from tests.certificates import REVIEWS, Authority

ROOT = Authority()


def by_cryptography(der: bytes) -> CertificateFacts:
    """The facts as cryptography has them. Raises ValueError, or UnsupportedAlgorithm for kinds of keys."""
    certificate = x509.load_der_x509_certificate(der)
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    key = certificate.public_key().public_bytes(*form)
    try:
        sans = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        sans = []
    serial = f"{certificate.serial_number:x}"

    def of(*kinds: type[x509.GeneralName]) -> tuple[str, ...]:
        return tuple(str(each.value) for each in sans if isinstance(each, kinds))

    def text(name: x509.Name) -> str:
        names = {NameOID.EMAIL_ADDRESS: "emailAddress", NameOID.SERIAL_NUMBER: "serialNumber"}
        characters = name.rfc4514_string(names)
        return "".join(c if c.isascii() else "".join(f"\\{b:02X}" for b in c.encode()) for c in characters)

    return CertificateFacts(
        subject=text(certificate.subject),
        issuer=text(certificate.issuer),
        serial=serial if len(serial) % 2 == 0 or serial == "0" else f"0{serial}",
        not_before=certificate.not_valid_before_utc.timestamp(),
        not_after=certificate.not_valid_after_utc.timestamp(),
        uri_sans=of(x509.UniformResourceIdentifier),
        dns_sans=of(x509.DNSName),
        ip_sans=of(x509.IPAddress),
        sans=of(x509.UniformResourceIdentifier, x509.DNSName, x509.IPAddress, x509.RFC822Name),
        sha256=hashlib.sha256(der).hexdigest(),
        spki_sha256=hashlib.sha256(key).hexdigest(),
        der=der,
    )


def attribute(kind: x509.ObjectIdentifier, value: str, form: _ASN1Type | None = None) -> x509.NameAttribute[str]:
    return x509.NameAttribute(kind, value, form)


NAMES = [
    [attribute(NameOID.ORGANIZATION_NAME, 'Sue, "Gr+abbit"; <x>\\ '), attribute(NameOID.COMMON_NAME, " é# ")],
    [attribute(NameOID.COMMON_NAME, "#1"), attribute(NameOID.TITLE, "a\0b"), attribute(NameOID.SERIAL_NUMBER, "7")],
    [attribute(NameOID.COMMON_NAME, "日本", _ASN1Type.BMPString), attribute(NameOID.DOMAIN_COMPONENT, "x")],
    [attribute(NameOID.COMMON_NAME, "日本", _ASN1Type.UniversalString), attribute(NameOID.USER_ID, "ü")],
]
CERTIFICATES = [
    ROOT.own.der,
    ROOT.issue(REVIEWS).der,
    ROOT.issue("b.example.com", REVIEWS, "10.0.0.1", "*.a.example.com", "fd00::1").der,
    ROOT.issue(REVIEWS, key=rsa.generate_private_key(65537, 2048)).der,
    *(ROOT.issue(REVIEWS, subject=x509.Name(names)).der for names in NAMES),
    ROOT.issue(REVIEWS, subject=x509.Name([x509.RelativeDistinguishedName(NAMES[0])])).der,
]


@pytest.mark.parametrize("der", CERTIFICATES)
def test_cryptography_reads_the_same(der: bytes) -> None:
    assert parse_facts(der) == by_cryptography(der)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.sampled_from(CERTIFICATES), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 255)), max_size=3))
def test_whatever_both_can_read_both_read_alike(der: bytes, changes: list[tuple[int, int]]) -> None:
    """But the key: cryptography writes it anew, and Envoy's digest is of what is there."""
    broken = bytearray(der)
    for at, byte in changes:
        broken[at % len(der)] = byte
    try:
        ours = parse_facts(bytes(broken))
    except ValueError:
        return
    try:
        theirs = by_cryptography(bytes(broken))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return
    assert replace(ours, spki_sha256="") == replace(theirs, spki_sha256="")


@given(st.binary(max_size=300))
def test_bytes_are_a_certificate_or_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_facts(data)


def with_extension(*extensions: x509.ExtensionType) -> bytes:
    builder = x509.CertificateBuilder().subject_name(ROOT.subject).issuer_name(ROOT.subject).serial_number(1)
    own = ROOT.own.certificate
    builder = builder.not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
    builder = builder.public_key(own.public_key())
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    return builder.sign(ROOT.own.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_kinds_of_names_that_nobody_asks_for_are_passed_over() -> None:
    names = [
        x509.DirectoryName(ROOT.subject),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
        x509.RFC822Name("a@b.c"),
        x509.DNSName("a"),
    ]
    facts = parse_facts(with_extension(x509.SubjectAlternativeName(names)))
    assert facts.sans == ("a@b.c", "a")


def test_a_signer_is_known_by_its_name_and_the_key_it_says_it_has() -> None:
    leaf, other = ROOT.issue(REVIEWS).der, Authority("other").own.der
    assert may_have_issued(ROOT.own.der, leaf)
    assert not may_have_issued(other, leaf)
    key = ROOT.own.certificate.public_key()
    named = with_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key))
    assert may_have_issued(with_extension(x509.SubjectKeyIdentifier.from_public_key(key)), named)
    assert not may_have_issued(with_extension(x509.SubjectKeyIdentifier(b"another")), named)
    assert may_have_issued(ROOT.own.der, named)  # which does not say


def test_a_key_says_of_which_kind_it_is() -> None:
    assert key_algorithm(CERTIFICATES[1]) == "1.2.840.10045.2.1"
    assert key_algorithm(CERTIFICATES[3]) == "1.2.840.113549.1.1.1"


def test_a_file_has_certificates_among_other_things() -> None:
    text = b"a comment\n" + ROOT.root_pem + ROOT.own.key_pem + ROOT.issue(REVIEWS).pem.replace(b"\n", b"\r\n")
    assert [facts_of(der).issuer for der in parse_pem(text)] == ["CN=root,O=cluster.local"] * 2


@pytest.mark.parametrize("pem", [b"", ROOT.own.key_pem, b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_an_error(pem: bytes) -> None:
    with pytest.raises(ValueError):
        parse_pem(pem)


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
