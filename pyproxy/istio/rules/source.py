"""Conditions that are decided before any request: the port, the gateways, and who the caller is."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, L4MatchAttributes, TLSMatchAttributes
from pyproxy.istio.rules.amounts import port_problem
from pyproxy.istio.rules.names import check_labels, dns_label_problem, fqdn_problem
from pyproxy.istio.rules.place import Place


def check_source(match: HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes, place: Place) -> None:
    """The conditions that matches of every protocol have."""
    if match.port:
        place.at("port").error(port_problem(match.port))
    check_labels(match.source_labels, place.at("sourceLabels"))
    check_gateway_names(match.gateways, place.at("gateways"))
    if match.source_namespace:
        place.at("sourceNamespace").error(dns_label_problem(match.source_namespace))


def check_gateway_names(gateways: Sequence[str], place: Place) -> None:
    """`mesh`, a name, or a namespace and a name with a slash between them."""
    for index, gateway in enumerate(gateways):
        namespace, slash, name = gateway.partition("/")
        at = place.at(index)
        if slash:
            at.error(dns_label_problem(namespace))
            at.error(dns_label_problem(name))
            continue
        at.error(fqdn_problem(gateway))
        if "." in gateway:
            name, namespace = gateway.split(".")[:2]
            at.warning(f"a gateway is named by namespace and name: write {namespace}/{name}")
