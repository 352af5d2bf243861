"""What lies in a folder of certificates, and what is wrong with it: for `pyproxy certs show` and `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID

from pyproxy.core.errors import CommandError
from pyproxy.mtls.authority import Authority, Names
from pyproxy.mtls.chains import chain_fault, names_of, serial_of, signed_by, uris_of
from pyproxy.mtls.folders import (
    CA_CERTIFICATE,
    CA_KEY,
    CREDENTIALS,
    ROOT_KEY,
    Place,
    has_authority,
    read_authority,
    read_bundle,
    read_certificates,
)
from pyproxy.mtls.issuing import due
from pyproxy.mtls.keys import same_public
from pyproxy.mtls.layout import KEY

AUTHORITY = "(authority)"
_AGAIN = "issue it again: `pyproxy certs issue`"
_NAME = "issue it again, with --workload and --config, or with --identity NAMESPACE/ACCOUNT"


@dataclass(frozen=True, slots=True)
class Seen:
    """One certificate of a folder."""

    name: str
    """The workload's folder; `(authority)` for the signer."""
    file: Path
    certificate: Certificate

    @property
    def names(self) -> Names:
        return names_of(self.certificate)

    @property
    def issuer(self) -> str:
        """The issuer's common name, else its whole name."""
        return _title(self.certificate.issuer)

    @property
    def subject(self) -> str:
        """Of the signer; workloads have none."""
        return _title(self.certificate.subject)

    @property
    def serial(self) -> str:
        return serial_of(self.certificate)

    def status(self, now: datetime) -> str:
        """`valid`, `due` (time to renew), `expired` or `not yet valid`."""
        if now >= self.certificate.not_valid_after_utc:
            return "expired"
        if now < self.certificate.not_valid_before_utc:
            return "not yet valid"
        return "due" if now >= due(self.certificate) else "valid"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with a file, and what to do."""

    file: Path
    what: str
    remedy: str
    serious: bool = True
    """False: it works today."""


def _title(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def places(certs: Path) -> list[Place]:
    """Where there is a chain or a key: the folders below, credentials among them, and `certs` itself with a key."""
    workloads = [Place(each) for each in _folders(certs) if not has_authority(each)]
    credentials = [Place(each, credential=True) for each in _folders(certs / CREDENTIALS)]
    found = [each for each in (*workloads, *credentials) if each.chain.exists() or each.key.exists()]
    return [Place(certs), *found] if (certs / KEY).exists() else found


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []


def look(certs: Path, ca: Path) -> list[Seen]:
    """The authority's certificate and those of the workloads. Raises CommandError for a file that cannot be read."""
    files = [(AUTHORITY, ca / CA_CERTIFICATE)] if (ca / CA_CERTIFICATE).exists() else []
    files += [(place.folder.name, place.chain) for place in places(certs)]
    return [Seen(name, file, read_certificates(file)[0]) for name, file in files]


def examine(certs: Path, ca: Path, now: datetime) -> list[Finding]:
    """Everything that is wrong with the authority (where there is one) and with the workloads' folders."""
    found: list[Finding] = []
    authority = None
    if has_authority(ca):
        try:
            authority = read_authority(ca, now)
        except CommandError as error:
            found.append(Finding(ca, str(error), "make or bring one with `pyproxy certs init --force`, then issue all"))
        found += _open_keys(ca / CA_KEY, ca / ROOT_KEY)
    for place in places(certs):
        found += _open_keys(place.key)
        found += _examine_bundle(place, authority, now)
    return found


def _examine_bundle(place: Place, authority: Authority | None, now: datetime) -> Iterator[Finding]:
    try:
        bundle = read_bundle(place)
    except CommandError as error:
        yield Finding(place.folder, str(error), _AGAIN)
        return
    leaf, *intermediates = bundle.chain
    if not same_public(leaf.public_key(), bundle.key.public_key()):
        yield Finding(
            place.key, f"is not the key of {place.chain.name}", "issue it again: `pyproxy certs issue --renew`"
        )
    if fault := chain_fault(leaf, intermediates, bundle.roots, now):
        yield Finding(place.chain, fault, _AGAIN)
    elif now >= due(leaf):
        until = f"{leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        yield Finding(place.chain, f"is due: valid until {until}", _AGAIN, serious=False)
    if authority is not None and not signed_by(leaf, authority.certificate):
        yield Finding(place.chain, "was signed by another authority than the one here", _AGAIN)
    elif authority is not None and bundle.roots != authority.roots:
        yield Finding(place.roots, "differs from the root-cert.pem of the authority here", _AGAIN)
    yield from _examine_names(place, leaf)


def _examine_names(place: Place, leaf: Certificate) -> Iterator[Finding]:
    names, uris = names_of(leaf), uris_of(leaf)
    if len(uris) > 1:
        yield Finding(place.chain, f"has {len(uris)} URI SANs, and SPIFFE allows one", _NAME)
    if uris and names.identity is None:
        yield Finding(place.chain, f"{uris[0]} is no spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT", _NAME)
    if not uris and not (place.credential and names.dns):
        yield Finding(place.chain, f"names no {'host' if place.credential else 'identity'}", _NAME)
    _, dot, namespace = place.folder.name.rpartition(".")
    if not place.credential and names.identity is not None and dot and names.identity.namespace != namespace:
        yield Finding(place.chain, f"is for namespace {names.identity.namespace}, its folder for another", _NAME)


def _open_keys(*files: Path) -> Iterator[Finding]:
    for file in files:
        mode = file.stat().st_mode & 0o777 if file.exists() else 0
        if mode & 0o077:
            yield Finding(file, f"others can read it (mode {mode:04o})", f"chmod 600 {file}")
