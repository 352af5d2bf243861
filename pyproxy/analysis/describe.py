"""Which documents are about a workload or a service: services, rules, routes, policies, mutual TLS mode.

What istioctl's `describe pod` and `describe service` tell. Source: Istio istioctl/pkg/describe/describe.go.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyproxy.analysis.subject import Subject, carries
from pyproxy.core.errors import CommandError
from pyproxy.core.spiffe import workload_identity
from pyproxy.istio.networking.sidecar import Sidecar
from pyproxy.istio.networking.virtual_service import HTTPRoute
from pyproxy.istio.resources import Document
from pyproxy.istio.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from pyproxy.snapshot.destination_rules import DestinationPolicy
from pyproxy.snapshot.hosts import MESH
from pyproxy.snapshot.identity import identity_of
from pyproxy.snapshot.inbound import workload_ports
from pyproxy.snapshot.matching import describe as in_words
from pyproxy.snapshot.model import Endpoint, Identity
from pyproxy.snapshot.policy_scope import attaches
from pyproxy.snapshot.rules import Rules, collect_rules
from pyproxy.snapshot.services import Service


@dataclass(frozen=True, slots=True)
class RuleDescription:
    """The DestinationRule in force for a service."""

    name: str
    matching_subsets: tuple[str, ...]
    non_matching_subsets: tuple[str, ...]
    """Those that the workload, or no endpoint, is in."""
    tls: str
    policies: tuple[str, ...]
    port_level: dict[str, str]


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """One rule of a VirtualService that leads to the service, or is about its host."""

    match: str
    destinations: tuple[str, ...]
    actions: tuple[str, ...]
    """timeout, retries, fault, ..."""


@dataclass(frozen=True, slots=True)
class RoutesDescription:
    """One VirtualService."""

    name: str
    gateways: tuple[str, ...]
    routes: tuple[RouteDescription, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServiceDescription:
    """A service with what holds for it."""

    host: str
    namespace: str
    ports: tuple[str, ...]
    endpoints: int
    destination_rule: RuleDescription | None
    virtual_services: tuple[RoutesDescription, ...]


@dataclass(frozen=True, slots=True)
class WorkloadDescription:
    """A workload with what holds for it as a server."""

    name: str
    namespace: str
    address: str
    labels: dict[str, str]
    principal: str
    sidecar: str
    mtls_mode: str
    port_modes: dict[str, str]
    peer_authentications: tuple[str, ...]
    request_authentications: tuple[str, ...]
    authorization_policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A workload and the services that it stands behind, or one service and its workloads."""

    workload: WorkloadDescription | None
    services: tuple[ServiceDescription, ...]
    workloads: tuple[str, ...] = ()


def describe_workload(documents: Sequence[Document], name: str) -> Description:
    """`NAME[.NAMESPACE]` of a WorkloadEntry. Raises CommandError."""
    subject = Subject(documents)
    identity = identity_of(documents, name)
    services = {service.host: service for service, _, _ in workload_ports(subject.registry, identity)}
    return Description(
        _workload(subject, identity), tuple(_service(subject, each, identity) for each in services.values())
    )


