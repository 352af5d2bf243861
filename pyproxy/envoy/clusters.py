"""Clusters as Envoy's config.cluster.v3.Cluster, and their hosts of this moment as ClusterLoadAssignment.

Source: Envoy api/envoy/config/cluster/v3/cluster.proto, Istio pilot/pkg/networking/core/cluster_builder.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from pyproxy.envoy.values import TYPE, Resource, address, duration, given, istio_metadata, locality
from pyproxy.policy.balancing import Algorithm, LoadBalancing
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.runtime.clusters import ClusterState
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Discovery, Endpoint, TcpKeepalive

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_VERSIONS: dict[str, Resource] = {
    "1": {"explicit_http_config": {"http_protocol_options": {}}},
    "2": {"explicit_http_config": {"http2_protocol_options": {}}},
    "downstream": {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
}
PlaceT = TypeVar("PlaceT")


def cluster_resource(cluster: Cluster) -> Resource:
    """One cluster as it is configured."""
    resource: Resource = {
        "@type": f"{TYPE}.config.cluster.v3.Cluster",
        "name": cluster.name,
        "type": cluster.discovery.value,
        "connect_timeout": duration(cluster.connection.connect_timeout),
    }
    if cluster.discovery is Discovery.ORIGINAL_DST:
        resource["lb_policy"] = "CLUSTER_PROVIDED"
        if cluster.original_port:
            resource["original_dst_lb_config"] = {"upstream_port_override": cluster.original_port}
    else:
        resource |= _balancing(cluster.load_balancing)
        resource["load_assignment"] = {
            "cluster_name": cluster.name,
            "endpoints": _by_locality(cluster.endpoints, lambda one: (one.locality, one.priority), _endpoint),
        }
    if cluster.discovery in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS):
        resource |= {"respect_dns_ttl": True, "dns_refresh_rate": duration(cluster.dns_refresh)}
    resource["circuit_breakers"] = {"thresholds": [_thresholds(cluster.breakers)]}
    if cluster.outlier is not None:
        resource["outlier_detection"] = _outlier(cluster.outlier)
    if cluster.connection.keepalive is not None:
        resource["upstream_connection_options"] = {"tcp_keepalive": _keepalive(cluster.connection.keepalive)}
    resource["typed_extension_protocol_options"] = {_HTTP_OPTIONS: _http(cluster)}
    return resource | istio_metadata("destination-rule", cluster.destination_rule, _service(cluster))


def assignment_resource(state: ClusterState) -> Resource:
    """The hosts of a cluster as they are now, host names resolved and health known."""
    return {
        "@type": f"{TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": state.name,
        "endpoints": _by_locality(
            state.hosts,
            lambda host: (host.locality, host.priority),
            lambda host: {
                "endpoint": {"address": address(host.address, host.port), **given(("hostname", host.hostname))},
                "health_status": "HEALTHY" if host.healthy else "UNHEALTHY",
                "load_balancing_weight": host.weight,
            },
        ),
    }


def _by_locality(
    hosts: Iterable[PlaceT], place: Callable[[PlaceT], tuple[str, int]], write: Callable[[PlaceT], Resource]
) -> list[Resource]:
    groups: dict[tuple[str, int], list[Resource]] = {}
    for host in hosts:
        groups.setdefault(place(host), []).append(write(host))
    return [
        {**given(("locality", locality(where)), ("priority", priority)), "lb_endpoints": members}
        for (where, priority), members in groups.items()
    ]


def _endpoint(endpoint: Endpoint) -> Resource:
    return {
        "endpoint": {"address": address(endpoint.address, endpoint.port)},
        "load_balancing_weight": endpoint.weight,
        **istio_metadata("", "", given(("workload", _workload(endpoint)))),
    }


def _workload(endpoint: Endpoint) -> str:
    """Istio's short form: workload;namespace;canonical name;canonical revision;cluster id."""
    if not endpoint.workload:
        return ""
    labels = endpoint.labels
    name = labels.get("service.istio.io/canonical-name") or labels.get("app") or endpoint.workload
    revision = labels.get("service.istio.io/canonical-revision") or labels.get("version") or "latest"
    return ";".join((endpoint.workload, endpoint.namespace, name, revision, endpoint.cluster_id))


def _balancing(policy: LoadBalancing) -> Resource:
    algorithm = Algorithm.RANDOM if policy.algorithm is Algorithm.PASSTHROUGH else policy.algorithm
    resource: Resource = {"lb_policy": algorithm.value}
    if algorithm is Algorithm.RING_HASH:
        resource["ring_hash_lb_config"] = {"minimum_ring_size": policy.ring_minimum_size}
    elif algorithm is Algorithm.MAGLEV:
        resource["maglev_lb_config"] = {"table_size": policy.maglev_table_size}
    elif policy.slow_start is not None:
        slow = policy.slow_start
        resource[f"{algorithm.value.lower()}_lb_config"] = {
            "slow_start_config": {
                "slow_start_window": duration(slow.window),
                "aggression": {"default_value": slow.aggression, "runtime_key": "pyproxy.slow_start.aggression"},
                "min_weight_percent": {"value": slow.minimum_percent},
            }
        }
    resource["common_lb_config"] = {"healthy_panic_threshold": given(("value", policy.panic_threshold))}
    return resource


def _thresholds(breakers: CircuitBreakers) -> Resource:
    resource: Resource = {
        "max_connections": breakers.max_connections,
        "max_pending_requests": breakers.max_pending_requests,
        "max_requests": breakers.max_requests,
        "max_retries": breakers.max_retries,
    }
    if breakers.retry_budget_percent is not None:
        resource["retry_budget"] = {
            "budget_percent": {"value": breakers.retry_budget_percent},
            "min_retry_concurrency": breakers.retry_budget_min_concurrency,
        }
    return resource


def _outlier(policy: OutlierPolicy) -> Resource:
    resource: Resource = {
        "consecutive_5xx": policy.consecutive_5xx,
        "enforcing_consecutive_5xx": policy.enforcing_5xx,
        "consecutive_gateway_failure": policy.consecutive_gateway,
        "enforcing_consecutive_gateway_failure": policy.enforcing_gateway,
        "interval": duration(policy.interval),
        "base_ejection_time": duration(policy.base_ejection_time),
        "max_ejection_time": duration(policy.max_ejection_time),
        "max_ejection_percent": policy.max_ejection_percent,
        "enforcing_success_rate": 0,
    }
    if policy.split_local_origin:
        resource["split_external_local_origin_errors"] = True
        resource["consecutive_local_origin_failure"] = policy.consecutive_local_origin
    return resource


def _keepalive(settings: TcpKeepalive) -> Resource:
    return given(
        ("keepalive_probes", settings.probes),
        ("keepalive_time", settings.time),
        ("keepalive_interval", settings.interval),
    )


def _http(cluster: Cluster) -> Resource:
    return {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "common_http_protocol_options": _common(cluster.connection),
        **_VERSIONS[cluster.http_version],
    }


def _common(connection: ConnectionSettings) -> Resource:
    return {
        "idle_timeout": duration(connection.idle_timeout),
        **given(("max_requests_per_connection", connection.max_requests_per_connection)),
        **(
            {"max_connection_duration": duration(connection.max_connection_duration)}
            if connection.max_connection_duration
            else {}
        ),
    }


def _service(cluster: Cluster) -> Resource:
    service = cluster.service
    services = service and [{"host": service.host, "name": service.name, "namespace": service.namespace}]
    return given(("default_original_port", cluster.port), ("services", services), ("subset", cluster.subset))
