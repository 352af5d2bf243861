"""What one sidecar knows: the Sidecar document that is its own, and the services and rules that it imports.

Source: Istio pilot/pkg/model/sidecar.go, push_context.go (initSidecarScopes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pyproxy.istio.networking.sidecar import IstioEgressListener, Sidecar
from pyproxy.istio.networking.virtual_service import Destination
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import MESH, covers, is_wildcard, matches
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.rules import Rules, visible_rules
from pyproxy.snapshot.services import Service, ServicePort, parse_protocol

EVERYTHING = IstioEgressListener.model_construct(hosts=("*/*",))
_NO_SIDECAR = Sidecar.model_construct()


@dataclass(frozen=True, slots=True)
class Egress:
    """One egress listener: what may be reached through it."""

    listener: IstioEgressListener
    services: tuple[Service, ...]
    """One per host; with a port in the listener they have only that port."""
    rules: tuple[Rules, ...]

    @property
    def port(self) -> int | None:
        """The listener's own port, 0 for a Unix socket; None for one that stands for every port."""
        return None if self.listener.port is None else self.listener.port.number or 0

    @property
    def names_no_port(self) -> bool:
        """A Unix socket or an HTTP proxy: services on any port are reached through it."""
        port = self.listener.port
        return port is not None and (not port.number or parse_protocol(port.protocol) == "http_proxy")


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything outbound that one proxy knows."""

    egress: tuple[Egress, ...]
    services: Mapping[str, Service]
    """By host, through whichever listener, with the ports that some listener imports."""
    allow_any: bool
    egress_proxy: Destination | None = None
    """Where unknown traffic goes instead of where it was going."""
    sidecar: Sidecar = _NO_SIDECAR
    """The document, or an empty one."""
    name: str = ""
    """`name.namespace` of the document."""


def sidecar_scope(
    documents: Sequence[Document], registry: Registry, rules: Sequence[Rules], identity: Identity, mesh: MeshSettings
) -> Scope:
    """The scope of a sidecar: its Sidecar document's, or every visible service."""
    document, sidecar = _select(documents, identity, mesh)
    namespace = identity.namespace
    visible = _visible_services(registry, namespace)
    bound = visible_rules(rules, namespace, MESH)
    egress = tuple(_import(listener, visible, bound, namespace) for listener in sidecar.egress or (EVERYTHING,))
    policy = sidecar.outbound_traffic_policy
    return Scope(
        egress=egress,
        services=_united(egress, registry, namespace, inferred=bool(sidecar.egress)),
        allow_any=mesh.allow_any if policy is None else policy.mode == "ALLOW_ANY",
        egress_proxy=None if policy is None else policy.egress_proxy,
        sidecar=sidecar,
        name="" if document is None else f"{document.name}.{document.namespace}",
    )


def gateway_scope(registry: Registry, namespace: str) -> Scope:
    """The scope of a gateway: every visible service, no Sidecar, nothing passed through."""
    services = _one_per_host(_visible_services(registry, namespace), namespace)
    return Scope(
        egress=(Egress(EVERYTHING, services, ()),),
        services={service.host: service for service in services},
        allow_any=False,
    )


def _select(documents: Sequence[Document], identity: Identity, mesh: MeshSettings) -> tuple[Document | None, Sidecar]:
    """Own namespace with a selector that fits, own namespace without, root namespace without; the oldest of each."""
    found: list[tuple[int, Document, Sidecar]] = []
    for document in documents:
        sidecar = document.spec
        if not isinstance(sidecar, Sidecar):
            continue
        selector = sidecar.workload_selector
        own = document.namespace == identity.namespace
        if own and selector is not None:
            if all(identity.labels.get(key) == value for key, value in selector.labels.items()):
                found.append((0, document, sidecar))
        elif own:
            found.append((1, document, sidecar))
        elif document.namespace == mesh.root_namespace and selector is None:
            found.append((2, document, sidecar))
    if not found:
        return None, _NO_SIDECAR
    _, best, sidecar = min(found, key=lambda each: each[0])
    return best, sidecar


def _visible_services(registry: Registry, namespace: str) -> list[Service]:
    """Those exported to the namespace by name first, then the public ones; the oldest first in each."""
    visible = [service for service in registry.services if service.visible_to(namespace)]
    return sorted(visible, key=lambda service: "*" in service.export_to)


def _one_per_host(services: Iterable[Service], namespace: str) -> tuple[Service, ...]:
    """Of services with one host: the own namespace's, else a Kubernetes service, else the first."""
    chosen: dict[str, Service] = {}
    for service in services:
        known = chosen.get(service.host)
        if known is None or _preferred(service, known, namespace):
            chosen[service.host] = service
    return tuple(chosen.values())


