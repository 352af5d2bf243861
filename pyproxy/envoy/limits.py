"""What a bootstrap says less than the snapshot that it came from, for a warning each. docs/export.md tells the rest."""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.core.tls import MtlsMode
from pyproxy.envoy.clusters import NO_CERTIFICATE
from pyproxy.envoy.tls import Certificates, can_connect, gateway_socket
from pyproxy.snapshot.model import Cluster, DirectResponse, Discovery, Route, Snapshot, VirtualHost
from pyproxy.snapshot.server_tls import PASSING

_LARGEST_STATUS = 599


def left_out(snapshot: Snapshot, certificates: Certificates = NO_CERTIFICATE) -> list[str]:
    """One sentence for each thing that Envoy cannot take, most general first, none twice."""
    found = [
        "Istio's metrics (istio_requests_total and its family) and the exchange of peer metadata need filters that "
        "only Istio's own build of Envoy has: the bootstrap has Envoy's statistics alone"
    ]
    for cluster in snapshot.clusters.values():
        found += _of_cluster(cluster)
        if not can_connect(cluster, certificates):
            found.append(f"{cluster.name}: the certificates that its TLS needs are not there; it gets no endpoints")
    found += _of_certificates(snapshot, certificates)
    for route in _routes(snapshot):
        found += _of_route(route)
    any_table = snapshot.route_tables.get("any")
    if any_table is not None and any_table.suffixes:
        found.append(
            "requests addressed to the proxy itself for a wildcard host, with a port that nobody declared, count as "
            "requests to an unknown host: Envoy has no domain with both a wildcard and any port"
        )
    return list(dict.fromkeys(found))


def _of_certificates(snapshot: Snapshot, certificates: Certificates) -> Iterator[str]:
    """Listeners that let nobody in."""
    if not certificates.folder:
        modes = {snapshot.inbound_mtls_default, *snapshot.inbound_mtls.values()}
        if MtlsMode.STRICT in modes and not snapshot.identity.gateway:
            yield "mutual TLS is STRICT and there is no certificate (--certs): such ports let nobody in"
        if any(cluster.tls is not None and cluster.tls.automatic for cluster in snapshot.clusters.values()):
            yield "there is no certificate (--certs): what would be mutual TLS by itself is plaintext"
    for listener in snapshot.listeners:
        for server in listener.server_tls:
            if server.mode not in PASSING and gateway_socket(server, certificates) is None:
                yield f"{listener.name}: the certificates for {', '.join(server.hosts)} are not there"


def _of_cluster(cluster: Cluster) -> Iterator[str]:
    if cluster.discovery is Discovery.ORIGINAL_DST and cluster.original_port and not cluster.endpoints:
        yield (
            f"{cluster.name}: targetPort {cluster.original_port} counts for redirected connections; a client that "
            "calls the service by name reaches the port that the name says"
        )
    if cluster.discovery is Discovery.LOGICAL_DNS and len(cluster.endpoints) > 1:
        count = len(cluster.endpoints)
        yield f"{cluster.name}: Envoy looks up one name for DNS_ROUND_ROBIN; the first of {count} is kept"


def _of_route(route: Route) -> Iterator[str]:
    action, fault = route.action, route.fault
    statuses = [action.status] if isinstance(action, DirectResponse) else []
    if fault is not None and fault.abort_status is not None:
        statuses.append(fault.abort_status)
    for status in statuses:
        if status > _LARGEST_STATUS:
            where = route.virtual_service or "a route"
            yield f"{where}: status {status} is none to Envoy; it answers {_LARGEST_STATUS}"


def _routes(snapshot: Snapshot) -> Iterator[Route]:
    hosts: dict[int, VirtualHost] = {}
    for table in snapshot.route_tables.values():
        for host in (*table.exact.values(), *table.suffixes.values(), *((table.default,) if table.default else ())):
            hosts[id(host)] = host
    for host in hosts.values():
        yield from host.routes
