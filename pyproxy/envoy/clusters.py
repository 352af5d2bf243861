"""Clusters as Envoy's config.cluster.v3.Cluster.

Source: Envoy api/envoy/config/cluster/v3/cluster.proto, Istio pilot/pkg/networking/core/cluster_builder.go.
"""

from __future__ import annotations

from dataclasses import replace

from pyproxy.envoy.endpoints import configured_assignment
from pyproxy.envoy.filters import DNS_CACHE
from pyproxy.envoy.protection import outlier_detection, outlier_matcher, thresholds
from pyproxy.envoy.tls import Certificates, can_connect, cluster_socket, names_by_request
from pyproxy.envoy.values import TYPE, Resource, duration, given, istio_metadata
from pyproxy.policy.balancing import Algorithm, LoadBalancing
from pyproxy.snapshot.clusters import discovery_of
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Discovery, Snapshot, TcpKeepalive

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_VERSIONS: dict[str, Resource] = {
    "1": {"explicit_http_config": {"http_protocol_options": {}}},
    "2": {"explicit_http_config": {"http2_protocol_options": {}}},
    "downstream": {"use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}},
}
_DYNAMIC_FORWARD_PROXY: Resource = {
    "name": "envoy.clusters.dynamic_forward_proxy",
    "typed_config": {
        "@type": f"{TYPE}.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
        "dns_cache_config": DNS_CACHE,
        "allow_insecure_cluster_options": True,  # plain text: there is no certificate to hold a name against
    },
}
_BY_NAME = ";by-name"
NO_CERTIFICATE = Certificates()


def cluster_resource(cluster: Cluster, certificates: Certificates = NO_CERTIFICATE) -> Resource:
    """One cluster as it is configured. Where TLS has not what it needs, nothing can be reached: it has no hosts."""
    resource: Resource = {"name": cluster.name}
    reachable = can_connect(cluster, certificates)
    if cluster.discovery is Discovery.ORIGINAL_DST and not reachable:
        resource |= {"type": "STATIC"}
    elif cluster.discovery is Discovery.ORIGINAL_DST:
        resource |= {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}
        if cluster.original_port:
            resource["original_dst_lb_config"] = {"upstream_port_override": cluster.original_port}
    else:
        kind = cluster.discovery.value if reachable else "STATIC"
        resource |= {"type": kind, "load_assignment": configured_assignment(cluster, reachable=reachable)}
        resource |= _balancing(cluster.load_balancing)
    if cluster.discovery in (Discovery.STRICT_DNS, Discovery.LOGICAL_DNS) and reachable:
        resource["respect_dns_ttl"] = True
        resource["dns_refresh_rate"] = duration(cluster.dns_refresh)
        resource["dns_lookup_family"] = "V4_PREFERRED"
    return resource | _common(cluster, certificates)


def by_name(snapshot: Snapshot, cluster: str) -> str:
    """The cluster that a client reaches who was not redirected, and so has no original destination."""
    found = snapshot.clusters.get(cluster)
    return cluster if found is None or found.discovery is not Discovery.ORIGINAL_DST else cluster + _BY_NAME


def by_name_resource(cluster: Cluster, certificates: Certificates = NO_CERTIFICATE) -> Resource:
    """The twin of an original destination cluster under `by_name`: its endpoints if it has any, else what DNS says.

    Statistics and logs call the two alike.
    """
    if cluster.endpoints:
        listed = replace(
            cluster,
            discovery=discovery_of(cluster.endpoints),
            load_balancing=LoadBalancing(Algorithm.RANDOM, panic_threshold=cluster.load_balancing.panic_threshold),
        )
        return cluster_resource(listed, certificates) | {"name": cluster.name + _BY_NAME}
    if not can_connect(cluster, certificates):
        return cluster_resource(cluster, certificates) | {"name": cluster.name + _BY_NAME}
    return {
        "name": cluster.name + _BY_NAME,
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": _DYNAMIC_FORWARD_PROXY,
        **_common(cluster, certificates),
    }


def _common(cluster: Cluster, certificates: Certificates) -> Resource:
    """What holds however the hosts are found. The `;` ends the name in statistics, as Istio has it."""
    resource: Resource = {
        "alt_stat_name": f"{cluster.name};",
        "connect_timeout": duration(cluster.connection.connect_timeout),
        "circuit_breakers": {"thresholds": [thresholds(cluster.breakers)]},
    }
    if cluster.outlier is not None:
        resource["outlier_detection"] = outlier_detection(cluster.outlier)
    if cluster.connection.keepalive is not None:
        resource["upstream_connection_options"] = {"tcp_keepalive": _keepalive(cluster.connection.keepalive)}
    resource |= cluster_socket(cluster, certificates)
    resource["typed_extension_protocol_options"] = {_HTTP_OPTIONS: _http(cluster)}
    return resource | istio_metadata("destination-rule", cluster.destination_rule, _service(cluster))


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
    common: Resource = {"healthy_panic_threshold": given(("value", policy.panic_threshold))}
    if policy.locality_weights is not None:
        common["locality_weighted_lb_config"] = {}
    return resource | {"common_lb_config": common}


def _keepalive(settings: TcpKeepalive) -> Resource:
    return given(
        ("keepalive_probes", settings.probes),
        ("keepalive_time", settings.time),
        ("keepalive_interval", settings.interval),
    )


def _http(cluster: Cluster) -> Resource:
    return {
        "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
        "common_http_protocol_options": _connection(cluster.connection),
        **_VERSIONS[cluster.http_version],
        **outlier_matcher(cluster.outlier),
        **names_by_request(cluster.tls),
    }


def _connection(connection: ConnectionSettings) -> Resource:
    resource: Resource = {
        "idle_timeout": duration(connection.idle_timeout),
        **given(("max_requests_per_connection", connection.max_requests_per_connection)),
    }
    if connection.max_connection_duration:
        resource["max_connection_duration"] = duration(connection.max_connection_duration)
    return resource


def _service(cluster: Cluster) -> Resource:
    service = cluster.service
    services = service and [{"host": service.host, "name": service.name, "namespace": service.namespace}]
    return given(("default_original_port", cluster.port), ("services", services), ("subset", cluster.subset))
