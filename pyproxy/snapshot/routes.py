"""The HTTP rules of one VirtualService → the routes of a virtual host on one port, as one proxy gets them.

Source: Istio pilot/pkg/networking/core/route/route.go (BuildHTTPRoutesForVirtualService, TranslateRoute).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from pyproxy.istio.networking.destination_rule import ConsistentHashLB, PortTrafficPolicy, TrafficPolicy
from pyproxy.istio.networking.virtual_service import Destination as DestinationRef
from pyproxy.istio.networking.virtual_service import HTTPMatchRequest, HTTPRoute, HTTPRouteDestination
from pyproxy.policy.retry import RetryPolicy
from pyproxy.snapshot.actions import (
    MILLION,
    compile_cors,
    compile_direct_response,
    compile_fault,
    compile_redirect,
    compile_rewrite,
    describe_rewrite,
    matched_prefix,
    mirror_share,
    per_million,
)
from pyproxy.snapshot.clusters import cluster_name
from pyproxy.snapshot.conditions import conditions_of
from pyproxy.snapshot.destination_rules import DestinationPolicy, DestinationRules
from pyproxy.snapshot.headers import LevelOps, compile_headers, merge
from pyproxy.snapshot.hosts import MESH
from pyproxy.snapshot.matching import applies, compile_match, describe, is_catch_all
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import (
    Conditions,
    Destination,
    DirectResponse,
    Forward,
    HashPolicy,
    Identity,
    Mirror,
    Predicate,
    Redirect,
    Route,
)
from pyproxy.snapshot.policies import hash_policy
from pyproxy.snapshot.retries import compile_retry
from pyproxy.snapshot.rules import Rules
from pyproxy.snapshot.services import Service, ServicePort

_ANYTHING = HTTPMatchRequest.model_construct()
_NO_CLUSTER = Destination("")
"""Where a route goes that Envoy could not act on: no cluster has that name, so the answer is 503 NC."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where routes will stand: what config-time conditions and default ports depend on."""

    port: int
    gateway: str
    """`mesh`, or `namespace/name` of the gateway."""
    tls: bool = False
    """The listener ends TLS."""


