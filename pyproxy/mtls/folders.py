"""Where certificates and keys lie, under Istio's names, and how they are written so that no reader meets half a file.

Source of the names: Istio security/pkg/pki/ca/ca.go; those of credentials: snapshot/credentials.py.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography.x509 import Certificate

from pyproxy.core.errors import CommandError
from pyproxy.mtls.authority import Authority
from pyproxy.mtls.chains import chain_fault, encode_certificates, is_authority, parse_certificates, self_signed
from pyproxy.mtls.keys import PrivateKey, encode_key, parse_key, same_public
from pyproxy.mtls.layout import CHAIN, KEY, ROOT

CA_CERTIFICATE, CA_KEY, ROOT_KEY = "ca-cert.pem", "ca-key.pem", "root-key.pem"
CA: Final = "ca"
"""The authority's folder among those of the workloads."""
CREDENTIALS: Final = "credentials"
"""The folder of what a Gateway's `credentialName` names."""
_PRIVATE, _PUBLIC = 0o600, 0o644
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder for one bundle; in that of a credential the files have a Secret's names."""

    folder: Path
    credential: bool = False

    @property
    def chain(self) -> Path:
        return self.folder / ("tls.crt" if self.credential else CHAIN)

    @property
    def key(self) -> Path:
        return self.folder / ("tls.key" if self.credential else KEY)

    @property
    def roots(self) -> Path:
        return self.folder / ("ca.crt" if self.credential else ROOT)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a workload has: its certificate first in the chain, its key, and whom it trusts."""

    chain: tuple[Certificate, ...]
    key: PrivateKey
    roots: tuple[Certificate, ...]


def has_authority(folder: Path) -> bool:
    """Whether there is a signing key, and with it something to lose."""
    return (folder / CA_KEY).exists()


def read_authority(folder: Path, now: datetime) -> Authority:
    """The authority of a folder with Istio's four files; `cert-chain.pem` may be missing where the root itself signs.

    Raises CommandError, also when it has expired or does not lead to the root.
    """
    if not has_authority(folder):
        raise CommandError(
            f"there is no authority in {folder}: make one with `pyproxy certs init --ca {folder}`, "
            "or name the folder that has ca-cert.pem and ca-key.pem with --ca"
        )
    roots = read_certificates(folder / ROOT)
    chain = read_certificates(folder / CHAIN) if (folder / CHAIN).exists() else ()
    return assemble(folder / CA_CERTIFICATE, folder / CA_KEY, chain, roots, now)


def assemble(
    certificate_file: Path,
    key_file: Path,
    chain: Sequence[Certificate],
    roots: Sequence[Certificate],
    now: datetime,
) -> Authority:
    """An authority out of its parts; without `roots` the certificates of the file that are self-signed are trusted.

    Raises CommandError when the parts do not fit, or what they make may not sign.
    """
    key = read_key(key_file)
    found = read_certificates(certificate_file)
    certificate = next((each for each in found if same_public(each.public_key(), key.public_key())), None)
    if certificate is None:
        raise CommandError(f"{key_file} is not the key of {certificate_file}: bring the two that belong together")
    if not is_authority(certificate):
        raise CommandError(f"{certificate_file} may not sign others (it has no CA:TRUE): bring an authority's")
    seen = dict.fromkeys((certificate, *found, *chain))
    trusted = tuple(roots) or tuple(each for each in found if self_signed(each))
    if not trusted:
        raise CommandError(f"{certificate_file} is no root: append the root that signed it to the file")
    intermediates = tuple(each for each in seen if not self_signed(each))
    if fault := chain_fault(certificate, intermediates, trusted, now):
        raise CommandError(f"{certificate_file} cannot sign: {fault}", exit_code=1)
    return Authority(certificate, key, intermediates, trusted)


def write_authority(folder: Path, authority: Authority) -> None:
    """Istio's four files, the key last. Raises CommandError."""
    _make_folder(folder, 0o700)
    chain = dict.fromkeys((*authority.intermediates, *authority.roots))
    write(folder / ROOT, encode_certificates(authority.roots), _PUBLIC)
    write(folder / CHAIN, encode_certificates(tuple(chain)), _PUBLIC)
    write(folder / CA_CERTIFICATE, encode_certificates([authority.certificate]), _PUBLIC)
    write(folder / CA_KEY, encode_key(authority.key), _PRIVATE)


def read_bundle(place: Place) -> Bundle:
    """What is in a workload's folder. Raises CommandError."""
    return Bundle(read_certificates(place.chain), read_key(place.key), read_certificates(place.roots))


def write_bundle(place: Place, bundle: Bundle, *, with_key: bool) -> None:
    """Roots, chain, key, in this order: until the last is there a proxy that reads along finds no pair, and waits.

    `with_key` False leaves the key that is there. Raises CommandError.
    """
    _make_folder(place.folder, 0o755)
    write(place.roots, encode_certificates(bundle.roots), _PUBLIC)
    write(place.chain, encode_certificates(bundle.chain), _PUBLIC)
    if with_key:
        write_key(place.key, bundle.key)


def write_key(file: Path, key: PrivateKey) -> None:
    """A key that only its owner can read. Raises CommandError."""
    write(file, encode_key(key), _PRIVATE)


def read_certificates(file: Path) -> tuple[Certificate, ...]:
    """Raises CommandError with the file's name."""
    return _read(file, parse_certificates)


def read_key(file: Path) -> PrivateKey:
    """Raises CommandError with the file's name and nothing of its content."""
    return _read(file, parse_key)


def _read(file: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(file.read_bytes())
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{file} {error}") from None


def write(file: Path, content: bytes, mode: int) -> None:
    """Replace a file at once, under a hidden name first; unchanged content is left alone. Raises CommandError."""
    try:
        if file.exists() and file.read_bytes() == content and file.stat().st_mode & 0o777 == mode:
            return
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # 0600 from the first byte
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            os.replace(temporary, file)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}. Whose folder is it?", exit_code=1) from error


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=mode, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the folder {folder}: {error.strerror}", exit_code=1) from error