def _preferred(service: Service, known: Service, namespace: str) -> bool:
    if service.namespace == namespace or known.namespace == namespace:
        return known.namespace != namespace
    return service.kubernetes and not known.kubernetes


# Imports


@dataclass(slots=True)
class _Imports:
    """The host names that one namespace's entries of an egress listener list."""

    exact: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def excludes(self, host: str) -> bool:
        return any(covers(pattern, host) for pattern in self.excluded)

    def takes_service(self, host: str) -> bool:
        return host in self.exact or any(is_wildcard(name) and covers(name, host) for name in self.names)

    def takes_rules(self, host: str) -> bool:
        """A rule's host and an import match either way."""
        return host in self.exact or any(
            (is_wildcard(name) or is_wildcard(host)) and matches(name, host) for name in self.names
        )


def _parse_imports(hosts: Iterable[str], namespace: str) -> dict[str, _Imports]:
    """By namespace, `*` for all of them. `ns/name` imports, `~ns/name` takes out, `~/name` takes out of all."""
    found: dict[str, _Imports] = {}
    for entry in hosts:
        owner, _, name = entry.lower().partition("/")
        excluded = owner.startswith("~")
        owner = owner.removeprefix("~") or "*"
        imports = found.setdefault(namespace if owner == "." else owner, _Imports())
        if excluded:
            imports.excluded.append(name)
        else:
            imports.names.append(name)
            if not is_wildcard(name):
                imports.exact.add(name)
    return found


def _import(
    listener: IstioEgressListener, services: Sequence[Service], rules: Sequence[Rules], namespace: str
) -> Egress:
    imports = _parse_imports(listener.hosts, namespace)
    if listener.hosts == ("*/*",):
        taken, bound = services, rules
    else:
        taken = [service for service in services if _imported_service(imports, service)]
        bound = [each for each in rules if _imported_rules(imports, each)]
    egress = Egress(listener, _one_per_host(taken, namespace), tuple(bound))
    if egress.port is None or egress.names_no_port:
        return egress
    trimmed = (_only(service, egress.port) for service in taken)
    return replace(egress, services=_one_per_host((each for each in trimmed if each is not None), namespace))


def _for(imports: Mapping[str, _Imports], namespace: str) -> list[_Imports]:
    return [found for owner in (namespace, "*") if (found := imports.get(owner)) is not None]


def _imported_service(imports: Mapping[str, _Imports], service: Service) -> bool:
    ours = _for(imports, service.namespace)
    return any(each.takes_service(service.host) for each in ours) and not any(
        each.excludes(service.host) for each in ours
    )


def _imported_rules(imports: Mapping[str, _Imports], rules: Rules) -> bool:
    ours = _for(imports, rules.namespace)
    return any(
        any(each.takes_rules(host) for each in ours) and not any(each.excludes(host) for each in ours)
        for host in rules.hosts
    )


def _only(service: Service, number: int) -> Service | None:
    """A service with one of its ports alone; None when it does not have that port."""
    port = service.port(number)
    return None if port is None else replace(service, ports=(port,))


# The union of all listeners


def _united(egress: Sequence[Egress], registry: Registry, namespace: str, *, inferred: bool) -> dict[str, Service]:
    """Each host once, with every imported port; and the services that imported rules point at."""
    found: dict[str, Service] = {}
    for each in egress:
        for service in each.services:
            known = found.get(service.host)
            if known is None:
                found[service.host] = service
            elif known.namespace == service.namespace and known is not service:
                found[service.host] = replace(known, ports=_all_ports(known, service))
    if inferred:
        for host in dict.fromkeys(host for each in egress for host in _destinations(each.rules)):
            if host not in found:
                best = _best(registry.by_host.get(host, {}), namespace)
                if best is not None:
                    found[host] = best
    return found


def _all_ports(some: Service, others: Service) -> tuple[ServicePort, ...]:
    return tuple({port.number: port for port in (*some.ports, *others.ports)}.values())


def _destinations(rules: Iterable[Rules]) -> Iterator[str]:
    for each in rules:
        for route in each.http:
            yield from (destination.destination.host for destination in route.route)
            yield from (mirror.destination.host for mirror in route.mirrors)
            if route.mirror is not None:
                yield route.mirror.host
        for connection in each.tls:
            yield from (destination.destination.host for destination in connection.route)
        for plain in each.tcp:
            yield from (destination.destination.host for destination in plain.route)


def _best(by_namespace: Mapping[str, Service], namespace: str) -> Service | None:
    """The own namespace's service, else a visible Kubernetes one, else the oldest visible."""
    own = by_namespace.get(namespace)
    if own is not None:
        return own
    visible = [service for service in by_namespace.values() if service.visible_to(namespace)]
    return next((service for service in visible if service.kubernetes), visible[0] if visible else None)
