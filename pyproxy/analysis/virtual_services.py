"""VirtualServices against each other and against their gateways (IST0109, 0132, 0140, 0149).

Source: Istio pkg/config/analysis/analyzers/virtualservice (conflictingmeshgatewayhosts.go, gateways.go,
destinationhosts.go, jwtclaimroute.go).
"""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import EVERYBODY, Found, Subject, carries, listed, scopes
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.networking.virtual_service import VirtualService
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.istio.security import RequestAuthentication
from pyproxy.snapshot.hosts import MESH, expand_gateway, matches
from pyproxy.snapshot.matching import claim_path


def conflicting_hosts(subject: Subject) -> Iterator[Found]:
    """Several VirtualServices for one host: sidecars follow the first and no other."""
    by_scope: dict[tuple[str, str], list[tuple[Document, int]]] = {}
    for document, spec in subject.of(VirtualService):
        if not spec.gateways or MESH in spec.gateways:
            for scope in scopes(spec.export_to, document.namespace):
                for index, name in enumerate(spec.hosts):
                    host = subject.host(name, document.namespace)
                    by_scope.setdefault((scope, host), []).append((document, index))
    reported: set[int] = set()
    for (scope, host), own in by_scope.items():
        found = list(own)
        if scope != EVERYBODY:
            for (other, name), more in by_scope.items():
                if other == EVERYBODY and matches(name, host):
                    found += more
        if len({document.resource for document, _ in found}) < 2:
            continue
        names = listed(list(dict.fromkeys(f"{each.namespace}/{each.name}" for each, _ in found)))
        for document, index in found:
            if document.order not in reported:
                reported.add(document.order)
                message = f"{names} all have rules for {host}, of which sidecars follow the first alone: merge them"
                yield Found("IST0109", document, ("spec", "hosts", index), message)


def hosts_of_gateways(subject: Subject) -> Iterator[Found]:
    """VirtualServices none of whose hosts their gateway serves."""
    known = {f"{document.namespace}/{document.name}": (document, spec) for document, spec in subject.of(Gateway)}
    for document, spec in subject.of(VirtualService):
        for index, name in enumerate(spec.gateways):
            found = known.get(expand_gateway(name, document.namespace))
            if name == MESH or found is None:
                continue
            served = list(_served(*found, document.namespace))
            asked = [subject.host(host, document.namespace) for host in spec.hosts]
            if not any(matches(mine, host) for mine in served for host in asked):
                where = f"Gateway {found[0].namespace}/{found[0].name}"
                serves = listed(served) if served else f"nothing for namespace {document.namespace}"
                message = f"{where} serves none of {', '.join(asked)}; it serves {serves}"
                yield Found("IST0132", document, ("spec", "gateways", index), message)


def _served(document: Document, gateway: Gateway, namespace: str) -> Iterator[str]:
    """The hosts that a gateway serves for VirtualServices of a namespace."""
    for server in gateway.servers:
        for entry in server.hosts:
            owner, slash, name = entry.lower().rpartition("/")
            owner = document.namespace if owner == "." else owner
            if not slash or owner in (EVERYBODY, namespace):
                yield name


def subsets_beside_gateways(subject: Subject) -> Iterator[Found]:
    """Routes of a gateway to a whole service, whose subsets another VirtualService divides for sidecars only."""
    divided: dict[str, list[Document]] = {}
    for document, spec in subject.of(VirtualService):
        hosts = {subject.host(name, document.namespace) for name in spec.hosts}
        for route in spec.http:
            for each in route.route:
                host = subject.host(each.destination.host, document.namespace)
                if each.destination.subset and host in hosts:
                    divided.setdefault(host, []).append(document)
    for document, spec in subject.of(VirtualService):
        if not [name for name in spec.gateways if name != MESH]:
            continue
        for index, route in enumerate(spec.http):
            for number, each in enumerate(route.route):
                host = subject.host(each.destination.host, document.namespace)
                others = [one for one in divided.get(host, ()) if one.order != document.order]
                if not each.destination.subset and others:
                    path: FieldPath = ("spec", "http", index, "route", number, "destination", "host")
                    name = f"{others[0].namespace}/{others[0].name}"
                    message = f"the subsets that VirtualService {name} routes to have no effect on requests from here"
                    yield Found("IST0140", document, path, message)


def claims_without_tokens(subject: Subject) -> Iterator[Found]:
    """Routes by claims of a token on a gateway for which no RequestAuthentication verifies any."""
    known = {f"{document.namespace}/{document.name}": gateway for document, gateway in subject.of(Gateway)}
    verified = [
        policy.selector.match_labels if policy.selector else {} for _, policy in subject.of(RequestAuthentication)
    ]
    for document, spec in subject.of(VirtualService):
        asked = next(_claims(spec), None)
        if asked is None:
            continue
        for name in spec.gateways:
            gateway = known.get(expand_gateway(name, document.namespace))
            if gateway is not None and not any(carries(gateway.selector, labels) for labels in verified):
                full = expand_gateway(name, document.namespace)
                message = (
                    f"no RequestAuthentication selects the proxies of Gateway {full}: no token has any claims there"
                )
                yield Found("IST0149", document, asked, message, of_key=True)


def _claims(spec: VirtualService) -> Iterator[FieldPath]:
    for index, route in enumerate(spec.http):
        for number, match in enumerate(route.match):
            for field, headers in (("headers", match.headers), ("withoutHeaders", match.without_headers)):
                for name in headers:
                    if claim_path(name):
                        yield ("spec", "http", index, "match", number, field, name)
