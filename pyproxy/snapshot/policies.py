"""A DestinationRule's traffic policy → what holds for one port and subset, and its settings as the runtime takes them.

Source: Istio pilot/pkg/networking/core/cluster_traffic_policy.go, pilot/pkg/networking/util/util.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyproxy.istio.networking.destination_rule import (
    ClientTLSSettings,
    ConnectionPoolSettings,
    ConsistentHashLB,
    HTTPSettings,
    LoadBalancerSettings,
    OutlierDetection,
    PortTrafficPolicy,
    ProxyProtocol,
    RetryBudget,
    TCPSettings,
    TrafficPolicy,
)
from pyproxy.istio.networking.destination_rule import TcpKeepalive as KeepaliveRule
from pyproxy.policy.balancing import Algorithm, LoadBalancing, SlowStart
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import ConnectionSettings, HashKind, HashPolicy, TcpKeepalive
from pyproxy.snapshot.services import AUTO, HTTP2_PROTOCOLS, HTTP_PROTOCOLS

IDLE_TIMEOUT = 3600.0
"""Seconds that Envoy keeps an idle upstream connection when no policy says."""
_SIMPLE = {
    "ROUND_ROBIN": Algorithm.ROUND_ROBIN,
    "RANDOM": Algorithm.RANDOM,
    "PASSTHROUGH": Algorithm.PASSTHROUGH,
}
_NO_TCP, _NO_HTTP = TCPSettings.model_construct(), HTTPSettings.model_construct()
_NO_KEEPALIVE, _NO_BALANCER = KeepaliveRule.model_construct(), LoadBalancerSettings.model_construct()


# Which block holds


@dataclass(frozen=True, slots=True)
class EffectivePolicy:
    """The blocks in force for one port of a service, or of one of its subsets."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    retry_budget: RetryBudget | None = None
    tls: ClientTLSSettings | None = None
    proxy_protocol: ProxyProtocol | None = None


def effective_policy(policy: TrafficPolicy | None, port: int, mesh: MeshSettings) -> EffectivePolicy:
    """Of a service's port: a port-level entry replaces all blocks, the mesh's default fills what is then missing."""
    found = EffectivePolicy()
    if policy is not None:
        entry = _port_level(policy, port)
        found = _blocks(policy) if entry is None else _port_blocks(entry)
    default = mesh.config.default_traffic_policy
    if default is None:
        return found
    return replace(
        found,
        connection_pool=found.connection_pool or default.connection_pool,
        outlier_detection=found.outlier_detection or default.outlier_detection,
    )


def subset_policy(base: EffectivePolicy, policy: TrafficPolicy | None, port: int) -> EffectivePolicy:
    """Of a subset: block by block before the service's; the subset's own port-level entry replaces the four it has."""
    if policy is None:
        return base
    entry = _port_level(policy, port)
    if entry is not None:
        return replace(
            _port_blocks(entry),
            retry_budget=base.retry_budget,
            proxy_protocol=policy.proxy_protocol or base.proxy_protocol,
        )
    return EffectivePolicy(
        load_balancer=policy.load_balancer or base.load_balancer,
        connection_pool=policy.connection_pool or base.connection_pool,
        outlier_detection=policy.outlier_detection or base.outlier_detection,
        retry_budget=policy.retry_budget or base.retry_budget,
        tls=policy.tls or base.tls,
        proxy_protocol=policy.proxy_protocol or base.proxy_protocol,
    )


def _port_level(policy: TrafficPolicy, port: int) -> PortTrafficPolicy | None:
    for entry in policy.port_level_settings:
        if entry.port is not None and entry.port.number == port:
            return entry
    return None


def _blocks(policy: TrafficPolicy) -> EffectivePolicy:
    return EffectivePolicy(
        policy.load_balancer,
        policy.connection_pool,
        policy.outlier_detection,
        policy.retry_budget,
        policy.tls,
        policy.proxy_protocol,
    )


