"""The attributes of a request that an expression may name: Envoy's, and the peers that Istio's filters add.

Source: Envoy intro/arch_overview/advanced/attributes.rst, source/extensions/filters/common/expr/context.cc; Istio's
peers: contrib/istio/filters/common/source/metadata_object.h. telemetry/attributes.py has their values.
"""

from __future__ import annotations

from typing import Final

PEER_FIELDS: Final = ("app", "cluster", "identity", "name", "namespace", "revision", "service", "version", "workload")
"""Of `upstream_peer` and `downstream_peer`."""
PEERS: Final = ("upstream_peer", "downstream_peer")

_FIELDS = {
    "request": (
        "duration headers host id method path protocol query referer scheme size time total_size url_path useragent"
    ),
    "response": "backend_latency code code_details flags grpc_status headers size total_size trailers",
    "source": "address port",
    "destination": "address port",
    "connection": (
        "dns_san_local_certificate dns_san_peer_certificate id mtls requested_server_name "
        "sha256_peer_certificate_digest subject_local_certificate subject_peer_certificate termination_details "
        "tls_version uri_san_local_certificate uri_san_peer_certificate"
    ),
    "upstream": (
        "address dns_san_peer_certificate local_address port request_attempt_count subject_peer_certificate "
        "tls_version transport_failure_reason uri_san_local_certificate uri_san_peer_certificate"
    ),
    "xds": "cluster_name listener_direction route_name virtual_host_name",
}
_PEER_ROOTS = (*PEERS, *(f"filter_state.{peer}" for peer in PEERS))
ATTRIBUTES: Final = frozenset(
    [f"{root}.{name}" for root, names in _FIELDS.items() for name in names.split()] + list(_PEER_ROOTS)
)
"""Full names; what follows one is a key of the map that it stands for."""
ROOTS: Final = frozenset(name.partition(".")[0] for name in ATTRIBUTES)
NOT_SUPPORTED: Final = frozenset(("metadata", "upstream_filter_state", "plugin_name", "node"))
"""Envoy's, of which pyproxy knows nothing."""
