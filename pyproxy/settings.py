"""Everything about the process: what flags and their PYPROXY_ variables say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyproxy.core.spiffe import workload_identity
from pyproxy.istio.resources import Document
from pyproxy.mtls.layout import CHAIN
from pyproxy.mtls.material import workload_folder
from pyproxy.snapshot.identity import identity_of
from pyproxy.snapshot.model import Identity, Listening

DEFAULT_CERTS = Path("certs")


@dataclass(frozen=True, slots=True)
class Settings:
    """One proxy's flags. Ports: 0 picks a free one. Times in seconds."""

    config: tuple[Path, ...] = (Path("config"),)
    workload: str = ""
    namespace: str = "default"
    service_account: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    gateway: bool = False
    address: str | None = None
    outbound_port: int = 15001
    inbound_port: int = 15006
    http_proxy_port: int = 15007
    admin_port: int = 15000
    status_port: int = 15021
    metrics_port: int = 15090
    app_address: str = "127.0.0.1"
    certs: Path | None = None
    workers: int | None = None
    drain_duration: float = 5.0
    request_headers_timeout: float = 10.0
    log_level: str = "info"
    log_format: str = "text"
    ready_file: Path | None = None
    output: str = "text"
    """`json`: what the ready file has goes to standard output too."""
    seed: int | None = None

    @property
    def admin_address(self) -> str:
        """Where admin listens: never wider than told."""
        return self.address or "127.0.0.1"

    @property
    def status_address(self) -> str:
        """Where status and metrics listen."""
        return self.address or "0.0.0.0"

    def identity_in(self, documents: Sequence[Document]) -> Identity:
        """Who this proxy is, by its WorkloadEntry or by its flags. Raises CommandError for a workload nobody has."""
        if self.workload:
            return identity_of(documents, self.workload)
        return Identity(
            workload=self.labels.get("app", "gateway" if self.gateway else ""),
            namespace=self.namespace,
            labels=self.labels,
            service_account=self.service_account,
            gateway=self.gateway,
            address=self.address or "127.0.0.1",
        )

    def certificates_of(self, identity: Identity) -> Path | None:
        """The folder with this proxy's certificate; None: it has none. A folder that nobody named may be empty."""
        name = self.workload.partition(".")[0] or identity.workload  # as `pyproxy certs` calls its folder
        folder = workload_folder(self.certs or DEFAULT_CERTS, name, identity.namespace)
        return folder if self.certs is not None or (folder / CHAIN).exists() else None

    def expected_identity(self, identity: Identity) -> str:
        """What a WorkloadEntry makes of this proxy, by which others check its certificate; empty without one."""
        if not self.workload:
            return ""
        return str(workload_identity(identity.trust_domain, identity.namespace, identity.service_account))

    @property
    def listening(self) -> Listening:
        """Where the listeners that no document places are bound."""
        return Listening(
            address=self.address,
            outbound_port=self.outbound_port,
            inbound_port=self.inbound_port,
            http_proxy_port=self.http_proxy_port,
            app_address=self.app_address,
            certs=str(self.certs or DEFAULT_CERTS),
        )
