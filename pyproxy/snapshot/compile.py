"""The pure function from documents to the snapshot that serves traffic, seen from one proxy.

Read it as the table of contents of this package: registry and rules, then what one proxy knows of them, then clusters,
route tables, connections and listeners.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyproxy.istio.problems import Problem
from pyproxy.istio.resources import Document
from pyproxy.snapshot.authorization import compile_authorization
from pyproxy.snapshot.clusters import Clusters, built_in_clusters
from pyproxy.snapshot.connections import ConnectionRoutes, compile_connections, listener_routes
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.destination_rules import DestinationRules
from pyproxy.snapshot.ext_authz import compile_authorizers
from pyproxy.snapshot.findings import (
    missing_client_credentials,
    missing_credentials,
    missing_references,
    policies_without_effect,
    servers_left_out,
    values_left_out,
)
from pyproxy.snapshot.gateway_servers import gateway_servers
from pyproxy.snapshot.gateways import GatewaySide
from pyproxy.snapshot.identity import concurrency_of as concurrency_of
from pyproxy.snapshot.identity import identity_of as identity_of
from pyproxy.snapshot.identity import in_mesh
from pyproxy.snapshot.inbound import Inbound, inbound_ports, workload_ports
from pyproxy.snapshot.listeners import Listeners
from pyproxy.snapshot.mesh import MeshSettings, mesh_settings
from pyproxy.snapshot.model import Cluster, Identity, Listening, Snapshot
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.request_authentication import token_rules
from pyproxy.snapshot.routes import Routes
from pyproxy.snapshot.rules import Rules, collect_rules
from pyproxy.snapshot.sidecars import Scope, gateway_scope, sidecar_scope
from pyproxy.snapshot.tables import OutboundTables, unknown_cluster
from pyproxy.snapshot.telemetry import compile_telemetry
from pyproxy.snapshot.tls import ClientSide


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of compiling."""

    snapshot: Snapshot
    problems: tuple[Problem, ...] = ()
    """What documents say that does not fit together; all warnings."""


def compile_snapshot(documents: Sequence[Document], identity: Identity, listening: Listening) -> Compilation:
    """The snapshot of one proxy. Documents must be valid each for itself; then nothing is raised."""
    documents = sorted(documents, key=lambda document: document.order)
    mesh = mesh_settings(documents)
    identity = in_mesh(identity, mesh)
    known = _Known(documents, identity, mesh, Credentials(listening.certs))
    problems = [*missing_references(documents, known.registry, known.destination_rules, mesh.domain)]
    problems += values_left_out(documents)
    problems += policies_without_effect(known.registry.authentication)
    problems += known.authorizers.problems(documents)
    problems += known.telemetry.problems(documents)
    if identity.gateway:
        snapshot, more = _gateway(documents, known, identity, listening, mesh)
        problems += more
    else:
        snapshot = _sidecar(documents, known, identity, listening, mesh)
    return Compilation(snapshot, tuple(problems))


class _Known:
    """What both roles need: services, rules, and how routes and clusters are made of them."""

    def __init__(
        self, documents: Sequence[Document], identity: Identity, mesh: MeshSettings, credentials: Credentials
    ) -> None:
        self.registry = Registry(documents, mesh)
        self.authorizers = compile_authorizers(mesh, self.registry)
        self.rules: tuple[Rules, ...] = collect_rules(documents, mesh)
        self.destination_rules = DestinationRules(documents, identity, mesh)
        self.scope: Scope = (
            gateway_scope(self.registry, identity.namespace)
            if identity.gateway
            else sidecar_scope(documents, self.registry, self.rules, identity, mesh)
        )
        self.routes = Routes(self.scope.services, self.destination_rules, identity, mesh)
        tls = ClientSide(self.registry.authentication, credentials, identity, mesh)
        self.clusters = Clusters(self.destination_rules, tls, identity, mesh)
        self.outbound_clusters = {
            cluster.name: cluster
            for cluster in (*built_in_clusters(mesh), *self.clusters.compile(self.scope.services.values()))
        }
        self.telemetry = compile_telemetry(documents, identity, mesh, self.registry)
        self.outbound_clusters |= self.telemetry.clusters


