"""Files of authorities and workloads: their names and modes, whole at every moment, read back with reasons."""

from __future__ import annotations

import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import SpiffeId
from pyproxy.mtls.authority import Authority, Names, make_intermediate, make_root, sign_workload
from pyproxy.mtls.chains import encode_certificates, parse_certificates
from pyproxy.mtls.folders import (
    Bundle,
    Place,
    has_authority,
    read_authority,
    read_bundle,
    write,
    write_authority,
    write_bundle,
    write_key,
)
from pyproxy.mtls.keys import encode_key, new_key, same_public

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ROOT = make_root(new_key(), "cluster.local", NOW)
MIDDLE = make_intermediate(ROOT, new_key(), "cluster.local", NOW)
WHO = Names(SpiffeId("cluster.local", "shop", "reviews"))


def bundle(authority: Authority = MIDDLE) -> Bundle:
    key = new_key()
    leaf = sign_workload(authority, key.public_key(), WHO, NOW)
    return Bundle((leaf, *authority.intermediates), key, authority.roots)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_an_authority_has_istios_four_files(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "ca"
    write_authority(folder, MIDDLE)
    assert {file.name: mode(file) for file in folder.iterdir()} == {
        "root-cert.pem": 0o644,
        "ca-cert.pem": 0o644,
        "ca-key.pem": 0o600,
        "cert-chain.pem": 0o644,
    }
    assert mode(folder) == 0o700
    # Istio's own Makefile puts the signer and the root into cert-chain.pem
    assert parse_certificates((folder / "cert-chain.pem").read_bytes()) == (MIDDLE.certificate, ROOT.certificate)


@pytest.mark.parametrize("authority", [ROOT, MIDDLE], ids=["root", "intermediate"])
def test_an_authority_comes_back_as_it_was(tmp_path: Path, authority: Authority) -> None:
    write_authority(tmp_path, authority)
    found = read_authority(tmp_path, NOW)
    assert (found.certificate, found.intermediates, found.roots) == (
        authority.certificate,
        authority.intermediates,
        authority.roots,
    )
    assert same_public(found.key.public_key(), authority.key.public_key())


def test_a_root_may_come_without_a_chain_and_with_a_second_root(tmp_path: Path) -> None:
    write_authority(tmp_path, ROOT)
    (tmp_path / "cert-chain.pem").unlink()
    older = make_root(new_key(), "old", NOW).certificate
    (tmp_path / "root-cert.pem").write_bytes(encode_certificates([ROOT.certificate, older]))
    found = read_authority(tmp_path, NOW)
    assert found.roots == (ROOT.certificate, older)
    assert found.intermediates == ()


def test_what_is_wrong_with_an_authority_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no authority in .*pyproxy certs init"):
        read_authority(tmp_path, NOW)
    write_authority(tmp_path, ROOT)
    assert has_authority(tmp_path)
    with pytest.raises(CommandError, match=r"ca-cert.pem cannot sign: .*expired at 2035"):
        read_authority(tmp_path, datetime(2040, 1, 1, tzinfo=UTC))
    (tmp_path / "root-cert.pem").write_bytes(encode_certificates([make_root(new_key(), "x", NOW).certificate]))
    with pytest.raises(CommandError, match=r"ca-cert.pem cannot sign: no certificate of CN=Root CA"):
        read_authority(tmp_path, NOW)
    write_authority(tmp_path, ROOT)
    (tmp_path / "ca-key.pem").write_bytes(encode_key(new_key()))
    with pytest.raises(CommandError, match=r"ca-key.pem is not the key of .*ca-cert.pem"):
        read_authority(tmp_path, NOW)
    (tmp_path / "ca-key.pem").write_bytes(b"nothing")
    with pytest.raises(CommandError, match=r"ca-key.pem is no private key in PEM"):
        read_authority(tmp_path, NOW)
    leaf = bundle()
    (tmp_path / "ca-cert.pem").write_bytes(encode_certificates(leaf.chain))
    write_key(tmp_path / "ca-key.pem", leaf.key)
    with pytest.raises(CommandError, match="may not sign others"):
        read_authority(tmp_path, NOW)
    (tmp_path / "ca-cert.pem").unlink()
    with pytest.raises(CommandError, match=r"cannot read .*ca-cert.pem: No such file"):
        read_authority(tmp_path, NOW)


@pytest.mark.parametrize("credential", [False, True])
def test_a_workloads_files(tmp_path: Path, credential: bool) -> None:
    place = Place(tmp_path / "reviews-v1.shop", credential)
    written = bundle()
    write_bundle(place, written, with_key=True)
    names = ("tls.crt", "tls.key", "ca.crt") if credential else ("cert-chain.pem", "key.pem", "root-cert.pem")
    modes = dict(zip(names, (0o644, 0o600, 0o644), strict=True))
    assert {file.name: mode(file) for file in place.folder.iterdir()} == modes
    found = read_bundle(place)
    assert (found.chain, found.roots) == (written.chain, written.roots)
    assert same_public(found.key.public_key(), written.key.public_key())


def test_the_key_can_stay(tmp_path: Path) -> None:
    place = Place(tmp_path / "w.shop")
    first = bundle()
    write_bundle(place, first, with_key=True)
    key = place.key.read_bytes()
    write_bundle(place, bundle(), with_key=False)
    assert place.key.read_bytes() == key
    assert read_bundle(place).chain != first.chain


def test_files_change_from_the_roots_to_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (renamed.append(Path(new).name), replace(old, new)))
    write_bundle(Place(tmp_path / "w.shop"), bundle(), with_key=True)
    assert renamed == ["root-cert.pem", "cert-chain.pem", "key.pem"]


def test_a_key_is_never_open_to_others_not_even_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (seen.append(mode(Path(old))), replace(old, new)))
    old = os.umask(0)
    try:
        write_key(tmp_path / "key.pem", new_key())
    finally:
        os.umask(old)
    assert seen == [0o600]
    assert mode(tmp_path / "key.pem") == 0o600


def test_a_reader_never_meets_half_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cert-chain.pem"
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    write(file, contents[0], 0o644)
    stop = threading.Event()

    def rewrite() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            write(file, contents[turn % 2], 0o644)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert all(file.read_bytes() in contents for _ in range(200))
    finally:
        stop.set()
        writer.join()
    assert [each.name for each in tmp_path.iterdir()] == ["cert-chain.pem"]


def test_unchanged_content_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "root-cert.pem"
    write(file, b"same", 0o644)
    first = file.stat().st_ino
    write(file, b"same", 0o644)
    assert file.stat().st_ino == first
    write(file, b"same", 0o600)
    assert mode(file) == 0o600


def test_what_interrupts_is_heard_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come before the file is in its place and after."""
    replace = os.replace
    for first in (False, True):

        def interrupted(old: str, new: Path, first: bool = first) -> None:
            if first:
                replace(old, new)
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "key.pem", b"new", 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["key.pem"]


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="cannot make the folder"):
        write_bundle(Place(tmp_path / "file" / "w.shop"), bundle(), with_key=True)
    with pytest.raises(CommandError, match=r"cannot write .*no-such"):
        write(tmp_path / "no-such" / "key.pem", b"", 0o600)
