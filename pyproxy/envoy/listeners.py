"""Listeners as Envoy's config.listener.v3.Listener: for the capture ports one filter chain per declared port.

Source: Envoy api/envoy/config/listener/v3/listener.proto.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.envoy.values import TYPE, Resource, address, duration, given
from pyproxy.snapshot.model import (
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Direction,
    Listener,
    ListenerKind,
    PathNormalization,
    Snapshot,
)

_DIRECTIONS = {Direction.INBOUND: "INBOUND", Direction.OUTBOUND: "OUTBOUND"}
_MANAGER = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = f"{TYPE}.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_MERGING = (PathNormalization.MERGE_SLASHES, PathNormalization.DECODE_AND_MERGE_SLASHES)
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": f"{TYPE}.extensions.filters.http.router.v3.Router"},
}


def listener_resource(listener: Listener, port: int, snapshot: Snapshot) -> Resource:
    """One listener; `port` is the one it is bound to."""
    resource: Resource = {
        "@type": f"{TYPE}.config.listener.v3.Listener",
        "name": listener.name,
        "address": address(listener.address, port),
    }
    resource |= given(("traffic_direction", _DIRECTIONS.get(listener.http.direction)))
    if listener.kind is ListenerKind.OUTBOUND_CAPTURE:
        resource["use_original_dst"] = True
        resource["filter_chains"] = list(_outbound_chains(listener, snapshot))
        resource["default_filter_chain"] = _tcp(PASSTHROUGH_CLUSTER)
    elif listener.kind is ListenerKind.INBOUND_CAPTURE:
        resource["filter_chains"] = list(_inbound_chains(listener, snapshot))
        resource["default_filter_chain"] = _tcp(INBOUND_PASSTHROUGH_CLUSTER)
    elif listener.protocol == "tcp":
        resource["filter_chains"] = [_tcp(listener.tcp_cluster)]
    else:
        resource["filter_chains"] = [_http(listener, listener.route_table or "any")]
    return resource


def _outbound_chains(listener: Listener, snapshot: Snapshot) -> Iterator[Resource]:
    for port, protocol in snapshot.outbound_ports.items():
        cluster = snapshot.tcp_routes.get(("", port), PASSTHROUGH_CLUSTER)
        chain = _tcp(cluster) if protocol == "tcp" else _http(listener, str(port))
        yield {"filter_chain_match": {"destination_port": port}, **chain}


def _inbound_chains(listener: Listener, snapshot: Snapshot) -> Iterator[Resource]:
    for port, protocol in snapshot.inbound_ports.items():
        table = f"inbound|{port}||"
        chain = _tcp(table) if protocol == "tcp" else _http(listener, table)
        yield {"filter_chain_match": {"destination_port": port}, **chain}


def _http(listener: Listener, table: str) -> Resource:
    http = listener.http
    manager: Resource = {
        "@type": _MANAGER,
        "stat_prefix": f"{http.direction.value}_{listener.address}_{listener.port}",
        "rds": {"config_source": {"ads": {}, "resource_api_version": "V3"}, "route_config_name": table},
        "http_filters": [_ROUTER],
        "server_name": http.server_name.decode(),
        "use_remote_address": http.use_remote_address,
        "normalize_path": http.path_normalization is not PathNormalization.NONE,
        **given(("merge_slashes", http.path_normalization in _MERGING)),
        "common_http_protocol_options": {
            "idle_timeout": duration(http.idle_timeout),
            "max_headers_count": http.max_headers,
        },
        "stream_idle_timeout": duration(http.stream_idle_timeout),
        "max_request_headers_kb": http.max_request_headers_kb,
    }
    if http.xff_trusted_hops:
        manager["xff_num_trusted_hops"] = http.xff_trusted_hops
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}


def _tcp(cluster: str) -> Resource:
    proxy: Resource = {"@type": _TCP_PROXY, "stat_prefix": cluster, "cluster": cluster}
    return {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
