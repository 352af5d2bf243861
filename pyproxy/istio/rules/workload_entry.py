"""WorkloadEntry and WorkloadGroup: addresses, ports and probes."""

from __future__ import annotations

import re

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.workload_entry import (
    GrpcHealthCheckConfig,
    HTTPHealthCheckConfig,
    ReadinessProbe,
    TCPHealthCheckConfig,
    WorkloadEntry,
    WorkloadGroup,
)
from pyproxy.istio.rules.amounts import not_negative, port_problem
from pyproxy.istio.rules.names import (
    UNIX_PREFIX,
    check_labels,
    dns_label_problem,
    fqdn_problem,
    is_ip_address,
    unix_address_problem,
)
from pyproxy.istio.rules.place import Place

_PROBE_HEADER = re.compile(r"[-A-Za-z0-9]+")


def check_workload_entry(spec: WorkloadEntry, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a WorkloadEntry on its own."""
    check_entry(spec, place)


def check_entry(entry: WorkloadEntry, place: Place, *, host_names: bool = True) -> None:
    """An entry, on its own or in a ServiceEntry; `host_names` where its address may be one."""
    address = entry.address or ""
    if not address:
        if not entry.network:
            place.error("address is required")
        else:
            place.warning(f"without an address it is reached through the gateway of network {entry.network}")
    elif address.startswith(UNIX_PREFIX):
        place.at("address").error(unix_address_problem(address.removeprefix(UNIX_PREFIX)))
        if entry.ports:
            place.at("ports").error("a unix socket has no ports")
    elif not is_ip_address(address):
        if not host_names:
            place.at("address").error(f'"{address}" is not an IP address; a host name needs resolution: DNS')
        elif fqdn_problem(address) is not None:
            place.at("address").error(f'"{address}" is neither an IP address nor a host name')
    check_entry_ports(entry, place)


def check_entry_ports(entry: WorkloadEntry, place: Place) -> None:
    """Ports by the service's name for them, and labels."""
    for name, port in entry.ports.items():
        place.at("ports", name).error(dns_label_problem(name))
        place.at("ports", name).error(port_problem(port))
    check_labels(entry.labels, place.at("labels"))


def check_workload_group(spec: WorkloadGroup, meta: ObjectMeta, place: Place) -> None:
    """Labels and the probe; the template's address comes later, from the workload itself."""
    if spec.metadata is not None:
        check_labels(spec.metadata.labels, place.at("metadata", "labels"))
    check_entry_ports(spec.template, place.at("template"))
    if spec.probe is not None:
        check_probe(spec.probe, place.at("probe"))


def check_probe(probe: ReadinessProbe, place: Place) -> None:
    """One way to ask for readiness, and times that are not negative."""
    for name, number in (
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ):
        place.at(name).error(not_negative(number))
    if probe.http_get is not None:
        _check_http_probe(probe.http_get, place.at("httpGet"))
    elif probe.tcp_socket is not None:
        _check_probe_port(probe.tcp_socket, place.at("tcpSocket"))
    elif probe.grpc is not None:
        _check_probe_port(probe.grpc, place.at("grpc"))
    elif probe.exec is None:
        place.error("asks nothing: httpGet, tcpSocket, grpc or exec is required")
    elif not all(probe.exec.command) or not probe.exec.command:
        place.at("exec", "command").error("is required, and no part of it may be empty")


def _check_probe_port(
    probe: HTTPHealthCheckConfig | TCPHealthCheckConfig | GrpcHealthCheckConfig, place: Place
) -> None:
    place.at("port").error(port_problem(probe.port or 0))


def _check_http_probe(probe: HTTPHealthCheckConfig, place: Place) -> None:
    _check_probe_port(probe, place)
    if probe.scheme not in (None, "", "HTTP", "HTTPS"):
        place.at("scheme").error(f'must be HTTP or HTTPS, not "{probe.scheme}"')
    for index, header in enumerate(probe.http_headers):
        if not _PROBE_HEADER.fullmatch(header.name or ""):
            place.at("httpHeaders", index, "name").error(f'"{header.name or ""}" is not a header name')