class Routes:
    """Compiles routes for one proxy."""

    def __init__(
        self,
        services: Mapping[str, Service],
        destination_rules: DestinationRules,
        identity: Identity,
        mesh: MeshSettings,
    ) -> None:
        self._services = {alias: service for service in services.values() for alias in service.aliases} | dict(services)
        self._destination_rules = destination_rules
        self._policies: dict[str, DestinationPolicy | None] = {}
        self._identity = identity
        self._mesh = mesh
        self._compiled: dict[int, tuple[HTTPMatchRequest, Predicate | None, Conditions | None]] = {}
        self._shared: dict[int, tuple[int, tuple[Route, ...]]] = {}
        self._default_retry = compile_retry(mesh.config.default_http_retry_policy, hashed=False)
        self._hashed_retry = compile_retry(mesh.config.default_http_retry_policy, hashed=True)

    def compile(self, rules: Rules, place: Place) -> tuple[Route, ...]:
        """Every match of every rule in order, as far as the first that takes everything; none when none is for us."""
        if place.gateway != MESH or not self._portable(rules):
            return tuple(self._compile(rules, place))
        port, known = self._shared.get(id(rules), (place.port, ()))
        if not known:
            known = tuple(self._compile(rules, place))
            self._shared[id(rules)] = (port, known)
        return known if port == place.port else tuple(_moved(route, rules, port, place.port) for route in known)

    def _compile(self, rules: Rules, place: Place) -> Iterator[Route]:
        for rule in rules.http:
            for match in rule.match or (_ANYTHING,):
                if applies(match, self._identity, place.gateway, place.port):
                    yield self._route(rules, rule, match, place)
                    if is_catch_all(match):
                        return
            if not rule.match:
                return

    def _portable(self, rules: Rules) -> bool:
        """Whether its routes are the same on every port but for the names of their spans."""
        return all(
            not any(match.port for match in rule.match)
            and (rule.redirect is None or rule.redirect.derive_port is None)
            and all(self._fixed_port(each.destination) for each in rule.route)
            and all(self._fixed_port(each.destination) for each in rule.mirrors)
            and (rule.mirror is None or self._fixed_port(rule.mirror))
            for rule in rules.http
        )

    def _fixed_port(self, destination: DestinationRef) -> bool:
        if destination.port is not None and destination.port.number:
            return True
        service = self._services.get(destination.host)
        return service is not None and len(service.ports) == 1

    def default(self, service: Service, port: ServicePort) -> Route:
        """The route to a service that no VirtualService is for: everything, default retries, no timeout."""
        name = cluster_name(port.number, "", service.host)
        policy = self.policy(service.host)
        block = None if policy is None else destination_hash(policy, "", port.number)
        return Route(
            name="default",
            matches=None,
            action=Forward(
                (Destination(name),),
                retry=self._default_retry,
                hash_policies=_hash_policies([block]),
            ),
            matched_prefix=b"/",
            description="everything",
            operation=f"{service.host}:{port.number}/*",
        )

    def cluster(self, destination: DestinationRef, place: Place) -> str:
        """The cluster's name, whether or not there is such a cluster. No port given: the only one, else ours."""
        service = self._services.get(destination.host)
        port = destination.port.number if destination.port is not None else None
        if not port:
            port = service.ports[0].number if service is not None and len(service.ports) == 1 else place.port
        return cluster_name(port, destination.subset or "", service.host if service is not None else destination.host)

    # One route

    def _route(self, rules: Rules, rule: HTTPRoute, match: HTTPMatchRequest, place: Place) -> Route:
        prefix = matched_prefix(match)
        level = compile_headers(rule.headers)
        action: Forward | Redirect | DirectResponse
        if rule.redirect is not None:
            action = compile_redirect(rule.redirect, place.port, tls=place.tls) or Forward((_NO_CLUSTER,))
        elif rule.direct_response is not None:
            action = compile_direct_response(rule.direct_response)
        else:
            if len(rule.route) == 1:
                level = merge(level, compile_headers(rule.route[0].headers))
            action = self._forward(rule, place, level, prefix)
        matches, conditions = self._match(match)
        return Route(
            name=f"{rule.name or ''}.{match.name}" if match.name else rule.name or "",
            matches=matches,
            action=action,
            matched_prefix=prefix,
            request_headers=level.request,
            response_headers=level.response,
            fault=compile_fault(rule.fault),
            cors=compile_cors(rule.cors_policy) if isinstance(action, Forward) else None,  # as Envoy's filter has it
            description=describe(match),
            virtual_service=rules.full_name,
            operation=_operation(rules, rule, match, action, place.port),
            conditions=conditions,
        )

    def _match(self, match: HTTPMatchRequest) -> tuple[Predicate | None, Conditions | None]:
        """One VirtualService may stand on many ports; its matches are compiled once."""
        known = self._compiled.get(id(match))
        if known is None:
            known = self._compiled[id(match)] = (match, compile_match(match), conditions_of(match))
        return known[1], known[2]

    def _forward(self, rule: HTTPRoute, place: Place, level: LevelOps, prefix: bytes | None) -> Forward:
        authority = (rule.rewrite and rule.rewrite.authority) or level.authority
        several = len(rule.route) > 1
        weighted = [each for each in rule.route if each.weight] if several else list(rule.route)
        if several:
            destinations = [self._weighted(each, place, hide_authority=bool(authority)) for each in weighted]
        else:
            destinations = [Destination(self.cluster(each.destination, place)) for each in weighted]
        hashes = [self._destination_hash(each.destination) for each in weighted]
        hashed = not several and hashes != [None]
        return Forward(
            destinations=tuple(destinations) or (_NO_CLUSTER,),
            cumulative=tuple(accumulate(each.weight for each in destinations)) if len(destinations) > 1 else (),
            rewrite_path=compile_rewrite(rule.rewrite, prefix),
            path_rewrite=describe_rewrite(rule.rewrite),
            rewrite_authority=authority.encode() if authority else None,
            timeout=rule.timeout or 0.0,
            retry=self._retry(rule, hashed=hashed),
            mirrors=self._mirrors(rule, place),
            hash_policies=_hash_policies(hashes),
        )

    def _retry(self, rule: HTTPRoute, *, hashed: bool) -> RetryPolicy | None:
        if rule.retries is not None:
            return compile_retry(rule.retries, hashed=hashed)
        return self._hashed_retry if hashed else self._default_retry

    def _weighted(self, each: HTTPRouteDestination, place: Place, *, hide_authority: bool) -> Destination:
        """One of several: its own operations run first, and the route's authority beats its own."""
        level = compile_headers(each.headers)
        return Destination(
            cluster=self.cluster(each.destination, place),
            weight=each.weight or 0,
            request_headers=level.request,
            response_headers=level.response,
            host_rewrite=level.authority.encode() if level.authority and not hide_authority else None,
        )

    def _mirrors(self, rule: HTTPRoute, place: Place) -> tuple[Mirror, ...]:
        """A share that is not given is all; an explicit 0 is no mirror."""
        wanted = [] if rule.mirror is None else [(rule.mirror, mirror_share(rule))]
        for each in rule.mirrors:
            share = per_million(each.percentage)
            wanted.append((each.destination, MILLION if share is None else share))
        return tuple(Mirror(self.cluster(destination, place), share) for destination, share in wanted if share)

    # Where it goes

    def policy(self, host: str) -> DestinationPolicy | None:
        """The DestinationRule of a service, by its host."""
        if host not in self._policies:
            service = self._services.get(host)
            self._policies[host] = None if service is None else self._destination_rules.for_service(service)
        return self._policies[host]

    def hashes_source(self, host: str, subset: str) -> bool:
        """Whether connections to a service are balanced by their client's address."""
        policy = self.policy(host)
        if policy is None:
            return False
        chosen = policy.subsets.get(subset)
        own = chosen.traffic_policy if chosen is not None else None
        balancer = own.load_balancer if own is not None else None
        if balancer is None and policy.traffic_policy is not None:
            balancer = policy.traffic_policy.load_balancer
        return (
            balancer is not None
            and balancer.consistent_hash is not None
            and bool(balancer.consistent_hash.use_source_ip)
        )

    def _destination_hash(self, destination: DestinationRef) -> ConsistentHashLB | None:
        policy = self.policy(destination.host)
        if policy is None:
            return None
        port = destination.port.number if destination.port is not None else None
        return destination_hash(policy, destination.subset or "", port)


