"""The command line and environment of every process that the lab starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyproxy
from pyproxy.lab.layout import Workload

PYPROXY = (sys.executable, "-m", "pyproxy")
SERVICES = (sys.executable, "-m", "pyproxy.lab.services")
GATEWAY_ADDRESS = "127.0.0.1"
GATEWAY_LABELS = "istio=ingressgateway,app=gateway"
DRAIN = "1s"


def sidecar_command(workload: Workload, documents: Path, ready_file: Path) -> list[str]:
    """`pyproxy run` beside one instance, on its address and ports."""
    return [
        *PYPROXY,
        "run",
        *("--config", str(documents)),
        *("--workload", workload.name),
        *("--address", workload.address),
        *("--app-address", workload.address),
        *("--outbound-port", str(workload.outbound_port)),
        *("--inbound-port", str(workload.inbound_port)),
        *("--http-proxy-port", str(workload.http_proxy_port)),
        *("--admin-port", str(workload.admin_port)),
        *("--status-port", str(workload.status_port)),
        *("--metrics-port", str(workload.metrics_port)),
        *("--drain-duration", DRAIN),
        *("--ready-file", str(ready_file)),
    ]


def gateway_command(documents: Path, ready_file: Path) -> list[str]:
    """`pyproxy gateway`. What it serves is in the Gateway document; its own ports are any that are free."""
    return [
        *PYPROXY,
        "gateway",
        *("--config", str(documents)),
        *("--labels", GATEWAY_LABELS),
        *("--address", GATEWAY_ADDRESS),
        *("--admin-port", "0"),
        *("--status-port", "0"),
        *("--metrics-port", "0"),
        *("--drain-duration", DRAIN),
        *("--ready-file", str(ready_file)),
    ]


def service_command(workload: Workload) -> list[str]:
    """One program of the bookshop."""
    return [
        *SERVICES,
        workload.service,
        *("--version", workload.version),
        *("--address", workload.address),
        *("--port", str(workload.app_port)),
    ]


def service_environment(workload: Workload) -> dict[str, str]:
    """A program's only knowledge of the mesh: its sidecar is its HTTP proxy."""
    return {**clean_environment(), "HTTP_PROXY": f"http://{workload.address}:{workload.http_proxy_port}"}


def clean_environment() -> dict[str, str]:
    """Ours, without what would change a child's settings behind the lab's back, and with our own package in sight."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYPROXY_") and not name.lower().endswith("_proxy")
    }
    path = [str(Path(pyproxy.__file__).parents[1]), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}
