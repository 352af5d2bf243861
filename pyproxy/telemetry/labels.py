"""Which labels Istio's metrics give a request or a connection.

Source: Envoy contrib/istio/filters/http/istio_stats/source/istio_stats.cc (`populatePeerInfo`), with the configuration
that Istio writes for sidecars and gateways (pilot/pkg/model/telemetry.go); oracles: istio/proxy testdata/metric.
"""

from __future__ import annotations

from pyproxy.core.tls import Peer as TlsPeer
from pyproxy.snapshot.canonical import canonical_revision, canonical_service
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Cluster,
    Direction,
    Endpoint,
    Identity,
)
from pyproxy.telemetry.peer_metadata import Peer

Labels = tuple[str, ...]
_Service = tuple[str, str, str]
"""destination_service, its name and its namespace; empty for what nobody says."""

BASE_LABELS: Labels = (
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
)
"""Known when the peer is known; gRPC message counters have these alone."""
TCP_LABELS: Labels = (*BASE_LABELS, "request_protocol", "response_flags", "connection_security_policy")
HTTP_LABELS: Labels = (
    *BASE_LABELS,
    "request_protocol",
    "response_code",
    "grpc_response_status",
    "response_flags",
    "connection_security_policy",
)

UNKNOWN = "unknown"
_UNNAMED = frozenset({PASSTHROUGH_CLUSTER, BLACKHOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER})
_ROUTES = {"block_all": BLACKHOLE_CLUSTER, "allow_any": PASSTHROUGH_CLUSTER}
_NOBODY = Peer()


class LabelRules:
    """One proxy's point of view."""

    def __init__(self, identity: Identity) -> None:
        labels = identity.labels
        self._workload = identity.workload or UNKNOWN
        self._namespace = identity.namespace
        self._canonical_service = canonical_service(labels, self._workload)
        self._canonical_revision = canonical_revision(labels)
        self._app = labels.get("app", "")
        self._version = labels.get("version", "")
        self._cluster = identity.cluster_id

    def base(
        self,
        direction: Direction,
        cluster: Cluster | None,
        peer: Peer | None,
        tls: TlsPeer | None,
        host: str,
        route: str,
    ) -> Labels:
        """Values of BASE_LABELS.

        `tls` is the peer's end of the connection, None without TLS. `host` is the Host header where it may stand for a
        service that has no name (a sidecar's outbound side), else empty.
        """
        service = _service(cluster, host, route)
        if direction is Direction.INBOUND:
            return self._as_destination(service, peer or _NOBODY, tls)
        return self._as_source(service, peer or _NOBODY, tls)

    def _as_destination(self, service: _Service, peer: Peer, tls: TlsPeer | None) -> Labels:
        host, name, _ = service
        principal, own_principal = _principals(tls)
        return (
            "destination",
            peer.workload or UNKNOWN,
            peer.canonical_service or UNKNOWN,
            peer.canonical_revision or "latest",
            _namespace_of(principal) or peer.namespace or UNKNOWN,
            principal or UNKNOWN,
            peer.app or UNKNOWN,
            peer.version or UNKNOWN,
            peer.cluster or UNKNOWN,
            self._workload,
            self._namespace,
            own_principal,
            self._app,
            self._version,
            host or self._canonical_service,
            self._canonical_service,
            self._canonical_revision,
            name or self._canonical_service,
            self._namespace,
            self._cluster,
        )

    def _as_source(self, service: _Service, peer: Peer, tls: TlsPeer | None) -> Labels:
        host, name, namespace = service
        principal, own_principal = _principals(tls)
        peer_namespace = _namespace_of(principal) or peer.namespace or UNKNOWN
        return (
            "source",
            self._workload,
            self._canonical_service,
            self._canonical_revision,
            self._namespace,
            own_principal,
            self._app,
            self._version,
            self._cluster,
            peer.workload or UNKNOWN,
            peer_namespace,
            principal or peer.identity or UNKNOWN,
            peer.app or UNKNOWN,
            peer.version or UNKNOWN,
            host or UNKNOWN,
            peer.canonical_service or UNKNOWN,
            peer.canonical_revision or "latest",
            name or UNKNOWN,
            namespace or peer_namespace,
            peer.cluster or UNKNOWN,
        )


def _principals(tls: TlsPeer | None) -> tuple[str, str]:
    """The SPIFFE identities of the other end and of ours."""
    return (tls.uri_san, tls.local_uri_san or UNKNOWN) if tls is not None else ("", UNKNOWN)


def _service(cluster: Cluster | None, host: str, route: str) -> _Service:
    """destination_service, its name and its namespace, as far as configuration or the Host header says."""
    if route in _ROUTES:
        return host, _ROUTES[route], ""
    if cluster is None:
        return host, host, ""
    if cluster.name in _UNNAMED:
        return host, cluster.name, ""
    service = cluster.service
    if service is None:
        return host, host, ""
    return service.host, service.name, service.namespace


def _namespace_of(principal: str) -> str:
    """`.../ns/<namespace>/sa/...` → namespace."""
    return principal.partition("/ns/")[2].partition("/")[0]


def security_policy(tls: TlsPeer | None, direction: Direction) -> str:
    """connection_security_policy: only the side that was called says."""
    if direction is not Direction.INBOUND:
        return UNKNOWN
    return "mutual_tls" if tls is not None and tls.mutual else "none"


def endpoint_peer(endpoint: Endpoint) -> Peer | None:
    """What configuration knows of an endpoint whose sidecar did not say: no app and no version, as in Istio."""
    if not endpoint.workload and not endpoint.labels:
        return None
    return Peer(
        workload=endpoint.workload,
        namespace=endpoint.namespace,
        cluster=endpoint.cluster_id,
        canonical_service=canonical_service(endpoint.labels, endpoint.workload),
        canonical_revision=canonical_revision(endpoint.labels),
    )
