"""A scenario's mesh as Istio documents, for pyproxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.scenarios import HOST, SERVICE_PORT, Guards, Mesh
from bench.tokens import ISSUER, issued

HOSTS_PER_ENTRY = 100
"""The extra hosts come in ServiceEntries of so many hosts; each has a VirtualService of its own."""

COLLECTOR = "zipkin.bench"
WORKLOAD = "client"
"""The WorkloadEntry that the measured proxy stands beside."""

Document = dict[str, Any]


def documents(mesh: Mesh, ports: dict[str, int], tcp_port: int = SERVICE_PORT) -> list[Document]:
    """Everything that a proxy needs to serve the mesh; `ports` says where each subset listens.

    A service that is TCP has `tcp_port`, and there a listener.
    """
    if mesh.inbound:
        return _before_the_service(mesh, ports)
    if mesh.tcp:
        return _tcp(ports["v1"], tcp_port)
    return [
        _document("networking", "WorkloadEntry", WORKLOAD, {"address": "127.0.0.1", "labels": {"app": "client"}}),
        *_tracing(),
        _service([HOST], "reviews", ports, "HTTP2" if mesh.http2 else "HTTP"),
        _subsets(mesh, ports),
        _document("networking", "VirtualService", "reviews", {"hosts": [HOST], "http": _routes(mesh)}),
        *_extra(mesh, ports),
    ]


def write(folder: Path, mesh: Mesh, ports: dict[str, int], tcp_port: int = SERVICE_PORT) -> None:
    """The documents as one YAML file in `folder`."""
    folder.mkdir()
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    (folder / "mesh.yaml").write_text(yaml.dump_all(documents(mesh, ports, tcp_port), Dumper=dumper, sort_keys=False))


def _tcp(port: int, tcp_port: int) -> list[Document]:
    named = {"number": tcp_port, "name": "tcp", "protocol": "TCP"}
    spec = {
        "hosts": [HOST],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [named],
        "endpoints": [{"address": "127.0.0.1", "ports": {"tcp": port}}],
    }
    egress = {"port": named, "captureMode": "NONE", "hosts": ["*/*"]}
    return [
        _document("networking", "WorkloadEntry", WORKLOAD, {"address": "127.0.0.1", "labels": {"app": "client"}}),
        _document("networking", "ServiceEntry", "reviews", spec),
        _document("networking", "Sidecar", "default", {"egress": [egress]}),
    ]


def _before_the_service(mesh: Mesh, ports: dict[str, int]) -> list[Document]:
    """For the service's own proxy."""
    labels = {"app": "reviews"}
    spec = {
        "hosts": [HOST],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": SERVICE_PORT, "name": "http", "protocol": "HTTP"}],
        "workloadSelector": {"labels": labels},
    }
    workload = {"address": "127.0.0.1", "labels": labels, "serviceAccount": "reviews", "ports": {"http": ports["v1"]}}
    found = [
        _document("networking", "WorkloadEntry", WORKLOAD, workload),
        *_tracing(),
        _document("networking", "ServiceEntry", "reviews", spec),
    ]
    if mesh.mutual_tls:
        found.append(_document("security", "PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}))
    if mesh.rules:
        rules = [_rule(*each) for each in rules_of(mesh)]
        found.append(_document("security", "AuthorizationPolicy", "allow", {"action": "ALLOW", "rules": rules}))
    if mesh.tokens:
        found += _tokens()
    return found


def _tokens() -> list[Document]:
    """A token is verified, and none is not enough, as Istio's task on end-user authentication has it."""
    rule = {"issuer": ISSUER, "jwks": issued().jwks, "forwardOriginalToken": True}
    anybody = {"action": "ALLOW", "rules": [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]}
    return [
        _document("security", "RequestAuthentication", "tokens", {"jwtRules": [rule]}),
        _document("security", "AuthorizationPolicy", "tokens", anybody),
    ]


def rules_of(mesh: Mesh) -> list[tuple[str, str, str]]:
    """(method, path or prefix with `*`, value of the header x-team) of each rule; an empty value asks for no header."""
    others = [
        ("POST" if number % 2 else "GET", f"/service-{number}/*", f"team-{number}") for number in range(1, mesh.rules)
    ]
    return [*others, ("GET", "*", "")]


def _rule(method: str, path: str, team: str) -> Document:
    rule: Document = {"to": [{"operation": {"methods": [method], "paths": [path]}}]}
    if team:
        rule["when"] = [{"key": "request.headers[x-team]", "values": [team]}]
    return rule


def _document(group: str, kind: str, name: str, spec: Document) -> Document:
    return {
        "apiVersion": f"{group}.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def _tracing() -> list[Document]:
    """Trace headers on every request and no span of any: there is a collector, which hears nothing."""
    provider = {"name": "zipkin", "zipkin": {"service": COLLECTOR, "port": 9411}}
    mesh = {"meshConfig": {"extensionProviders": [provider], "defaultProviders": {"tracing": ["zipkin"]}}}
    collector = {
        "hosts": [COLLECTOR],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 9411, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": "127.0.0.2"}],
    }
    return [
        _document("install", "IstioOperator", "mesh", mesh) | {"apiVersion": "install.istio.io/v1alpha1"},
        _document("networking", "ServiceEntry", "zipkin", collector),
        _document("telemetry", "Telemetry", "tracing", {"tracing": [{"randomSamplingPercentage": 0}]}),
    ]


def _service(hosts: list[str], name: str, ports: dict[str, int], protocol: str = "HTTP") -> Document:
    endpoints = [
        {
            "address": "127.0.0.1",
            "ports": {"http": port},
            "labels": {"app": "reviews", "version": subset},
            "serviceAccount": "reviews",
        }
        for subset, port in ports.items()
    ]
    spec = {
        "hosts": hosts,
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": SERVICE_PORT, "name": "http", "protocol": protocol}],
        "endpoints": endpoints,
    }
    return _document("networking", "ServiceEntry", name, spec)


def _subsets(mesh: Mesh, ports: dict[str, int]) -> Document:
    subsets = [{"name": subset, "labels": {"version": subset}} for subset in ports]
    policy = {} if mesh.guards is None else _traffic_policy(mesh.guards)
    policy["tls"] = {"mode": "ISTIO_MUTUAL" if mesh.mutual_tls else "DISABLE"}
    spec = {"host": HOST, "subsets": subsets, "trafficPolicy": policy}
    return _document("networking", "DestinationRule", "reviews", spec)


def _traffic_policy(guards: Guards) -> Document:
    requests = ("http1MaxPendingRequests", "http2MaxRequests", "maxRetries")
    return {
        "connectionPool": {
            "tcp": {"maxConnections": guards.ceiling},
            "http": dict.fromkeys(requests, guards.ceiling),
        },
        "outlierDetection": {
            "consecutive5xxErrors": guards.errors,
            "interval": "10s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 100,
        },
    }


def _routes(mesh: Mesh) -> list[Document]:
    policies = _route_policies(mesh)
    return [route | policies for route in _plain_routes(mesh)]


def _route_policies(mesh: Mesh) -> Document:
    found: Document = {}
    if mesh.retries is not None:
        found["retries"] = {"attempts": mesh.retries.attempts, "retryOn": mesh.retries.on}
    if mesh.guards is not None:
        percentage = {"value": mesh.guards.fault_percent}
        found["fault"] = {
            "delay": {"percentage": percentage, "fixedDelay": "0.1s"},
            "abort": {"percentage": percentage, "httpStatus": 500},
        }
    return found


def _plain_routes(mesh: Mesh) -> list[Document]:
    several = len(mesh.split) > 1
    destinations = [
        {"destination": {"host": HOST, "subset": subset}} | ({"weight": weight} if several else {})
        for subset, weight in mesh.split
    ]
    if mesh.header_match is None:
        return [{"name": "default", "route": destinations}]
    name, value = mesh.header_match
    return [
        {"name": "canary", "match": [{"headers": {name: {"exact": value}}}], "route": destinations},
        {"name": "default", "route": [{"destination": {"host": HOST, "subset": mesh.split[0][0]}}]},
    ]


def _extra(mesh: Mesh, ports: dict[str, int]) -> list[Document]:
    hosts = mesh.hosts()
    found = [
        _service(hosts[start : start + HOSTS_PER_ENTRY], f"services-{start // HOSTS_PER_ENTRY:03}", ports)
        for start in range(0, len(hosts), HOSTS_PER_ENTRY)
    ]
    for host in hosts:
        routes = [{"route": [{"destination": {"host": HOST, "subset": mesh.split[0][0]}}]}]
        spec = {"hosts": [host], "http": routes}
        found.append(_document("networking", "VirtualService", host.partition(".")[0], spec))
    return found