def _port_blocks(entry: PortTrafficPolicy) -> EffectivePolicy:
    return EffectivePolicy(entry.load_balancer, entry.connection_pool, entry.outlier_detection, tls=entry.tls)


# What a block says


def connection_settings(pool: ConnectionPoolSettings | None, mesh: MeshSettings) -> ConnectionSettings:
    """Times and limits of single connections. http.idleTimeout beats tcp.idleTimeout; 0 as an integer means unset."""
    tcp = (pool and pool.tcp) or _NO_TCP
    http = (pool and pool.http) or _NO_HTTP
    idle = http.idle_timeout if http.idle_timeout is not None else tcp.idle_timeout
    pings = http.http2_keep_alive
    return ConnectionSettings(
        connect_timeout=tcp.connect_timeout or mesh.connect_timeout,
        idle_timeout=IDLE_TIMEOUT if idle is None else idle,
        max_connection_duration=tcp.max_connection_duration or 0.0,
        max_requests_per_connection=http.max_requests_per_connection or 0,
        max_concurrent_streams=http.max_concurrent_streams or 0,
        ping_interval=pings.interval if pings is not None and pings.interval and pings.timeout else 0.0,
        ping_timeout=pings.timeout if pings is not None and pings.timeout else 0.0,
        keepalive=_keepalive(mesh.config.tcp_keepalive, tcp.tcp_keepalive),
    )


def introduced(connection: ConnectionSettings, protocol: ProxyProtocol | None) -> ConnectionSettings:
    """With the header of the PROXY protocol, if there is to be one."""
    return connection if protocol is None else replace(connection, proxy_protocol=protocol.version or "V1")


def for_version(connection: ConnectionSettings, version: str) -> ConnectionSettings:
    """As `http_version` has it: maxConcurrentStreams and http2KeepAlive are for clusters that always speak HTTP/2."""
    if version == "2" or not (connection.max_concurrent_streams or connection.ping_interval):
        return connection
    return replace(connection, max_concurrent_streams=0, ping_interval=0.0, ping_timeout=0.0)


def _keepalive(mesh: KeepaliveRule | None, rule: KeepaliveRule | None) -> TcpKeepalive | None:
    """The mesh's with each value that the rule gives; an empty block turns keepalive on as the system has it."""
    if mesh is None and rule is None:
        return None
    first, second = rule or _NO_KEEPALIVE, mesh or _NO_KEEPALIVE
    time, interval = first.time or second.time, first.interval or second.interval
    return TcpKeepalive(
        probes=first.probes or second.probes or None,
        time=int(time) if time else None,
        interval=int(interval) if interval else None,
    )


def circuit_breakers(pool: ConnectionPoolSettings | None, budget: RetryBudget | None) -> CircuitBreakers:
    """Ceilings; whatever is unset or 0 is unlimited."""
    tcp = (pool and pool.tcp) or _NO_TCP
    http = (pool and pool.http) or _NO_HTTP
    given = {
        "max_connections": tcp.max_connections,
        "max_pending_requests": http.http1_max_pending_requests,
        "max_requests": http.http2_max_requests,
        "max_retries": http.max_retries,
    }
    found = CircuitBreakers(**{name: value for name, value in given.items() if value})
    if budget is None:
        return found
    return replace(
        found,
        retry_budget_percent=20.0 if budget.percent is None else budget.percent,
        retry_budget_min_concurrency=budget.min_retry_concurrency or 3,
    )


