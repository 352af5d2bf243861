"""What the authority signs: Istio's shape of certificates, taken by openssl and by Python's own TLS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Authority, Names, make_intermediate, make_root, sign_workload
from pyproxy.mtls.chains import encode_certificates
from pyproxy.mtls.keys import KeyKind, encode_key, new_key

Kind = TypeVar("Kind", bound=x509.ExtensionType)
NOW = datetime.now(UTC).replace(microsecond=0)
REVIEWS = Names(SpiffeId("cluster.local", "default", "reviews"))
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_root(new_key(), "cluster.local", NOW)


def extension(certificate: x509.Certificate, kind: type[Kind]) -> x509.Extension[Kind]:
    return certificate.extensions.get_extension_for_class(kind)


def test_a_workloads_certificate_is_like_one_of_citadels(root: Authority) -> None:
    key = new_key()
    leaf = sign_workload(root, key.public_key(), REVIEWS, NOW)
    assert leaf.subject.rfc4514_string() == ""
    sans = extension(leaf, x509.SubjectAlternativeName)
    assert sans.critical
    assert [each.value for each in sans.value] == ["spiffe://cluster.local/ns/default/sa/reviews"]
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    usage = extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment) == (True, True)
    assert not usage.value.key_cert_sign
    basic = extension(leaf, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca) == (True, False)
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=2)
    assert leaf.not_valid_after_utc == NOW + timedelta(hours=24)


def test_a_root_signs_itself_for_ten_years(root: Authority) -> None:
    certificate = root.certificate
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "CN=Root CA,O=cluster.local"
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)
    usage = extension(certificate, x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    basic = extension(certificate, x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, None)
    assert root.roots == (certificate,)
    assert root.intermediates == ()


def test_serial_numbers_are_random_and_large(root: Authority) -> None:
    key = new_key().public_key()
    serials = {sign_workload(root, key, REVIEWS, NOW).serial_number for _ in range(20)}
    assert len(serials) == 20
    assert min(serial.bit_length() for serial in serials) > 100


def test_no_certificate_outlives_its_signers(root: Authority) -> None:
    middle = make_intermediate(root, new_key(), "cluster.local", NOW, 2 * DAY)
    assert middle.certificate.not_valid_after_utc == NOW + 2 * DAY
    key = new_key().public_key()
    leaf = sign_workload(middle, key, REVIEWS, NOW, 90 * DAY)
    assert leaf.not_valid_after_utc == NOW + 2 * DAY
    with pytest.raises(ValueError, match="the authority expired at"):
        sign_workload(middle, key, REVIEWS, NOW + 2 * DAY)
    assert make_intermediate(root, new_key(), "x", NOW, 9999 * DAY).certificate.not_valid_after_utc == (
        root.certificate.not_valid_after_utc
    )


def test_an_intermediate_signs_workloads_and_nothing_else(root: Authority) -> None:
    middle = make_intermediate(root, new_key(), "cluster.local", NOW)
    assert extension(middle.certificate, x509.BasicConstraints).value.path_length == 0
    assert middle.intermediates == (middle.certificate,)
    assert middle.roots == root.roots


def test_a_servers_certificate_names_hosts_and_is_no_client(root: Authority) -> None:
    leaf = sign_workload(root, new_key().public_key(), Names(dns=("example.com", "*.example.com")), NOW)
    sans = extension(leaf, x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.DNSName) == ["example.com", "*.example.com"]
    assert list(extension(leaf, x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    both = sign_workload(root, new_key().public_key(), Names(REVIEWS.identity, ("example.com",)), NOW)
    assert len(extension(both, x509.SubjectAlternativeName).value) == 2


def test_a_certificate_names_somebody(root: Authority) -> None:
    with pytest.raises(ValueError, match="an identity or a DNS name"):
        sign_workload(root, new_key().public_key(), Names(), NOW)


def test_a_long_organization_is_cut_to_what_a_name_holds() -> None:
    assert make_root(new_key(), "x" * 100, NOW).certificate.subject.rfc4514_string() == f"CN=Root CA,O={'x' * 64}"


# Third parties


def chains() -> list[tuple[str, Authority]]:
    root = make_root(new_key(), "cluster.local", NOW)
    rsa_root = make_root(new_key(KeyKind.RSA), "cluster.local", NOW)
    strong = make_root(ec.generate_private_key(ec.SECP384R1()), "cluster.local", NOW)
    return [
        ("ecdsa", root),
        ("ecdsa, intermediate", make_intermediate(root, new_key(), "cluster.local", NOW)),
        ("rsa", rsa_root),
        ("rsa root, ecdsa intermediate", make_intermediate(rsa_root, new_key(), "cluster.local", NOW)),
        ("p-384 root", strong),
    ]


CHAINS = chains()


@pytest.fixture(params=[chain for _, chain in CHAINS], ids=[name for name, _ in CHAINS])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with what one workload of an authority gets."""
    authority: Authority = request.param
    key = new_key()
    leaf = sign_workload(authority, key.public_key(), Names(REVIEWS.identity, ("localhost",)), NOW)
    (tmp_path / "leaf.pem").write_bytes(encode_certificates([leaf]))
    (tmp_path / "chain.pem").write_bytes(encode_certificates([leaf, *authority.intermediates]))
    (tmp_path / "root.pem").write_bytes(encode_certificates(authority.roots))
    (tmp_path / "key.pem").write_bytes(encode_key(key))
    return tmp_path


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_takes_them_at_its_strictest(files: Path, purpose: str) -> None:
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.pem"]
    done = subprocess.run(
        [*command, "-untrusted", "chain.pem", "leaf.pem"], cwd=files, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "leaf.pem: OK\n"), done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_openssl_reads_the_identity(files: Path) -> None:
    command = ["openssl", "x509", "-in", "leaf.pem", "-noout", "-text"]
    printed = subprocess.run(command, cwd=files, capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in printed.splitlines()]
    assert "URI:spiffe://cluster.local/ns/default/sa/reviews, DNS:localhost" in lines
    assert lines[lines.index("URI:spiffe://cluster.local/ns/default/sa/reviews, DNS:localhost") - 1].endswith(
        "critical"
    )
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in lines
    assert "Digital Signature, Key Encipherment" in lines
    assert "CA:FALSE" in lines


def test_pythons_tls_takes_them_on_both_sides(files: Path) -> None:
    sides = []
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
        context.load_cert_chain(files / "chain.pem", files / "key.pem")
        context.load_verify_locations(files / "root.pem")
        server = protocol is ssl.PROTOCOL_TLS_SERVER
        bios = (outgoing, incoming) if server else (incoming, outgoing)
        sides.append(context.wrap_bio(*bios, server_side=server, server_hostname=None if server else "localhost"))
    client, server_side = sides
    for _ in range(3):
        for side in (client, server_side):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    for side in sides:
        peer = side.getpeercert()
        assert peer is not None
        assert ("URI", "spiffe://cluster.local/ns/default/sa/reviews") in peer["subjectAltName"]
