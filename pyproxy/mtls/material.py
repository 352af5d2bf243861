"""Certificates, keys, roots and revocation lists: one frozen, checked set that a TLS context can load."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import SCHEME
from pyproxy.mtls.facts import CertificateFacts
from pyproxy.mtls.layout import CHAIN, KEY, ROOT

if TYPE_CHECKING:
    from pyproxy.mtls.openssl import TlsContext


class MaterialError(CommandError):
    """Files cannot be used; the text names the file and says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=1)


class Sources(NamedTuple):
    """The files of one set; empty: there is none."""

    certificate: str = ""
    """PEM, the leaf first and then what leads to the root."""
    key: str = ""
    ca: str = ""
    crl: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Those that there are."""
        return tuple(filter(None, self))


@dataclass(frozen=True, slots=True)
class Material:
    """One set, read and checked. Nothing secret is ever printed."""

    sources: Sources
    chain: tuple[CertificateFacts, ...] = ()
    """Our certificate first; empty when the set has none."""
    roots: tuple[CertificateFacts, ...] = ()
    """Whom we trust; empty when the set does not say."""
    chain_pem: bytes = field(default=b"", repr=False)
    """What peers are shown."""
    key_pem: bytes = field(default=b"", repr=False)
    crl_pem: bytes = field(default=b"", repr=False)

    @property
    def identity(self) -> str:
        """The SPIFFE identity of our certificate; empty when there is none."""
        return next((uri for uri in self.chain[0].uri_sans if uri.startswith(SCHEME)), "") if self.chain else ""

    @property
    def not_after(self) -> float:
        """When the first of our certificate and its chain expires, Unix seconds."""
        return min((each.not_after for each in self.chain), default=float("inf"))

    @property
    def roots_not_after(self) -> float:
        """When the first of the roots expires."""
        return min((each.not_after for each in self.roots), default=float("inf"))

    def load_into(self, context: TlsContext) -> None:
        """Show this certificate, trust these roots, refuse what is revoked. Raises TlsError."""
        if self.chain_pem:
            with _as_file(self.chain_pem) as chain, _as_file(self.key_pem) as key:
                context.show(chain, key)
        context.roots.add(tuple(root.der for root in self.roots))
        if self.crl_pem:
            with _as_file(self.crl_pem) as revoked:
                context.roots.refuse_revoked(revoked)


def workload_sources(folder: Path) -> Sources:
    """The files of a workload's folder."""
    return Sources(*(str(folder / name) for name in (CHAIN, KEY, ROOT)))


def workload_folder(certs: Path, workload: str, namespace: str) -> Path:
    """The sub-folder of a workload, as `pyproxy certs issue --all` writes them, where there is one; else `certs`."""
    own = certs / f"{workload}.{namespace}"
    return own if workload and own.is_dir() else certs


@contextlib.contextmanager
def _as_file(contents: bytes) -> Iterator[str]:
    """A path that OpenSSL can open, as it takes chains from files alone: in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pyproxy")
        try:
            os.write(descriptor, contents)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
        file.write(contents)
        file.flush()
        yield file.name
