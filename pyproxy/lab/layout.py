"""Which instances the bookshop has, and the address and ports of each on this machine."""

from __future__ import annotations

import errno
import re
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields

from pyproxy.core.errors import CommandError

INSTANCES = (
    ("productpage", "v1"),
    ("details", "v1"),
    ("reviews", "v1"),
    ("reviews", "v2"),
    ("reviews", "v3"),
    ("ratings", "v1"),
)
SERVICE_PORT = 9080
APP_PORT = 8080
FIRST_PORT = 20000
"""Where the ports begin when every instance shares 127.0.0.1: ten for each."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One instance of a service, its program and the sidecar beside it, all on one address."""

    service: str
    version: str
    address: str
    app_port: int = APP_PORT
    service_port: int = SERVICE_PORT
    """Where the mesh calls it: the sidecar's named ingress listener."""
    outbound_port: int = 15001
    inbound_port: int = 15006
    http_proxy_port: int = 15007
    admin_port: int = 15000
    status_port: int = 15021
    metrics_port: int = 15090

    @property
    def name(self) -> str:
        """The WorkloadEntry's name: `reviews-v2`."""
        return f"{self.service}-{self.version}"

    def ports(self) -> tuple[int, ...]:
        """Every port that must be free on `address`."""
        return tuple(getattr(self, name) for name in PORT_FIELDS)


PORT_FIELDS = tuple(field.name for field in fields(Workload) if field.name.endswith("_port"))


def choose_layout(subnet: str) -> tuple[Workload, ...]:
    """An address for each instance (`127.0.1` gives 127.0.1.1, 127.0.1.2, ...), or where the system has 127.0.0.1
    only, or `subnet` is `none`, ports for each on that one. Raises CommandError for what is no loopback subnet."""
    if subnet != "none" and not re.fullmatch(r"127(\.\d{1,3}){2}", subnet):
        raise CommandError(
            f"--subnet {subnet}: give the first three numbers of a loopback address, as 127.0.2, or none"
        )
    if subnet != "none" and _can_bind(f"{subnet}.1"):
        return tuple(
            Workload(service, version, f"{subnet}.{number}")
            for number, (service, version) in enumerate(INSTANCES, start=1)
        )
    return tuple(_on_shared_address(FIRST_PORT + 10 * number, *instance) for number, instance in enumerate(INSTANCES))


def _on_shared_address(first: int, service: str, version: str) -> Workload:
    ports = {name: first + offset for offset, name in enumerate(PORT_FIELDS)}
    return Workload(service, version, "127.0.0.1", **ports)


def _can_bind(address: str) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def require_free(addresses: Iterable[tuple[str, int]]) -> None:
    """Raise CommandError for the first address and port that somebody else listens on."""
    for address, port in addresses:
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT does not count
                probe.bind((address, port))
        except OSError as error:
            raise CommandError(_occupied(address, port, error)) from error


def _occupied(address: str, port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"cannot listen on {address}:{port}: {error.strerror}"
    tool = f"ss -ltnp 'sport = :{port}'" if sys.platform == "linux" else f"lsof -nP -iTCP:{port} -sTCP:LISTEN"
    return (
        f"{address}:{port} is taken, perhaps by another lab. See who has it with `{tool}` and stop that, "
        "or start this lab beside it: --subnet 127.0.2 moves the services, --port 8081 the page."
    )
