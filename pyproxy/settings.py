"""Everything about the process: what flags and their PYPROXY_ variables say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
    seed: int | None = None

    @property
    def admin_address(self) -> str:
        """Where admin listens: never wider than told."""
        return self.address or "127.0.0.1"

    @property
    def status_address(self) -> str:
        """Where status and metrics listen."""
        return self.address or "0.0.0.0"
