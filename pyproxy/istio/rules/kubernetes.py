"""Kubernetes' own rules for services and endpoints, as far as a proxy would trip over their breach."""

from __future__ import annotations

from pyproxy.istio.kubernetes import Endpoints, EndpointSlice, KubernetesService
from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.names import check_labels, fqdn_problem, ip_address_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.smi import TrafficSplit

SERVICE_NAME = "kubernetes.io/service-name"
"""The label that says whose endpoints a slice has."""


def check_service(spec: KubernetesService, meta: ObjectMeta, place: Place) -> None:
    """Ports with different numbers and names, and a name for an ExternalName."""
    check_labels(spec.selector, place.at("selector"))
    if spec.type == "ExternalName":
        place.at("externalName").error(fqdn_problem(spec.external_name or ""))
    elif not spec.ports and spec.cluster_ip != "None":
        place.at("ports").error("at least one port is required")
    if spec.cluster_ip not in (None, "", "None"):
        place.at("clusterIP").error(ip_address_problem(spec.cluster_ip or ""))
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    for index, port in enumerate(spec.ports):
        at = place.at("ports", index)
        at.at("port").error(port_problem(port.port))
        if isinstance(port.target_port, int):
            at.at("targetPort").error(port_problem(port.target_port))
        if not port.name and len(spec.ports) > 1:
            at.at("name").error("is required where there are several ports")
        if port.name and port.name in names:
            at.at("name").error(f"{port.name} is there twice")
        number = (port.port, port.protocol or "TCP")
        if number in numbers:
            at.at("port").error(f"{port.port} is there twice")
        names.add(port.name or "")
        numbers.add(number)


def check_endpoints(spec: Endpoints, meta: ObjectMeta, place: Place) -> None:
    """Addresses and ports."""
    for index, subset in enumerate(spec.subsets):
        at = place.at("subsets", index)
        for address_index, address in enumerate(subset.addresses):
            at.at("addresses", address_index, "ip").error(ip_address_problem(address.ip))
        for port_index, port in enumerate(subset.ports):
            at.at("ports", port_index, "port").error(port_problem(port.port or 0))


def check_endpoint_slice(spec: EndpointSlice, meta: ObjectMeta, place: Place) -> None:
    """Addresses of the type that the slice has, and whose they are."""
    if spec.address_type is None:
        place.at("addressType").error("is required: IPv4, IPv6 or FQDN")
    if SERVICE_NAME not in meta.labels:
        place.top("metadata", "labels").warning(
            f"without the label {SERVICE_NAME} these endpoints belong to no service"
        )
    check = fqdn_problem if spec.address_type == "FQDN" else ip_address_problem
    for index, endpoint in enumerate(spec.endpoints):
        for address_index, address in enumerate(endpoint.addresses):
            place.at("endpoints", index, "addresses", address_index).error(check(address))
    for port_index, port in enumerate(spec.ports):
        if port.port is not None:
            place.at("ports", port_index, "port").error(port_problem(port.port))


def check_traffic_split(spec: TrafficSplit, meta: ObjectMeta, place: Place) -> None:
    """Services with weights, one of which is above zero."""
    if not spec.service:
        place.at("service").error("is required")
    for index, backend in enumerate(spec.backends):
        at = place.at("backends", index)
        if not backend.service:
            at.at("service").error("is required")
        if backend.weight is not None and backend.weight < 0:
            at.at("weight").error(f"may not be negative, but is {backend.weight:g}")
    if not any(backend.weight for backend in spec.backends):
        place.at("backends").error("one backend needs a weight above 0")
