"""VirtualService: hosts, gateways, and what belongs to which (Istio's pkg/config/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.metadata import ObjectMeta
from pyproxy.istio.networking.virtual_service import VirtualService
from pyproxy.istio.rules.headers import is_claim
from pyproxy.istio.rules.http_route import check_http_route
from pyproxy.istio.rules.l4_route import check_tcp_route, check_tls_route
from pyproxy.istio.rules.names import (
    hosts_overlap,
    is_ip_address,
    sni_domain_problem,
    wildcard_domain_problem,
)
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.source import check_gateway_names
from pyproxy.istio.rules.unreachable import check_reachable
from pyproxy.istio.rules.visibility import check_export_to

MESH = "mesh"


def check_virtual_service(spec: VirtualService, meta: ObjectMeta, place: Place) -> None:
    """Everything that Istio checks in a VirtualService on its own."""
    for_gateways = bool(spec.gateways) and MESH not in spec.gateways
    if not spec.hosts:
        _check_delegate(spec, place)
    _check_hosts(spec, place.at("hosts"), for_gateways=for_gateways)
    check_gateway_names(spec.gateways, place.at("gateways"))
    if not (spec.http or spec.tls or spec.tcp):
        place.error("has no routes: http, tls or tcp is required")
    for index, http in enumerate(spec.http):
        check_http_route(http, place.at("http", index), delegate=not spec.hosts)
    for index, tls in enumerate(spec.tls):
        check_tls_route(tls, spec, place.at("tls", index), for_gateways=for_gateways)
    for index, tcp in enumerate(spec.tcp):
        check_tcp_route(tcp, place.at("tcp", index))
    if not for_gateways:
        _check_no_claims(spec, place)
    check_export_to(spec.export_to, meta, place.at("exportTo"))
    check_reachable(spec, place)


def _check_delegate(spec: VirtualService, place: Place) -> None:
    """Without hosts it stands in for routes of another one, and only http can be stood in for."""
    for name, value in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
        if value:
            place.at(name).error("a VirtualService without hosts is a delegate, which cannot have this")


def _check_hosts(spec: VirtualService, place: Place, *, for_gateways: bool) -> None:
    has_sni = any(match.sni_hosts for route in spec.tls for match in route.match)
    valid = True
    for index, host in enumerate(spec.hosts):
        problem = sni_domain_problem(host) if for_gateways and has_sni else wildcard_domain_problem(host)
        if problem is not None and not is_ip_address(host):
            place.at(index).error(problem)
            valid = False
        elif host == "*" and not for_gateways:
            place.at(index).error("* is accepted only where every gateway is named and none is mesh")
            valid = False
    if valid:
        _check_overlaps(spec.hosts, place)


def _check_overlaps(hosts: Sequence[str], place: Place) -> None:
    for index, host in enumerate(hosts):
        for earlier in hosts[:index]:
            if hosts_overlap(earlier, host):
                place.at(index).error(f"{host} overlaps with {earlier}, which is there already")


def _check_no_claims(spec: VirtualService, place: Place) -> None:
    for route_index, route in enumerate(spec.http):
        for match_index, match in enumerate(route.match):
            at = place.at("http", route_index, "match", match_index)
            for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
                for name in filter(is_claim, headers):
                    at.at(field, name).error("claims of a token can be matched only on gateways: name them, not mesh")
