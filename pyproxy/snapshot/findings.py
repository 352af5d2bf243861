"""Warnings that only compiling brings to light: missing hosts and subsets, values that cannot be used.

Codes are Istio's (pkg/config/analysis/msg/messages.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyproxy.istio.networking.destination_rule import (
    ClientTLSSettings,
    DestinationRule,
    PortTrafficPolicy,
    TrafficPolicy,
)
from pyproxy.istio.networking.virtual_service import Destination, Headers, HTTPRoute, VirtualService
from pyproxy.istio.problems import NOT_ACTED_ON, SCHEMA_WARNING, FieldPath, Problem, format_path
from pyproxy.istio.resources import Document
from pyproxy.snapshot.actions import compile_substitution
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.destination_rules import DestinationRules
from pyproxy.snapshot.gateway_servers import GatewayServer
from pyproxy.snapshot.headers import FRAMING
from pyproxy.snapshot.hosts import expand
from pyproxy.snapshot.peer_authentication import PeerAuthentications
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.server_tls import missing_files
from pyproxy.wire.format import FormatError, compile_header_value

NOT_FOUND = "IST0101"
NO_EFFECT = "IST0167"
NO_CREDENTIAL = "IST0161"


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
        for path, destination in destinations_of(spec):
            problem = _check(document, path, destination, registry, rules, domain)
            if problem is not None:
                yield problem


def servers_left_out(left: Sequence[tuple[Document, int, str]]) -> Iterator[Problem]:
    """Servers of Gateways that this gateway does not run."""
    for document, index, reason in left:
        yield warn(document, NOT_ACTED_ON, ("spec", "servers", index), reason)


def missing_credentials(servers: Sequence[GatewayServer], credentials: Credentials) -> Iterator[Problem]:
    """Credentials of servers that this gateway runs, as far as their files are not there."""
    for each in servers:
        missing = missing_files(each.server.tls, credentials) if each.server.tls is not None else []
        if missing:
            path: FieldPath = ("spec", "servers", each.index, "tls")
            message = f"nobody can connect until there is {' and '.join(missing)}"
            yield warn(each.document, NO_CREDENTIAL, path, message)


def missing_client_credentials(documents: Sequence[Document], credentials: Credentials) -> Iterator[Problem]:
    """Credentials that DestinationRules name for this gateway, as far as their files are not there."""
    for document in documents:
        if isinstance(document.spec, DestinationRule):
            for path, tls in _client_tls(document.spec):
                named = bool(tls.credential_name) and tls.mode in ("SIMPLE", "MUTUAL")
                wants_ca = not tls.insecure_skip_verify
                found = credentials.named(tls.credential_name or "")
                missing = found.missing(pair=tls.mode == "MUTUAL", ca=wants_ca) if named else []
                if missing:
                    message = f"requests get 503 until there is {' and '.join(missing)}"
                    yield warn(document, NO_CREDENTIAL, (*path, "credentialName"), message)


def _client_tls(rule: DestinationRule) -> Iterator[tuple[FieldPath, ClientTLSSettings]]:
    policies: list[tuple[FieldPath, TrafficPolicy | None]] = [(("spec", "trafficPolicy"), rule.traffic_policy)]
    policies += [
        (("spec", "subsets", index, "trafficPolicy"), subset.traffic_policy)
        for index, subset in enumerate(rule.subsets)
    ]
    for path, policy in policies:
        if policy is not None:
            blocks: list[tuple[FieldPath, TrafficPolicy | PortTrafficPolicy]] = [(path, policy)]
            blocks += [
                ((*path, "portLevelSettings", index), entry) for index, entry in enumerate(policy.port_level_settings)
            ]
            yield from (((*where, "tls"), block.tls) for where, block in blocks if block.tls is not None)


def policies_without_effect(authentication: PeerAuthentications) -> Iterator[Problem]:
    """PeerAuthentications that nothing follows."""
    for document, reason in authentication.ignored:
        path: FieldPath = ("spec", "selector") if "selector" in reason else ("spec",)
        yield warn(document, NO_EFFECT, path, f"has no effect: {reason}")


def values_left_out(documents: Sequence[Document]) -> Iterator[Problem]:
    """Header values with commands, and substitutions with groups, that Envoy would refuse."""
    for document in documents:
        if not isinstance(document.spec, VirtualService):
            continue
        for index, route in enumerate(document.spec.http):
            path: FieldPath = ("spec", "http", index)
            for level, headers in _header_levels(path, route):
                yield from _bad_values(document, level, headers)
            regex = route.rewrite.uri_regex_rewrite if route.rewrite is not None else None
            if regex is not None and compile_substitution(regex.match or "", regex.rewrite or "") is None:
                where = (*path, "rewrite", "uriRegexRewrite", "rewrite")
                message = f"{regex.rewrite!r} does not fit the groups of {regex.match!r}: paths are not rewritten"
                yield warn(document, SCHEMA_WARNING, where, message)


def _header_levels(path: FieldPath, route: HTTPRoute) -> Iterator[tuple[FieldPath, Headers]]:
    if route.headers is not None:
        yield (*path, "headers"), route.headers
    for index, weighted in enumerate(route.route):
        if weighted.headers is not None:
            yield (*path, "route", index, "headers"), weighted.headers


def _bad_values(document: Document, path: FieldPath, headers: Headers) -> Iterator[Problem]:
    for side, operations in (("request", headers.request), ("response", headers.response)):
        if operations is None:
            continue
        for kind, lines in (("set", operations.set), ("add", operations.add)):
            for name, value in lines.items():
                problem = _value_problem(name, value)
                if problem:
                    message = f"{problem}: the header is not written"
                    yield warn(document, SCHEMA_WARNING, (*path, side, kind, name), message)


def _value_problem(name: str, value: str) -> str:
    """Why a header value is left out; empty when it is not."""
    if name.lower() in FRAMING:
        return f"{name} says where a message ends, which only its sender can know"
    try:
        compile_header_value(value)
    except FormatError as error:
        return str(error)
    return ""


def destinations_of(spec: VirtualService) -> Iterator[tuple[FieldPath, Destination]]:
    """Every destination of a VirtualService, mirrors among them, with the path to it."""
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
