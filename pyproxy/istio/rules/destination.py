"""Destinations of routes and mirrors."""

from __future__ import annotations

from pyproxy.istio.networking.virtual_service import Destination
from pyproxy.istio.rules.amounts import check_port_selector
from pyproxy.istio.rules.names import dns_label_problem, wildcard_domain_problem
from pyproxy.istio.rules.place import Place


def check_destination(destination: Destination | None, place: Place) -> None:
    """A service, with a subset's name and a port when given."""
    if destination is None:
        return
    if destination.host == "*":
        place.at("host").error("a destination is one service: * is not accepted")
    else:
        place.at("host").error(wildcard_domain_problem(destination.host))
    if destination.subset:
        place.at("subset").error(dns_label_problem(destination.subset))
    check_port_selector(destination.port, place.at("port"))
