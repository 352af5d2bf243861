"""Warnings about documents that do not fit together, as far as compiling shows it: missing hosts and subsets.

Codes are Istio's (pkg/config/analysis/msg/messages.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyproxy.istio.networking.virtual_service import Destination, HTTPRoute, VirtualService
from pyproxy.istio.problems import NOT_ACTED_ON, FieldPath, Problem, format_path
from pyproxy.istio.resources import Document
from pyproxy.snapshot.destination_rules import DestinationRules
from pyproxy.snapshot.hosts import expand
from pyproxy.snapshot.registry import Registry

NOT_FOUND = "IST0101"


def warn(document: Document, code: str, path: FieldPath, message: str) -> Problem:
    """A warning about a field of a document; the place is where the document begins."""
    return Problem(
        severity="warning",
        code=code,
        file=document.file,
        line=document.line,
        column=1,
        resource=document.resource,
        path=format_path(path),
        message=message,
    )


def missing_references(
    documents: Sequence[Document], registry: Registry, rules: DestinationRules, domain: str
) -> Iterator[Problem]:
    """Destinations of VirtualServices that no service, or no subset in the rule that this proxy follows, answers to."""
    for document in documents:
        spec = document.spec
        if not isinstance(spec, VirtualService):
            continue
        for path, destination in _destinations(spec):
            problem = _check(document, path, destination, registry, rules, domain)
            if problem is not None:
                yield problem


def servers_left_out(left: Sequence[tuple[Document, int, str]]) -> Iterator[Problem]:
    """Servers of Gateways that this gateway does not run."""
    for document, index, reason in left:
        yield warn(document, NOT_ACTED_ON, ("spec", "servers", index), reason)


def _destinations(spec: VirtualService) -> Iterator[tuple[FieldPath, Destination]]:
    for index, route in enumerate(spec.http):
        yield from _http_destinations(("spec", "http", index), route)
    connections = [("tls", index, each.route) for index, each in enumerate(spec.tls)]
    connections += [("tcp", index, each.route) for index, each in enumerate(spec.tcp)]
    for kind, index, weighted_list in connections:
        for number, weighted in enumerate(weighted_list):
            yield ("spec", kind, index, "route", number, "destination"), weighted.destination


def _http_destinations(path: FieldPath, route: HTTPRoute) -> Iterator[tuple[FieldPath, Destination]]:
    for number, weighted in enumerate(route.route):
        yield (*path, "route", number, "destination"), weighted.destination
    if route.mirror is not None:
        yield (*path, "mirror"), route.mirror
    for number, mirror in enumerate(route.mirrors):
        yield (*path, "mirrors", number, "destination"), mirror.destination


def _check(
    document: Document,
    path: FieldPath,
    destination: Destination,
    registry: Registry,
    rules: DestinationRules,
    domain: str,
) -> Problem | None:
    host = expand(destination.host, document.namespace, domain).lower()
    by_namespace = registry.by_host.get(host)
    if by_namespace is None:
        if host in registry.aliases:
            return None
        hint = ""
        if destination.host.lower() in registry.by_host:
            hint = f"; a short name means the document's own namespace, and {destination.host} is another service"
        return warn(document, NOT_FOUND, (*path, "host"), f"no service is called {host}: requests get 503 NC{hint}")
    if not destination.subset:
        return None
    service = by_namespace.get(document.namespace) or next(iter(by_namespace.values()))
    policy = rules.for_service(service)
    if policy is not None and destination.subset in policy.subsets:
        return None
    where = f"DestinationRule {policy.name}" if policy is not None else "no DestinationRule"
    message = f"{host} has no subset {destination.subset} ({where} is in force): requests get 503 NC"
    return warn(document, NOT_FOUND, (*path, "subset"), message)
