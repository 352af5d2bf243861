"""VirtualServices as rules that apply: names expanded, delegates merged, in Istio's order of precedence.

Source: Istio pilot/pkg/model/virtualservice.go, virtualservice_controller.go, push_context.go, sidecar.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pyproxy.istio.networking.virtual_service import (
    Destination,
    HTTPMatchRequest,
    HTTPMirrorPolicy,
    HTTPRoute,
    HTTPRouteDestination,
    L4MatchAttributes,
    RouteDestination,
    TCPRoute,
    TLSMatchAttributes,
    TLSRoute,
    VirtualService,
)
from pyproxy.istio.resources import Document
from pyproxy.istio.smi import TrafficSplit
from pyproxy.snapshot.delegates import merge_routes
from pyproxy.snapshot.hosts import MESH, expand, expand_gateway
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.services import visible
from pyproxy.snapshot.traffic_split import split_route

MatchT = TypeVar("MatchT", HTTPMatchRequest, TLSMatchAttributes, L4MatchAttributes)
ConnectionRouteT = TypeVar("ConnectionRouteT", TLSRoute, TCPRoute)
WeightedT = TypeVar("WeightedT", HTTPRouteDestination, HTTPMirrorPolicy, RouteDestination)


@dataclass(frozen=True, slots=True)
class Rules:
    """One VirtualService, or what stands for one. Every host and gateway in it is a full name."""

    name: str
    namespace: str
    hosts: tuple[str, ...]
    """Lower case."""
    gateways: tuple[str, ...]
    export_to: frozenset[str]
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()

    @property
    def full_name(self) -> str:
        """`name.namespace`, for people."""
        return f"{self.name}.{self.namespace}"


def collect_rules(documents: Sequence[Document], mesh: MeshSettings) -> tuple[Rules, ...]:
    """Every VirtualService that has hosts, oldest first. What delegates cannot give, the root goes without."""
    delegates: dict[tuple[str, str], Rules] = {}
    roots: list[Rules] = []
    for document in documents:
        rules = _rules_of(document, mesh)
        if rules is not None and rules.hosts:
            roots.append(rules)
        elif rules is not None:
            delegates[rules.namespace, rules.name] = rules
    return tuple(_with_delegates(rules, delegates) for rules in roots)


def visible_rules(rules: Iterable[Rules], namespace: str, gateway: str) -> list[Rules]:
    """The rules for a gateway, or for `mesh`, that a namespace sees; of rules for one host the first counts.

    Its private ones come first, then those exported to it by name, then the public; the oldest first in each.
    """
    private: list[Rules] = []
    exported: list[Rules] = []
    public: list[Rules] = []
    for each in rules:
        if gateway not in each.gateways:
            continue
        if "*" in each.export_to:
            public.append(each)
        elif visible(each.export_to, each.namespace, namespace):
            (private if each.namespace == namespace else exported).append(each)
    return private + exported + public


def _rules_of(document: Document, mesh: MeshSettings) -> Rules | None:
    spec, namespace, domain = document.spec, document.namespace, mesh.domain
    if isinstance(spec, TrafficSplit):
        route = split_route(spec)
        http: tuple[HTTPRoute, ...] = () if route is None else (route,)
        spec = VirtualService(hosts=(spec.service,), http=http)
    if not isinstance(spec, VirtualService):
        return None
    return Rules(
        name=document.name,
        namespace=namespace,
        hosts=tuple(expand(host, namespace, domain).lower() for host in spec.hosts),
        gateways=tuple(expand_gateway(name, namespace) for name in spec.gateways) or (MESH,),
        export_to=frozenset(spec.export_to) or mesh.virtual_services_export,
        http=tuple(_expand_http(route, namespace, domain) for route in spec.http),
        tls=tuple(_expand_connection(route, namespace, domain) for route in spec.tls),
        tcp=tuple(_expand_connection(route, namespace, domain) for route in spec.tcp),
    )


def _with_delegates(root: Rules, delegates: dict[tuple[str, str], Rules]) -> Rules:
    if not any(route.delegate for route in root.http):
        return root
    return Rules(
        name=root.name,
        namespace=root.namespace,
        hosts=root.hosts,
        gateways=root.gateways,
        export_to=root.export_to,
        http=tuple(_delegated(root, delegates)),
        tls=root.tls,
        tcp=root.tcp,
    )


def _delegated(root: Rules, delegates: dict[tuple[str, str], Rules]) -> Iterator[HTTPRoute]:
    for route in root.http:
        if route.delegate is None:
            yield route
            continue
        key = (route.delegate.namespace or root.namespace, route.delegate.name or "")
        found = delegates.get(key)
        if found is not None and visible(found.export_to, found.namespace, root.namespace):
            yield from merge_routes(route, found.http)


# Short names


def _expand_http(route: HTTPRoute, namespace: str, domain: str) -> HTTPRoute:
    changed: dict[str, object] = {}
    if any(match.gateways for match in route.match):
        changed["match"] = tuple(_expand_match(match, namespace) for match in route.match)
    if any(_is_short(each.destination) for each in route.route):
        changed["route"] = tuple(_expand_weighted(each, namespace, domain) for each in route.route)
    if route.mirrors:
        changed["mirrors"] = tuple(_expand_weighted(each, namespace, domain) for each in route.mirrors)
    if route.mirror is not None:
        changed["mirror"] = _expand_destination(route.mirror, namespace, domain)
    return route.model_copy(update=changed) if changed else route


def _expand_connection(route: ConnectionRouteT, namespace: str, domain: str) -> ConnectionRouteT:
    return route.model_copy(
        update={
            "match": tuple(_expand_match(match, namespace) for match in route.match),
            "route": tuple(_expand_weighted(each, namespace, domain) for each in route.route),
        }
    )


def _expand_weighted(each: WeightedT, namespace: str, domain: str) -> WeightedT:
    return each.model_copy(update={"destination": _expand_destination(each.destination, namespace, domain)})


def _is_short(destination: Destination) -> bool:
    """Whether expanding would change anything; most copies are spared by asking first."""
    return "." not in destination.host or not destination.host.islower()


def _expand_match(match: MatchT, namespace: str) -> MatchT:
    if not match.gateways:
        return match
    return match.model_copy(update={"gateways": tuple(expand_gateway(name, namespace) for name in match.gateways)})


def _expand_destination(destination: Destination, namespace: str, domain: str) -> Destination:
    return destination.model_copy(update={"host": expand(destination.host, namespace, domain).lower()})
