"""Where the files of a `credentialName` are: `credentials/NAME` in the certificates' folder, as a Secret has them.

`tls.crt`, `tls.key` and, for a peer's certificate, `ca.crt`, of which `credentials/NAME-cacert` may have a better one.
Source: Istio pilot/pkg/credentials/kube/secrets.go (the keys), pilot/pkg/security/model/authentication.go (the suffix).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CA_SUFFIX = "-cacert"


@dataclass(frozen=True, slots=True)
class Credential:
    """The files of one credential, there or not."""

    folder: Path

    @property
    def certificate(self) -> str:
        """The chain that is shown."""
        return str(self.folder / "tls.crt")

    @property
    def key(self) -> str:
        """Its key."""
        return str(self.folder / "tls.key")

    @property
    def ca(self) -> str:
        """What the peer is held against."""
        own = self.folder.with_name(self.folder.name + _CA_SUFFIX) / "ca.crt"
        return str(own if own.is_file() else self.folder / "ca.crt")

    @property
    def crl(self) -> str:
        """Revoked certificates of the peer's authority; empty without such a file."""
        file = self.folder / "ca.crl"
        return str(file) if file.is_file() else ""

    def missing(self, *, pair: bool, ca: bool) -> list[str]:
        """The files that are needed and not there."""
        wanted = [*((self.certificate, self.key) if pair else ()), *((self.ca,) if ca else ())]
        return [file for file in wanted if not Path(file).is_file()]


@dataclass(frozen=True, slots=True)
class Credentials:
    """All of them, in the folder that `--certs` gives."""

    certs: str

    def named(self, name: str) -> Credential:
        """A credential by its name; of `kubernetes-gateway://NAMESPACE/NAME` the last part is its name.

        A name that would lead out of the folder leads to a file that nobody has.
        """
        last = name.rpartition("/")[2]
        return Credential(Path(self.certs, "credentials", last if last.strip(".") else "-"))