# Consistent hashing


def destination_hash(policy: DestinationPolicy, subset: str, port: int | None) -> ConsistentHashLB | None:
    """What a route's destination hashes by: subset port-level, subset, port-level, then the rule's own.

    Port-level entries count only when the destination names its port.
    """
    chosen = policy.subsets.get(subset) if subset else None
    for block in (chosen.traffic_policy if chosen is not None else None, policy.traffic_policy):
        if block is not None:
            found = _consistent_hash(_port_entry(block, port)) or _consistent_hash(block)
            if found is not None:
                return found
    return None


def _port_entry(policy: TrafficPolicy, port: int | None) -> PortTrafficPolicy | None:
    if port is None:
        return None
    return next((each for each in policy.port_level_settings if each.port and each.port.number == port), None)


def _consistent_hash(block: PortTrafficPolicy | TrafficPolicy | None) -> ConsistentHashLB | None:
    if block is None or block.load_balancer is None:
        return None
    return block.load_balancer.consistent_hash


def _hash_policies(blocks: list[ConsistentHashLB | None]) -> tuple[HashPolicy, ...]:
    policies = (hash_policy(block) for block in blocks if block is not None)
    return tuple(policy for policy in policies if policy is not None)


def _moved(route: Route, rules: Rules, port: int, to: int) -> Route:
    """A portable route on another port: only a span that is called after the VirtualService names the port."""
    before = f"{rules.name}:{port}"
    if not route.operation.startswith(before):
        return route
    return replace(route, operation=f"{rules.name}:{to}" + route.operation.removeprefix(before))


def _operation(
    rules: Rules, rule: HTTPRoute, match: HTTPMatchRequest, action: Forward | Redirect | DirectResponse, port: int
) -> str:
    """What a span is called: host, port and path of the one destination; the VirtualService's name for several."""
    uri = match.uri
    path = "/*"
    if uri is not None:
        path = uri.exact or uri.regex or (path if uri.prefix is None else f"{uri.prefix}*")
    if isinstance(action, Forward) and len(rule.route) == 1:
        _, number, _, host = action.destinations[0].cluster.split("|")
        return f"{host}:{number}{path}"
    return f"{rules.name}:{port}{path}"
