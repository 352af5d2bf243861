"""Certificate files: what is taken, what is refused, and what is said of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pyproxy.mtls.material import MaterialError, Sources, workload_folder
from pyproxy.mtls.openssl import TlsContext
from pyproxy.mtls.reading import read, read_workload
from tests.certificates import HOUR, REVIEWS, Authority

ROOT, OTHER = Authority(), Authority("other")


def refusal(folder: Path, now: float | None = None) -> str:
    with pytest.raises(MaterialError) as raised:
        read_workload(folder, time.time() if now is None else now)
    return str(raised.value)


def test_a_workload_has_an_identity_dates_and_roots(tmp_path: Path) -> None:
    issued = ROOT.issue(REVIEWS)
    material = read_workload(ROOT.write(tmp_path, issued), time.time())
    assert material.identity == REVIEWS
    assert material.chain[0].serial.lstrip("0") == f"{issued.certificate.serial_number:x}"
    assert material.chain[0].issuer == "CN=root,O=cluster.local"
    assert material.not_after == issued.certificate.not_valid_after_utc.timestamp()
    assert [root.subject for root in material.roots] == ["CN=root,O=cluster.local"]


def test_an_intermediate_leads_to_the_root(tmp_path: Path) -> None:
    intermediate = Authority("intermediate", ROOT)
    material = read_workload(ROOT.write(tmp_path, intermediate.issue(REVIEWS)), time.time())
    assert [each.subject.partition(",")[0] for each in material.chain] == ["", "CN=intermediate"]


def test_two_roots_are_trusted_while_one_replaces_the_other(tmp_path: Path) -> None:
    folder = ROOT.workload(tmp_path)
    (folder / "root-cert.pem").write_bytes(OTHER.root_pem + ROOT.root_pem)
    assert len(read_workload(folder, time.time()).roots) == 2


def test_no_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere").startswith(f"{tmp_path}/nowhere: there is no such folder; make one with")


@pytest.mark.parametrize("name", ["cert-chain.pem", "key.pem", "root-cert.pem"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (ROOT.workload(tmp_path) / name).unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path}/{name}: No such file or directory; issue it again")


@pytest.mark.parametrize("name", ["cert-chain.pem", "key.pem", "root-cert.pem"])
@pytest.mark.parametrize("content", [b"", b"\0\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_with_something_else_in_it_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (ROOT.workload(tmp_path) / name).write_bytes(content)
    assert refusal(tmp_path).startswith(f"{tmp_path}/{name}: ")


def test_the_key_of_another_certificate(tmp_path: Path) -> None:
    (ROOT.workload(tmp_path) / "key.pem").write_bytes(ROOT.issue(REVIEWS).key_pem)
    assert refusal(tmp_path).startswith(f"{tmp_path}/key.pem: the key is not that of {tmp_path}/cert-chain.pem")


def test_an_encrypted_key_is_not_asked_a_passphrase_for(tmp_path: Path) -> None:
    issued = ROOT.issue(REVIEWS)
    form = serialization.BestAvailableEncryption(b"secret")
    encrypted = issued.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, form)
    (ROOT.write(tmp_path, issued) / "key.pem").write_bytes(encrypted)
    assert f"{tmp_path}/key.pem: is encrypted" in refusal(tmp_path)


def test_an_expired_certificate(tmp_path: Path) -> None:
    ROOT.write(tmp_path, ROOT.issue(REVIEWS, start=-2 * HOUR, end=-HOUR))
    assert refusal(tmp_path).startswith(f"{tmp_path}/cert-chain.pem: expired at 2")


def test_a_certificate_of_tomorrow(tmp_path: Path) -> None:
    ROOT.write(tmp_path, ROOT.issue(REVIEWS, start=HOUR, end=2 * HOUR))
    assert ": not valid before 2" in refusal(tmp_path)


def test_a_certificate_without_an_identity(tmp_path: Path) -> None:
    ROOT.write(tmp_path, ROOT.issue("reviews.example.com"))
    assert "the certificate has no identity" in refusal(tmp_path)


def test_a_root_that_did_not_sign(tmp_path: Path) -> None:
    (ROOT.workload(tmp_path) / "root-cert.pem").write_bytes(OTHER.root_pem)
    expected = f"{tmp_path}/cert-chain.pem: does not lead to {tmp_path}/root-cert.pem: unable to get local issuer"
    assert refusal(tmp_path).startswith(expected)


def test_a_missing_intermediate(tmp_path: Path) -> None:
    issued = Authority("intermediate", ROOT).issue(REVIEWS)
    issued.chain = []
    ROOT.write(tmp_path, issued)
    assert "does not lead to" in refusal(tmp_path)


def test_a_file_of_another_kind_is_not_read_whole(tmp_path: Path) -> None:
    with (ROOT.workload(tmp_path) / "root-cert.pem").open("wb") as file:
        os.truncate(file.fileno(), 1 << 30)
    assert "larger than 1048576 bytes" in refusal(tmp_path)


def test_nothing_secret_is_printed(tmp_path: Path) -> None:
    material = read_workload(ROOT.workload(tmp_path), time.time())
    text = repr(material) + str(material)
    assert "PRIVATE" not in text
    assert not [line for line in (tmp_path / "key.pem").read_text().splitlines() if line in text]


def test_files_that_documents_name_may_be_roots_alone(tmp_path: Path) -> None:
    ROOT.workload(tmp_path)
    material = read(Sources(ca=str(tmp_path / "root-cert.pem")), time.time())
    assert (material.identity, material.chain, len(material.roots)) == ("", (), 1)


def test_a_revocation_list_is_loaded_and_a_broken_one_refused(tmp_path: Path) -> None:
    ROOT.workload(tmp_path)
    crl = tmp_path / "revoked.pem"
    crl.write_bytes(ROOT.revoke(ROOT.issue(REVIEWS)))
    material = read(Sources(ca=str(tmp_path / "root-cert.pem"), crl=str(crl)), time.time())
    material.load_into(TlsContext(server_side=False))
    crl.write_bytes(b"none")
    with pytest.raises(MaterialError, match="no revocation list"):
        read(Sources(ca=str(tmp_path / "root-cert.pem"), crl=str(crl)), time.time())


def test_a_workload_has_a_folder_of_its_own_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "reviews-v1.default").mkdir()
    assert workload_folder(tmp_path, "reviews-v1", "default") == tmp_path / "reviews-v1.default"
    assert workload_folder(tmp_path, "ratings-v1", "default") == tmp_path
    assert workload_folder(tmp_path, "", "default") == tmp_path
