"""DestinationRule and every message inside it, as Istio's networking/v1alpha3/destination_rule.proto has them."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import (
    AnyDuration,
    Duration,
    Flag,
    Int32,
    Many,
    Map,
    Message,
    Number,
    OneOfMessage,
    PortSelector,
    UInt32,
    UInt64,
)
from pyproxy.istio.selector import WorkloadSelector


class DestinationRule(Message):
    """How traffic to a host is treated once it has been routed there."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: Many[Subset] = ()
    export_to: Many[str] = ()
    workload_selector: WorkloadSelector | None = None


class PortTrafficPolicy(Message):
    """The traffic policy of one service port; it replaces the general one's blocks whole."""

    port: PortSelector | None = None
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None


class TunnelSettings(Message):
    """Carry TCP inside an HTTP CONNECT or POST to the destination."""

    protocol: str | None = None
    target_host: str
    target_port: UInt32


ProxyProtocolVersion = Literal["V1", "V2"]


class ProxyProtocol(Message):
    """Send a PROXY protocol header upstream."""

    version: ProxyProtocolVersion | None = None


class RetryBudget(Message):
    """Retries as a share of the active requests; `percent` 0-100."""

    percent: Number | None = None
    min_retry_concurrency: UInt32 | None = None
    budget_interval: AnyDuration | None = None


class TrafficPolicy(Message):
    """Balancing, connection pool, outlier detection and TLS towards a destination."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: Many[PortTrafficPolicy] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Message):
    """The endpoints of a host that carry some labels, under a name."""

    name: str
    labels: Map[str] = {}
    traffic_policy: TrafficPolicy | None = None


SimpleLB = Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"]


class RingHash(Message):
    """Consistent hashing on a ring."""

    minimum_ring_size: UInt64 | None = None


class MagLev(Message):
    """Consistent hashing with a Maglev table."""

    table_size: UInt64 | None = None


class Attribute(Message):
    """One further attribute of the cookie."""

    name: str
    value: str | None = None


class HTTPCookie(Message):
    """The cookie that is hashed; `ttl` 0 makes a session cookie, unset makes none."""

    name: str
    path: str | None = None
    ttl: AnyDuration | None = None
    attributes: Many[Attribute] = ()


class ConsistentHashLB(OneOfMessage):
    """What is hashed, and how the hash picks an endpoint."""

    ONE_OF = (
        ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name"),
        ("ring_hash", "maglev"),
    )

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: Flag | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: UInt64 | None = None


class LoadBalancerSettings(OneOfMessage):
    """How an endpoint is picked."""

    ONE_OF = (("simple", "consistent_hash", "backend_utilization"),)

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHashLB | None = None
    backend_utilization: BackendUtilizationLB | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None


class BackendUtilizationLB(Message):
    """Balancing by the load that endpoints report themselves (ORCA)."""

    metric_names_for_computing_utilization: Many[str] = ()
    error_utilization_penalty_percent: UInt32 | None = None
    weight_stabilization_period: AnyDuration | None = None
    weight_expiration_period: AnyDuration | None = None
    weight_update_period: AnyDuration | None = None


class WarmupConfiguration(Message):
    """How a new endpoint's share grows to its full size."""

    duration: Duration
    minimum_percent: Number | None = None
    aggression: Number | None = None


class TcpKeepalive(Message):
    """Keepalive probes of the operating system."""

    probes: UInt32 | None = None
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(Message):
    """Connection settings for HTTP and TCP alike."""

    max_connections: Int32 | None = None
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: AnyDuration | None = None


H2UpgradePolicy = Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]


class ConnectionKeepalive(Message):
    """HTTP/2 PING towards the destination."""

    interval: Duration | None = None
    timeout: Duration | None = None


class HTTPSettings(Message):
    """Limits on requests, and the HTTP version towards the destination."""

    http1_max_pending_requests: Int32 | None = None
    http2_max_requests: Int32 | None = None
    max_requests_per_connection: Int32 | None = None
    max_retries: Int32 | None = None
    idle_timeout: Duration | None = None
    h2_upgrade_policy: H2UpgradePolicy | None = None
    use_client_protocol: Flag | None = None
    max_concurrent_streams: Int32 | None = None
    http2_keep_alive: ConnectionKeepalive | None = None


class ConnectionPoolSettings(Message):
    """The volume of connections and requests that a destination may get."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None


class OutlierDetection(Message):
    """When an endpoint that fails is left out for a while."""

    consecutive_errors: Int32 | None = None
    split_external_local_origin_errors: Flag | None = None
    consecutive_local_origin_failures: UInt32 | None = None
    consecutive_gateway_errors: UInt32 | None = None
    consecutive_5xx_errors: UInt32 | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: Int32 | None = None
    min_health_percent: Int32 | None = None
    outlier_detection_http_error_codes: Many[UInt32] = ()


TLSmode = Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]


class ClientTLSSettings(Message):
    """TLS towards a destination; file fields are paths."""

    mode: TLSmode | None = None
    client_certificate: str | None = None
    private_key: str | None = None
    ca_certificates: str | None = None
    credential_name: str | None = None
    subject_alt_names: Many[str] = ()
    sni: str | None = None
    insecure_skip_verify: Flag | None = None
    ca_crl: str | None = None


class Distribute(Message):
    """Where traffic from one locality goes, in percent."""

    from_: str | None = None
    to: Map[UInt32] = {}


class LocalityLoadBalancerSetting(Message):
    """Balancing between regions, zones and subzones."""

    distribute: Many[Distribute] = ()
    failover: Many[Failover] = ()
    failover_priority: Many[str] = ()
    enabled: Flag | None = None


class Failover(Message):
    """The region that stands in for another."""

    from_: str | None = None
    to: str | None = None


class ZoneAwareLoadBalancerSetting(Message):
    """Balancing that keeps traffic in its zone in proportion to the endpoints there."""

    enabled: Flag | None = None
    failover: Many[Failover] = ()
    failover_priority: Many[str] = ()
    min_cluster_size: UInt64 | None = None
