"""TLS and TCP routes of a VirtualService, and the conditions about the caller that all routes share."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.networking.virtual_service import (
    L4MatchAttributes,
    RouteDestination,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from pyproxy.istio.rules.amounts import check_weights
from pyproxy.istio.rules.destination import check_destination
from pyproxy.istio.rules.names import (
    host_within,
    ip_block_problem,
    is_ip_address,
    sni_domain_problem,
    wildcard_domain_problem,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.source import check_source


def check_tls_route(route: TLSRoute, owner: VirtualService, place: Place, *, for_gateways: bool) -> None:
    """By server name, which one of the owner's hosts must cover."""
    if not route.match:
        place.at("match").error("is required: TLS is routed by the server name")
    for index, match in enumerate(route.match):
        at = place.at("match", index)
        if not match.sni_hosts:
            at.at("sniHosts").error("at least one server name is required")
        for host_index, host in enumerate(match.sni_hosts):
            _check_sni(host, owner.hosts, at.at("sniHosts", host_index), for_gateways=for_gateways)
        _check_l4_match(match, at)
    _check_route(route.route, place)


def check_tcp_route(route: TCPRoute, place: Place) -> None:
    """By port, address and caller."""
    for index, match in enumerate(route.match):
        _check_l4_match(match, place.at("match", index))
    _check_route(route.route, place)


def _check_sni(host: str, hosts: Sequence[str], place: Place, *, for_gateways: bool) -> None:
    problem = sni_domain_problem(host) if for_gateways else wildcard_domain_problem(host)
    if problem is None:
        if not any(host_within(host, wide) for wide in hosts):
            place.error(f"{host} is not covered by the hosts of the VirtualService")
    elif is_ip_address(host):
        place.warning("a server name is no IP address, and most clients send none for one")
    else:
        place.error(problem)


def _check_l4_match(match: TLSMatchAttributes | L4MatchAttributes, place: Place) -> None:
    for index, subnet in enumerate(match.destination_subnets):
        place.at("destinationSubnets", index).error(ip_block_problem(subnet))
    check_source(match, place)


def _check_route(route: Sequence[RouteDestination], place: Place) -> None:
    if not route:
        place.error("route is required")
    for index, one in enumerate(route):
        check_destination(one.destination, place.at("route", index, "destination"))
    check_weights([one.weight for one in route], place.at("route"))
