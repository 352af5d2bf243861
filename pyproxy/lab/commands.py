"""The command line and environment of every process that the lab starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import pyproxy
from pyproxy.lab.layout import Workload

PYPROXY = (sys.executable, "-m", "pyproxy")
SHOP = (sys.executable, "-m", "pyproxy.lab.shop")
GATEWAY_ADDRESS = "127.0.0.1"
GATEWAY_LABELS = "istio=ingressgateway,app=gateway"
GATEWAY_ACCOUNT = "bookshop-gateway"
CREDENTIAL, HTTPS_HOST = "bookshop-cert", "bookshop.localhost"
"""A server's certificate, for whoever writes a Gateway that wants one; curl and browsers know where the host is."""
DRAIN = "1s"
CERTIFICATES_LAST = "90d"
"""Longer than a lab: nobody renews them."""


def certs_command(documents: Path, certs: Path) -> list[str]:
    """`pyproxy certs`: an authority, a certificate for every workload and the gateway, and one for HTTPS."""
    return [
        *PYPROXY,
        "certs",
        "issue",
        *("--init", "--all"),
        *("--gateway", "--identity", f"default/{GATEWAY_ACCOUNT}"),
        *("--dns", HTTPS_HOST, "--credential", CREDENTIAL),
        *("--config", str(documents)),
        *("--certs", str(certs)),
        *("--lifetime", CERTIFICATES_LAST),
    ]


def sidecar_command(workload: Workload, documents: Path, certs: Path, ready_file: Path) -> list[str]:
    """`pyproxy run` beside one instance, on its address and ports."""
    return [
        *PYPROXY,
        "run",
        *("--config", str(documents)),
        *("--certs", str(certs)),
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


def gateway_command(documents: Path, certs: Path, ready_file: Path) -> list[str]:
    """`pyproxy gateway`. What it serves is in the Gateway document; its own ports are any that are free."""
    return [
        *PYPROXY,
        "gateway",
        *("--config", str(documents)),
        *("--certs", str(certs)),
        *("--labels", GATEWAY_LABELS),
        *("--service-account", GATEWAY_ACCOUNT),
        *("--address", GATEWAY_ADDRESS),
        *("--admin-port", "0"),
        *("--status-port", "0"),
        *("--metrics-port", "0"),
        *("--drain-duration", DRAIN),
        *("--ready-file", str(ready_file)),
    ]


def shop_command(workloads: Iterable[Workload]) -> list[str]:
    """The programs of the bookshop. All that each knows of the mesh is that its sidecar is its HTTP proxy."""
    return [*SHOP, *(_instance(workload) for workload in workloads)]


def _instance(workload: Workload) -> str:
    proxy = f"http://{workload.address}:{workload.http_proxy_port}"
    return ",".join((workload.service, workload.version, workload.address, str(workload.app_port), proxy))


def clean_environment() -> dict[str, str]:
    """Ours, without what would change a child's settings behind the lab's back, and with our own package in sight."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYPROXY_") and not name.lower().endswith("_proxy")
    }
    path = [str(Path(pyproxy.__file__).parents[1]), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}
