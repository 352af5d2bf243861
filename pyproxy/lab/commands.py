"""The command line and environment of every process that the lab starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyproxy
from pyproxy.lab.fleet import Member, Plan
from pyproxy.lab.layout import Workload

FLEET = (sys.executable, "-m", "pyproxy.lab.fleet")
PYPROXY = "pyproxy.__main__:main"
PROGRAM = "pyproxy.lab.services:main"
GATEWAY_ADDRESS = "127.0.0.1"
GATEWAY_LABELS = "istio=ingressgateway,app=gateway"
GATEWAY_ACCOUNT = "bookshop-gateway"
CREDENTIAL, HTTPS_HOST = "bookshop-cert", "bookshop.localhost"
"""A server's certificate, for whoever writes a Gateway that wants one; curl and browsers know where the host is."""
DRAIN = "1s"
CERTIFICATES_LAST = "90d"
"""Longer than a lab: nobody renews them."""


def plan_lab(workloads: Sequence[Workload], documents: Path, folder: Path, seed: int) -> Plan:
    """Everybody of the lab; certificates, ready files and logs are in its own `folder`."""
    certs = folder / "certs"
    proxies = [
        Member("gateway", PYPROXY, gateway_command(documents, certs, folder / "gateway.ready", seed), ""),
        *(
            Member(each.name, PYPROXY, sidecar_command(each, documents, certs, folder, seed + number), "")
            for number, each in enumerate(workloads, start=1)
        ),
    ]
    programs = [program(workload) for workload in workloads]
    first = Member("certs", PYPROXY, certs_command(documents, certs), "")
    return Plan(_logging(first, folder), [_logging(member, folder) for member in (*programs, *proxies)])


def _logging(member: Member, folder: Path) -> Member:
    return replace(member, log=str(folder / "logs" / f"{member.name}.log"))


def certs_command(documents: Path, certs: Path) -> list[str]:
    """`pyproxy certs`: an authority, a certificate for every workload and the gateway, and one for HTTPS."""
    return [
        "certs",
        "issue",
        *("--init", "--all"),
        *("--gateway", "--identity", f"default/{GATEWAY_ACCOUNT}"),
        *("--dns", HTTPS_HOST, "--credential", CREDENTIAL),
        *("--config", str(documents)),
        *("--certs", str(certs)),
        *("--lifetime", CERTIFICATES_LAST),
    ]


def sidecar_command(workload: Workload, documents: Path, certs: Path, folder: Path, seed: int) -> list[str]:
    """`pyproxy run` beside one instance, on its address and ports."""
    return [
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
        *("--seed", str(seed)),
        *("--ready-file", str(folder / f"{workload.name}.ready")),
    ]


def gateway_command(documents: Path, certs: Path, ready_file: Path, seed: int) -> list[str]:
    """`pyproxy gateway`. What it serves is in the Gateway document; its own ports are any that are free."""
    return [
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
        *("--seed", str(seed)),
        *("--ready-file", str(ready_file)),
    ]


def program(workload: Workload) -> Member:
    """One program of the bookshop. All that it knows of the mesh is that its sidecar is its HTTP proxy."""
    arguments = [workload.service, "--version", workload.version]
    arguments += ["--address", workload.address, "--port", str(workload.app_port)]
    proxy = f"http://{workload.address}:{workload.http_proxy_port}"
    return Member(f"{workload.name}.app", PROGRAM, arguments, "", {"HTTP_PROXY": proxy})


def clean_environment() -> dict[str, str]:
    """Ours, without what would change a child's settings behind the lab's back, and with our own package in sight."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYPROXY_") and not name.lower().endswith("_proxy")
    }
    path = [str(Path(pyproxy.__file__).parents[1]), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}
