"""ServiceEntry: hosts, ports, and which endpoints go with which resolution."""

from __future__ import annotations

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.service_entry import ServiceEntry, ServicePort
from pyproxy.istio.networking.workload_entry import WorkloadEntry
from pyproxy.istio.problems import ADDRESSES_REQUIRED
from pyproxy.istio.rules import protocols
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.names import (
    UNIX_PREFIX,
    dns_label_problem,
    fqdn_problem,
    ip_block_problem,
    is_ip_address,
    partial_wildcard_problem,
    wildcard_domain_problem,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.protocols import protocol_of, protocol_problem
from pyproxy.istio.rules.visibility import check_export_to, check_label_selector
from pyproxy.istio.rules.workload_entry import check_entry, check_entry_ports

_NO_AUTOALLOCATION = "networking.istio.io/enable-autoallocate-ip"
_DYNAMIC_PROTOCOLS = frozenset(("http", "http2", "grpc", "tls"))


def check_service_entry(spec: ServiceEntry, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a ServiceEntry on its own."""
    resolution = spec.resolution or "NONE"
    _check_lengths(spec, place)
    _check_hosts(spec, resolution, place.at("hosts"))
    _check_addresses(spec, resolution, place.at("addresses"))
    _check_ports(spec, place.at("ports"), needs_address=not _gets_address(spec, resolution, meta))
    if spec.workload_selector is not None:
        check_label_selector(spec.workload_selector.labels, place.at("workloadSelector"), "labels")
        if spec.endpoints:
            place.error("workloadSelector and endpoints exclude each other: set one of them")
    match resolution:
        case "NONE":
            _check_no_resolution(spec, place)
        case "STATIC":
            _check_static(spec, place.at("endpoints"))
        case "DNS" | "DNS_ROUND_ROBIN":
            _check_dns(spec, resolution, place)
        case "DYNAMIC_DNS":
            _check_dynamic_dns(spec, place)
    if resolution != "NONE":
        _check_distinguishable(spec, place)
    check_export_to(spec.export_to, meta, place.at("exportTo"), nobody=True)


def _check_lengths(spec: ServiceEntry, place: Place) -> None:
    for name, values, most in (
        ("hosts", spec.hosts, 256),
        ("addresses", spec.addresses, 256),
        ("ports", spec.ports, 256),
        ("endpoints", spec.endpoints, 4096),
    ):
        if len(values) > most:
            place.at(name).error(f"{most} at most, not {len(values)}")


def _check_hosts(spec: ServiceEntry, resolution: str, place: Place) -> None:
    if not spec.hosts:
        place.error("at least one host is required")
    for index, host in enumerate(spec.hosts):
        if host == "*":
            place.at(index).error("a service has a name: * is not accepted")
            continue
        place.at(index).error(wildcard_domain_problem(host))
        if resolution != "DYNAMIC_DNS":
            place.at(index).warning(partial_wildcard_problem(host))


def _check_addresses(spec: ServiceEntry, resolution: str, place: Place) -> None:
    for index, address in enumerate(spec.addresses):
        place.at(index).error(ip_block_problem(address))
        if "/" in address and resolution not in ("NONE", "STATIC"):
            place.at(index).error(f"resolution {resolution} takes no blocks, only addresses")


def _gets_address(spec: ServiceEntry, resolution: str, meta: ObjectMeta) -> bool:
    """Whether there is an address, given or allocated, that TCP connections can be told apart by."""
    switched_off = meta.labels.get(_NO_AUTOALLOCATION, "").lower() == "false"
    return bool(spec.addresses) or (resolution != "NONE" and not switched_off)


def _check_ports(spec: ServiceEntry, place: Place, *, needs_address: bool) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    for index, port in enumerate(spec.ports):
        at = place.at(index)
        if port.name in names:
            at.at("name").error(f"{port.name} is there twice")
        if port.number in numbers:
            at.at("number").error(f"{port.number} is there twice")
        names.add(port.name)
        numbers.add(port.number)
        _check_port(port, at)
        if needs_address and port.protocol in (None, "", "TCP"):
            at.warning(
                "TCP is matched by address, and there is none: this port takes every address", ADDRESSES_REQUIRED
            )


def _check_port(port: ServicePort, place: Place) -> None:
    place.at("name").error(dns_label_problem(port.name))
    place.at("number").error(port_problem(port.number))
    place.at("protocol").error(protocol_problem(port.protocol))
    if port.target_port:
        place.at("targetPort").error(port_problem(port.target_port))


def _check_no_resolution(spec: ServiceEntry, place: Place) -> None:
    if spec.endpoints:
        place.at("endpoints").error("resolution NONE, the default, takes none: set resolution to STATIC or DNS")
    if spec.workload_selector is not None:
        place.at("workloadSelector").warning("selects nothing with resolution NONE, the default")


def _check_static(spec: ServiceEntry, place: Place) -> None:
    for index, endpoint in enumerate(spec.endpoints):
        check_entry(endpoint, place.at(index), host_names=False)
        _check_endpoint_ports(endpoint, spec, place.at(index))
        if (endpoint.address or "").startswith(UNIX_PREFIX) and len(spec.ports) != 1:
            place.at(index, "address").error("a unix socket needs a service with exactly one port")


def _check_endpoint_ports(endpoint: WorkloadEntry, spec: ServiceEntry, place: Place) -> None:
    names = {port.name for port in spec.ports}
    for name in endpoint.ports:
        if name not in names:
            accepted = ", ".join(sorted(names)) or "none"
            place.at("ports", name).error(f"{name} is no port of the service; accepted are {accepted}")


def _check_dns(spec: ServiceEntry, resolution: str, place: Place) -> None:
    if not spec.endpoints:
        for index, host in enumerate(spec.hosts):
            if fqdn_problem(host) is not None:
                place.at("hosts", index).error(f"resolution {resolution} without endpoints resolves the host itself")
    if resolution == "DNS_ROUND_ROBIN" and len(spec.endpoints) > 1:
        place.at("endpoints").error(f"resolution DNS_ROUND_ROBIN takes one at most, not {len(spec.endpoints)}")
    for index, endpoint in enumerate(spec.endpoints):
        at = place.at("endpoints", index)
        address = endpoint.address or ""
        if not address and endpoint.network:
            at.error(f"resolution {resolution} needs an address")
        elif not is_ip_address(address) and fqdn_problem(address) is not None:
            at.at("address").error(f'"{address}" is neither an IP address nor a host name')
        check_entry_ports(endpoint, at)
        _check_endpoint_ports(endpoint, spec, at)
    has_tcp = any(protocol_of(port.protocol) in protocols.OVER_TCP for port in spec.ports)
    if len(spec.hosts) > 1 and spec.addresses and has_tcp:
        place.at("hosts").warning("several hosts share their addresses, so TCP cannot tell them apart")


def _check_dynamic_dns(spec: ServiceEntry, place: Place) -> None:
    for index, host in enumerate(spec.hosts):
        if not host.startswith("*"):
            place.at("hosts", index).error("resolution DYNAMIC_DNS takes wildcards only, such as *.example.com")
    for name, values in (("addresses", spec.addresses), ("endpoints", spec.endpoints)):
        if values:
            place.at(name).error("resolution DYNAMIC_DNS excludes it: the requested host is resolved")
    for index, port in enumerate(spec.ports):
        if protocol_of(port.protocol) not in _DYNAMIC_PROTOCOLS:
            place.at("ports", index, "protocol").error("resolution DYNAMIC_DNS takes HTTP, HTTP2, GRPC and TLS only")


def _check_distinguishable(spec: ServiceEntry, place: Place) -> None:
    """Several hosts are told apart by the Host header or the server name, which plain TCP has not."""
    if len(spec.hosts) > 1:
        for index, port in enumerate(spec.ports):
            if protocol_of(port.protocol) not in protocols.HTTP | protocols.TLS:
                place.at("ports", index).error("several hosts need HTTP or TLS ports: plain TCP cannot tell them apart")