def outlier_policy(block: OutlierDetection | None) -> OutlierPolicy | None:
    """A threshold that is given is enforced, one that is 0 is not. `consecutiveErrors` does nothing."""
    if block is None:
        return None
    base = block.base_ejection_time or 30.0
    five, gateway = block.consecutive_5xx_errors, block.consecutive_gateway_errors
    split = bool(block.split_external_local_origin_errors)
    codes = frozenset(block.outlier_detection_http_error_codes)
    return OutlierPolicy(
        consecutive_5xx=5 if five is None else five,
        enforcing_5xx=0 if five == 0 else 100,
        consecutive_gateway=5 if gateway is None else gateway,
        enforcing_gateway=100 if gateway else 0,
        consecutive_local_origin=(split and block.consecutive_local_origin_failures) or 5,
        split_local_origin=split,
        interval=block.interval or 10.0,
        base_ejection_time=base,
        max_ejection_time=max(300.0, base),
        max_ejection_percent=block.max_ejection_percent or 10,
        error_codes=codes or None,
    )


def load_balancing(policy: EffectivePolicy) -> LoadBalancing:
    """The balancer, without localities. Panic threshold: Envoy's 50; with outlierDetection minHealthPercent, else 0."""
    block = policy.load_balancer or _NO_BALANCER
    outlier = policy.outlier_detection
    panic = 50.0 if outlier is None else float(outlier.min_health_percent or 0)
    if block.consistent_hash is not None:
        return _hashing(block.consistent_hash, panic)
    algorithm = _SIMPLE.get(block.simple or "", Algorithm.LEAST_REQUEST)
    warm = algorithm in (Algorithm.ROUND_ROBIN, Algorithm.LEAST_REQUEST)
    return LoadBalancing(algorithm=algorithm, slow_start=_slow_start(block) if warm else None, panic_threshold=panic)


def _hashing(block: ConsistentHashLB, panic: float) -> LoadBalancing:
    if block.maglev is not None:
        size = block.maglev.table_size or 65537
        return LoadBalancing(algorithm=Algorithm.MAGLEV, maglev_table_size=size, panic_threshold=panic)
    size = (block.ring_hash.minimum_ring_size if block.ring_hash is not None else block.minimum_ring_size) or 1024
    return LoadBalancing(algorithm=Algorithm.RING_HASH, ring_minimum_size=size, panic_threshold=panic)


def _slow_start(block: LoadBalancerSettings) -> SlowStart | None:
    warmup = block.warmup
    if warmup is None:
        return SlowStart(block.warmup_duration_secs) if block.warmup_duration_secs else None
    return SlowStart(
        window=warmup.duration,
        minimum_percent=10.0 if warmup.minimum_percent is None else warmup.minimum_percent,
        aggression=1.0 if warmup.aggression is None else warmup.aggression,
    )


def http_version(pool: ConnectionPoolSettings | None, protocol: str, mesh: MeshSettings, *, sidecar: bool) -> str:
    """`1`, `2` or `downstream`, as Cluster.http_version has it. A rule that upgrades means what it says on any port."""
    http = (pool and pool.http) or _NO_HTTP
    if http.use_client_protocol:
        return "downstream"
    if protocol in HTTP2_PROTOCOLS or http.h2_upgrade_policy == "UPGRADE":
        return "2"
    if protocol == AUTO and sidecar:
        return "downstream"
    if http.h2_upgrade_policy == "DO_NOT_UPGRADE":
        return "1"
    return "2" if mesh.config.h2_upgrade_policy == "UPGRADE" and protocol in HTTP_PROTOCOLS else "1"


def hash_policy(block: ConsistentHashLB) -> HashPolicy | None:
    """What is hashed; None when the block names nothing, and then hosts are picked at random."""
    if block.http_header_name is not None:
        return HashPolicy(HashKind.HEADER, block.http_header_name.lower().encode())
    if block.http_cookie is not None:
        cookie = block.http_cookie
        return HashPolicy(
            HashKind.COOKIE,
            cookie.name.encode(),
            cookie_path=cookie.path or "",
            cookie_ttl=cookie.ttl,
            cookie_attributes=tuple((each.name, each.value or "") for each in cookie.attributes),
        )
    if block.http_query_parameter_name is not None:
        return HashPolicy(HashKind.QUERY, block.http_query_parameter_name.encode())
    return HashPolicy(HashKind.SOURCE_IP) if block.use_source_ip else None