def _sidecar(
    documents: Sequence[Document], known: _Known, identity: Identity, listening: Listening, mesh: MeshSettings
) -> Snapshot:
    scope = known.scope
    ports = inbound_ports(scope, known.registry, identity, listening)
    inbound = Inbound(scope, known.clusters, mesh)
    modes = known.registry.authentication.workload(identity.namespace, identity.labels)
    routes = ConnectionRoutes(known.routes, identity)
    listeners = Listeners(
        scope, listening, mesh, modes, lambda egress, address, port: listener_routes(egress, address, port, routes)
    )
    tables, port_tables = OutboundTables(scope, known.routes, identity.namespace, mesh.domain).compile()
    connections = compile_connections(scope, routes, identity, mesh.domain)
    return Snapshot(
        identity=identity,
        listeners=listeners.compile(ports),
        route_tables=tables | {table.name: table for table in inbound.tables(ports)},
        clusters=known.outbound_clusters | _by_name(inbound.clusters(ports)),
        outbound_ports=connections.outbound_ports,
        inbound_ports={
            each.number: each.port.kind for each in ports if each.listener is None or not listeners.binds(each.listener)
        },
        tcp_routes=connections.tcp_routes,
        tcp_subnets=connections.tcp_subnets,
        allow_any=scope.allow_any,
        unknown_cluster=unknown_cluster(scope),
        telemetry=known.telemetry.telemetry,
        version=_digest(documents),
        documents=tuple(document.raw for document in documents),
        authorization=compile_authorization(documents, identity, mesh, http_providers=known.authorizers.usable),
        authorizers=known.authorizers.usable,
        token_rules=token_rules(documents, identity, mesh.root_namespace),
        port_tables=port_tables,
        address_protocols=connections.address_protocols,
        tcp_names=connections.tcp_names,
        detection_timeout=mesh.detection_timeout,
        mesh_tls=mesh.mesh_tls,
        inbound_mtls={port: mode for port, mode in modes.ports.items() if mode is not modes.default},
        inbound_mtls_default=modes.default,
    )


def _gateway(
    documents: Sequence[Document], known: _Known, identity: Identity, listening: Listening, mesh: MeshSettings
) -> tuple[Snapshot, list[Problem]]:
    targets: dict[int, int] = {}
    for _, port, target in workload_ports(known.registry, identity):
        targets.setdefault(port.number, target)
    servers, left = gateway_servers(documents, identity, targets)
    side = GatewaySide(servers, known.rules, known.routes, identity, listening, mesh)
    listeners = side.listeners(known.outbound_clusters)
    snapshot = Snapshot(
        identity=identity,
        listeners=listeners,
        route_tables=side.tables(),
        clusters=known.outbound_clusters | side.passing_clusters(),
        allow_any=False,
        mesh_tls=mesh.mesh_tls,
        telemetry=known.telemetry.telemetry,
        version=_digest(documents),
        documents=tuple(document.raw for document in documents),
        authorization=compile_authorization(documents, identity, mesh, http_providers=known.authorizers.usable),
        authorizers=known.authorizers.usable,
        token_rules=token_rules(documents, identity, mesh.root_namespace),
    )
    credentials = Credentials(listening.certs)
    problems = [*servers_left_out(left), *missing_credentials(servers, credentials)]
    return snapshot, [*problems, *missing_client_credentials(documents, credentials)]


def _by_name(clusters: Iterable[Cluster]) -> dict[str, Cluster]:
    return {cluster.name: cluster for cluster in clusters}


def _digest(documents: Iterable[Document]) -> str:
    """The same for the same documents in the same order."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(json.dumps(document.raw, default=str).encode())
    return digest.hexdigest()[:16]