def describe_service(documents: Sequence[Document], name: str, namespace: str) -> Description:
    """A service by its full host, or by its short name in a namespace. Raises CommandError."""
    subject = Subject(documents)
    service = subject.service(name, namespace)
    if service is None:
        host = subject.host(name, namespace)
        near = difflib.get_close_matches(host, subject.registry.by_host, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise CommandError(f"no service is called {host}{hint}")
    behind = {f"{each.workload}.{each.namespace}" for each in _endpoints(service) if each.workload}
    return Description(None, (_service(subject, service, None),), tuple(sorted(behind)))


def is_workload(documents: Sequence[Document], name: str) -> bool:
    """Whether a WorkloadEntry has the name."""
    short, _, namespace = name.partition(".")
    return any(
        document.kind == "WorkloadEntry" and document.name == short and namespace in ("", document.namespace)
        for document in documents
    )


# The workload as a server


def _workload(subject: Subject, identity: Identity) -> WorkloadDescription:
    modes = subject.registry.authentication.workload(identity.namespace, identity.labels)
    root = subject.mesh.root_namespace
    return WorkloadDescription(
        name=identity.workload,
        namespace=identity.namespace,
        address=identity.address,
        labels=dict(identity.labels),
        principal=str(workload_identity(identity.trust_domain, identity.namespace, identity.service_account)),
        sidecar=next(_sidecars(subject, identity), ""),
        mtls_mode=modes.default.value,
        port_modes={str(port): mode.value for port, mode in modes.ports.items()},
        peer_authentications=tuple(_peer_authentications(subject, identity)),
        request_authentications=tuple(
            f"{document.name}.{document.namespace}"
            for document, policy in subject.of(RequestAuthentication)
            if attaches(document, policy, identity, root)
        ),
        authorization_policies=tuple(
            f"{document.name}.{document.namespace} ({policy.action or 'ALLOW'})"
            for document, policy in subject.of(AuthorizationPolicy)
            if attaches(document, policy, identity, root)
        ),
    )


def _sidecars(subject: Subject, identity: Identity) -> Iterator[str]:
    """The Sidecar that holds, before those that would without it."""
    root = subject.mesh.root_namespace
    ranked: list[tuple[int, str]] = []
    for document, spec in subject.of(Sidecar):
        labels = spec.workload_selector.labels if spec.workload_selector is not None else None
        name = f"{document.name}.{document.namespace}"
        if document.namespace == identity.namespace and labels is not None and carries(identity.labels, labels):
            ranked.append((0, name))
        elif labels is None and document.namespace in (identity.namespace, root):
            ranked.append((1 if document.namespace == identity.namespace else 2, name))
    yield from (name for _, name in sorted(ranked, key=lambda each: each[0]))


def _peer_authentications(subject: Subject, identity: Identity) -> Iterator[str]:
    root = subject.mesh.root_namespace
    for document, policy in subject.of(PeerAuthentication):
        labels = policy.selector.match_labels if policy.selector is not None else {}
        own = document.namespace == identity.namespace
        if (own and carries(identity.labels, labels)) or (document.namespace == root and not labels):
            yield f"{document.name}.{document.namespace}"


# A service


def _endpoints(service: Service) -> list[Endpoint]:
    return [each for port in service.endpoints.values() for each in port]


def _service(subject: Subject, service: Service, workload: Identity | None) -> ServiceDescription:
    policy = subject.destination_rules(service.namespace).for_service(service)
    rules = collect_rules(subject.documents, subject.mesh)
    return ServiceDescription(
        host=service.host,
        namespace=service.namespace,
        ports=tuple(
            f"{port.name or port.number} {port.number}/{port.protocol.upper()} targets workload port {target}"
            for port in service.ports
            for target in _targets(service, port.number, port.target)
        ),
        endpoints=len({(each.address, each.port) for each in _endpoints(service)}),
        destination_rule=_rule(policy, service, workload) if policy is not None else None,
        virtual_services=tuple(
            _routes(each, service, policy, workload) for each in rules if _concerns(each, service.host)
        ),
    )


def _targets(service: Service, number: int, target: int | None) -> list[int]:
    found = sorted({each.port for each in service.endpoints.get(number, ())})
    return found or [target or number]


def _rule(policy: DestinationPolicy, service: Service, workload: Identity | None) -> RuleDescription:
    inside = [workload.labels] if workload is not None else [each.labels for each in _endpoints(service)]
    matching = [name for name, each in policy.subsets.items() if any(carries(labels, each.labels) for labels in inside)]
    block = policy.traffic_policy
    ports = {} if block is None else {str(each.port.number): each for each in block.port_level_settings if each.port}
    return RuleDescription(
        name=policy.name,
        matching_subsets=tuple(matching),
        non_matching_subsets=tuple(name for name in policy.subsets if name not in matching),
        tls=(block.tls.mode or "DISABLE") if block is not None and block.tls is not None else "",
        policies=tuple(_policies(block)) if block is not None else (),
        port_level={number: "/".join(_policies(each)) or "no policy" for number, each in ports.items()},
    )


def _policies(block: object) -> Iterator[str]:
    for name, words in (
        ("load_balancer", "load balancer"),
        ("connection_pool", "connection pool"),
        ("outlier_detection", "outlier detection"),
        ("retry_budget", "retry budget"),
    ):
        if getattr(block, name, None) is not None:
            yield words


# Routes


def _concerns(rules: Rules, host: str) -> bool:
    called = {each.destination.host for route in rules.http for each in route.route}
    called |= {each.destination.host for route in rules.tls for each in route.route}
    called |= {each.destination.host for route in rules.tcp for each in route.route}
    return host in rules.hosts or host in called


def _routes(
    rules: Rules, service: Service, policy: DestinationPolicy | None, workload: Identity | None
) -> RoutesDescription:
    routes = tuple(
        _route(route)
        for route in rules.http
        if service.host in rules.hosts or any(each.destination.host == service.host for each in route.route)
    )
    warnings = () if workload is None or policy is None else tuple(_warnings(rules, service, policy, workload))
    gateways = () if rules.gateways == (MESH,) else rules.gateways
    return RoutesDescription(rules.full_name, gateways, routes, warnings)


def _route(route: HTTPRoute) -> RouteDescription:
    several = len(route.route) > 1
    names = []
    for each in route.route:
        port = f":{each.destination.port.number}" if each.destination.port is not None else ""
        subset = f" subset {each.destination.subset}" if each.destination.subset else ""
        weight = f" with weight {each.weight or 0}%" if several else ""
        names.append(f'host "{each.destination.host}{port}"{subset}{weight}')
    actions = {
        "redirect": route.redirect,
        "direct response": route.direct_response,
        f"timeout {route.timeout:g}s" if route.timeout else "timeout": route.timeout,
        "retries": route.retries,
        "fault": route.fault,
        "mirror": route.mirror or route.mirrors,
        "rewrite": route.rewrite,
        "CORS": route.cors_policy,
        "headers": route.headers,
    }
    match = " or ".join(in_words(each) for each in route.match) or "everything"
    return RouteDescription(match, tuple(names), tuple(name for name, value in actions.items() if value))


def _warnings(rules: Rules, service: Service, policy: DestinationPolicy, workload: Identity) -> Iterator[str]:
    """Routes to subsets that the workload is not in, and whether any leads to it at all."""
    reached = False
    for route in rules.http:
        for each in route.route:
            if each.destination.host != service.host:
                continue
            subset = policy.subsets.get(each.destination.subset or "")
            if not each.destination.subset or (subset is not None and carries(workload.labels, subset.labels)):
                reached = True
            elif subset is None:
                yield f"Route to UNKNOWN subset {each.destination.subset}; check DestinationRule {policy.name}"
    if not reached:
        yield f"No destinations match workload subsets (checked {len(rules.http)} HTTP routes)"
