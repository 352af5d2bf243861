"""Where the files of a credentialName are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.snapshot.credentials import Credentials


def test_files_have_the_names_of_a_secrets_keys(tmp_path: Path) -> None:
    found = Credentials(str(tmp_path)).named("shop")
    folder = tmp_path / "credentials" / "shop"

    assert (found.certificate, found.key) == (str(folder / "tls.crt"), str(folder / "tls.key"))
    assert (found.ca, found.crl) == (str(folder / "ca.crt"), "")


def test_an_authority_of_its_own_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "credentials" / "shop-cacert" / "ca.crt"
    file.parent.mkdir(parents=True)
    file.touch()

    assert Credentials(str(tmp_path)).named("shop").ca == str(file)


def test_a_list_of_revoked_certificates_is_used_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "credentials" / "shop" / "ca.crl"
    file.parent.mkdir(parents=True)
    file.touch()

    assert Credentials(str(tmp_path)).named("shop").crl == str(file)


def test_missing_files_are_named(tmp_path: Path) -> None:
    found = Credentials(str(tmp_path)).named("shop")

    assert found.missing(pair=True, ca=False) == [found.certificate, found.key]
    assert found.missing(pair=False, ca=True) == [found.ca]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("kubernetes-gateway://ns/shop", "shop"),
        ("configmap://ns/roots", "roots"),
        ("../../etc", "etc"),
        ("..", "-"),
        (".", "-"),
        ("a/", "-"),
    ],
)
def test_no_name_leads_out_of_the_folder(name: str, folder: str) -> None:
    assert Credentials("certs").named(name).folder == Path("certs", "credentials", folder)
