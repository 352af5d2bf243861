"""What handles a connection: Envoy's HTTP connection manager as Istio's sidecars have it, or its TCP proxy.

Source: Istio pilot/pkg/networking/core/listener_builder.go, pilot/pkg/networking/util/proxy_headers.go.
"""

from __future__ import annotations

from pyproxy.envoy.actions import NOBODY
from pyproxy.envoy.authentication import token_filters
from pyproxy.envoy.authorization import filters_after_tokens, filters_before_tokens
from pyproxy.envoy.filters import http_filters
from pyproxy.envoy.observability import access_logs, side, tracing
from pyproxy.envoy.values import TYPE, Resource, duration, given
from pyproxy.snapshot.model import (
    Direction,
    ForwardClientCert,
    HttpSettings,
    Listener,
    ListenerKind,
    PathNormalization,
    Snapshot,
)
from pyproxy.snapshot.tcp_routes import TcpRoute

_FILTERS = f"{TYPE}.extensions.filters.network"
_REQUEST_ID = f"{TYPE}.extensions.request_id.uuid.v3.UuidRequestIdConfig"
_WRITING = (ForwardClientCert.APPEND_FORWARD, ForwardClientCert.SANITIZE_SET)
_MERGING = (PathNormalization.MERGE_SLASHES, PathNormalization.DECODE_AND_MERGE_SLASHES)


def http_filter(listener: Listener, routes: Resource, snapshot: Snapshot, *, by_name: bool) -> Resource:
    """The network filter that serves HTTP; `routes` is `route_config` or `rds`."""
    http = listener.http
    told = side(snapshot, http.direction)
    manager: Resource = {
        "@type": f"{_FILTERS}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": _prefix(listener),
        **routes,
        "http_filters": [
            *filters_before_tokens(listener, snapshot),
            *token_filters(listener, snapshot),
            *filters_after_tokens(listener, snapshot),
            *http_filters(by_name=by_name, grpc_web=_has_grpc_web(snapshot)),
        ],
        **_server(http),
        "use_remote_address": http.use_remote_address,
        **given(("xff_num_trusted_hops", http.xff_trusted_hops), ("internal_address_config", _internal(http))),
        **_client_cert(http),
        **_paths(http.path_normalization),
        "generate_request_id": http.generate_request_id,
        "request_id_extension": {
            "typed_config": {"@type": _REQUEST_ID, "use_request_id_for_trace_sampling": told.tracing.by_request_id},
        },
        "proxy_100_continue": http.proxy_100_continue,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "common_http_protocol_options": {
            "idle_timeout": duration(http.idle_timeout),
            "max_headers_count": http.max_headers,
        },
        "stream_idle_timeout": duration(http.stream_idle_timeout),
        "max_request_headers_kb": http.max_request_headers_kb,
        **given(("tracing", tracing(told.tracing)), ("access_log", access_logs(told.access_logs))),
    }
    if http.request_headers_timeout:
        manager["request_headers_timeout"] = duration(http.request_headers_timeout)
    if http.accept_http_10:
        manager["http_protocol_options"] = {"accept_http_10": True}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _has_grpc_web(snapshot: Snapshot) -> bool:
    hosts = (host for table in snapshot.route_tables.values() for host in (*table.exact.values(), table.default))
    return any(host is not None and host.grpc_web for host in hosts)


def tcp_filter(route: TcpRoute, snapshot: Snapshot, direction: Direction) -> Resource:
    """The network filter that passes bytes on."""
    proxy: Resource = {
        "@type": f"{_FILTERS}.tcp_proxy.v3.TcpProxy",
        "stat_prefix": route.name,
        **clusters_of(route),
        "idle_timeout": duration(route.idle_timeout),
        **given(("access_log", access_logs(side(snapshot, direction).access_logs))),
    }
    if route.max_duration:
        proxy["max_downstream_connection_duration"] = duration(route.max_duration)
    if route.tunnel:
        proxy["tunneling_config"] = {"hostname": route.tunnel}
    if route.by_source:
        proxy["hash_policy"] = [{"source_ip": {}}]
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}


def clusters_of(route: TcpRoute) -> Resource:
    """`cluster` or `weighted_clusters`."""
    if len(route.clusters) == 1:
        return {"cluster": route.clusters[0][0] or NOBODY}
    return {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in route.clusters]}}


def _prefix(listener: Listener) -> str:
    if listener.kind is ListenerKind.INBOUND_CAPTURE:
        return "inbound_0.0.0.0_15006"
    return f"{listener.http.direction.value}_{listener.address}_{listener.port}"


def _internal(http: HttpSettings) -> Resource:
    ranges: list[Resource] = [
        {"address_prefix": str(network.network_address), "prefix_len": network.prefixlen}
        for network in http.internal_networks
    ]
    return given(("cidr_ranges", ranges))


def _client_cert(http: HttpSettings) -> Resource:
    """x-forwarded-client-cert; Envoy refuses details where none are written."""
    mode = http.forward_client_cert
    resource: Resource = {"forward_client_cert_details": mode.value}
    if mode in _WRITING:
        details: Resource = {name.lower(): True for name in http.client_cert_details}
        resource["set_current_client_cert_details"] = details
    return resource


def _server(http: HttpSettings) -> Resource:
    """The `server` header; no name leaves the upstream's."""
    if not http.server_name:
        return {"server_header_transformation": "PASS_THROUGH"}
    return {"server_name": http.server_name.decode()}


def _paths(kind: PathNormalization) -> Resource:
    decoding = kind is PathNormalization.DECODE_AND_MERGE_SLASHES
    return {
        "normalize_path": kind is not PathNormalization.NONE,
        **given(("merge_slashes", kind in _MERGING)),
        "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD" if decoding else "KEEP_UNCHANGED",
    }
