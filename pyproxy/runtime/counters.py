"""Envoy's statistics as plain objects: adding to one is adding to an attribute. telemetry/stats.py names them.

An attribute has the statistic's own name, with `_` where Envoy has a dot (`circuit_breakers_default_rq_open`). What is
counted by status has a dict or a list, and the sums over it (`..._rq_2xx`, `..._rq_completed`) are made when shown.
A gauge that is None is not kept, and not shown. Times are not kept as histograms: a record costs a request 300 ns, and
Istio's own telemetry has them.
Source: Envoy cluster_stats.rst, http_conn_man/stats.rst, listeners/stats.rst; the names are those of Envoy 1.40.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from pyproxy.wire.http2_stats import ClusterHttp2Stats, Http2Stats

Counter: TypeAlias = int
"""Only rises; a reset puts it to 0."""
Gauge: TypeAlias = int
"""Rises and falls; a reset leaves it. Every one is in GAUGES too, as annotations do not survive compilation."""


@dataclass(slots=True, eq=False)
class ClusterStats:
    """`cluster.<name>.`"""

    upstream_cx_total: Counter = 0
    upstream_cx_active: Gauge = 0
    upstream_cx_http1_total: Counter = 0
    upstream_cx_http2_total: Counter = 0
    upstream_cx_connect_fail: Counter = 0
    upstream_cx_connect_timeout: Counter = 0
    upstream_cx_connect_attempts_exceeded: Counter = 0
    upstream_cx_overflow: Counter = 0
    upstream_cx_pool_overflow: Counter = 0
    upstream_cx_idle_timeout: Counter = 0
    upstream_cx_max_requests: Counter = 0
    upstream_cx_max_duration_reached: Counter = 0
    upstream_cx_none_healthy: Counter = 0
    upstream_cx_protocol_error: Counter = 0
    upstream_cx_close_notify: Counter = 0
    upstream_cx_destroy: Counter = 0
    upstream_cx_destroy_local: Counter = 0
    upstream_cx_destroy_remote: Counter = 0
    upstream_cx_destroy_with_active_rq: Counter = 0
    upstream_cx_destroy_local_with_active_rq: Counter = 0
    upstream_cx_destroy_remote_with_active_rq: Counter = 0
    upstream_cx_rx_bytes_total: Counter = 0
    upstream_cx_rx_bytes_buffered: Gauge = 0
    upstream_cx_tx_bytes_total: Counter = 0
    upstream_cx_tx_bytes_buffered: Gauge = 0
    upstream_flow_control_paused_reading_total: Counter = 0
    upstream_flow_control_resumed_reading_total: Counter = 0
    upstream_flow_control_backed_up_total: Counter = 0
    upstream_flow_control_drained_total: Counter = 0

    upstream_rq_total: Counter = 0
    """Attempts that got a connection."""
    upstream_rq_active: Gauge = 0
    upstream_rq_active_overflow: Counter = 0
    upstream_rq_pending_total: Counter = 0
    """Attempts that had to wait for a connection."""
    upstream_rq_pending_active: Gauge = 0
    upstream_rq_pending_overflow: Counter = 0
    upstream_rq_pending_failure_eject: Counter = 0
    upstream_rq_cancelled: Counter = 0
    upstream_rq_maintenance_mode: Counter = 0
    upstream_rq_timeout: Counter = 0
    upstream_rq_max_duration_reached: Counter = 0
    upstream_rq_per_try_timeout: Counter = 0
    upstream_rq_per_try_idle_timeout: Counter = 0
    upstream_rq_rx_reset: Counter = 0
    upstream_rq_tx_reset: Counter = 0
    upstream_rq_retry: Counter = 0
    """Retries begun: one that a timeout or the client's end forestalls is none."""
    upstream_rq_retry_success: Counter = 0
    upstream_rq_retry_overflow: Counter = 0
    upstream_rq_retry_limit_exceeded: Counter = 0
    upstream_rq_retry_backoff_exponential: Counter = 0
    upstream_rq_retry_backoff_ratelimited: Counter = 0
    retry_or_shadow_abandoned: Counter = 0
    upstream_internal_redirect_failed_total: Counter = 0
    upstream_internal_redirect_succeeded_total: Counter = 0

    ssl_handshake: Counter = 0
    ssl_session_reused: Counter = 0
    ssl_connection_error: Counter = 0
    ssl_fail_verify_error: Counter = 0
    """Another root, expired, revoked."""
    ssl_fail_verify_san: Counter = 0
    """Somebody else."""

    bind_errors: Counter = 0
    membership_change: Counter = 0
    membership_total: Gauge = 0
    membership_healthy: Gauge = 0
    membership_degraded: Gauge = 0
    membership_excluded: Gauge = 0
    update_attempt: Counter = 0
    update_success: Counter = 0
    update_failure: Counter = 0
    update_empty: Counter = 0
    update_no_rebuild: Counter = 0
    lb_healthy_panic: Counter = 0
    lb_recalculate_zone_structures: Counter = 0
    original_dst_host_invalid: Counter = 0

    circuit_breakers_default_cx_open: Gauge = 0
    circuit_breakers_default_cx_pool_open: Gauge = 0
    circuit_breakers_default_rq_open: Gauge = 0
    circuit_breakers_default_rq_pending_open: Gauge = 0
    circuit_breakers_default_rq_retry_open: Gauge = 0
    circuit_breakers_default_remaining_cx: Gauge | None = None
    circuit_breakers_default_remaining_pending: Gauge | None = None
    circuit_breakers_default_remaining_retries: Gauge | None = None
    circuit_breakers_default_remaining_rq: Gauge | None = None
    circuit_breakers_high_cx_open: Gauge = 0
    circuit_breakers_high_cx_pool_open: Gauge = 0
    circuit_breakers_high_rq_open: Gauge = 0
    circuit_breakers_high_rq_pending_open: Gauge = 0
    circuit_breakers_high_rq_retry_open: Gauge = 0

    outlier_detection_ejections_active: Gauge = 0
    outlier_detection_ejections_total: Counter = 0
    outlier_detection_ejections_overflow: Counter = 0
    outlier_detection_ejections_enforced_total: Counter = 0
    outlier_detection_ejections_consecutive_5xx: Counter = 0
    outlier_detection_ejections_detected_consecutive_5xx: Counter = 0
    outlier_detection_ejections_enforced_consecutive_5xx: Counter = 0
    outlier_detection_ejections_detected_consecutive_gateway_failure: Counter = 0
    outlier_detection_ejections_enforced_consecutive_gateway_failure: Counter = 0
    outlier_detection_ejections_detected_consecutive_local_origin_failure: Counter = 0
    outlier_detection_ejections_enforced_consecutive_local_origin_failure: Counter = 0

    codes: dict[int, int] = field(default_factory=dict)
    """`upstream_rq_<code>`: the final response of each request, our own 503 and 504 included."""
    retry_codes: dict[int, int] = field(default_factory=dict)
    """`retry.upstream_rq_<code>`: responses that were tried again."""

    def count_response(self, status: int) -> None:
        """A request's final status."""
        self.codes[status] = self.codes.get(status, 0) + 1

    def count_closed(self, *, here: bool, cut: bool) -> None:
        """A connection upstream ended: by us (`here`) or by the upstream, `cut` with a request under way."""
        self.upstream_cx_destroy += 1
        self.upstream_cx_destroy_local += here
        self.upstream_cx_destroy_remote += not here
        if cut:
            self.upstream_cx_destroy_with_active_rq += 1
            self.upstream_cx_destroy_local_with_active_rq += here
            self.upstream_cx_destroy_remote_with_active_rq += not here

    def count_retried_response(self, status: int) -> None:
        """A status that was not passed on, because the request is tried again."""
        self.retry_codes[status] = self.retry_codes.get(status, 0) + 1


@dataclass(slots=True, eq=False)
class HostStats:
    """One endpoint of a cluster, as /clusters lists it."""

    cx_total: Counter = 0
    cx_active: Gauge = 0
    cx_connect_fail: Counter = 0
    rq_total: Counter = 0
    rq_active: Gauge = 0
    rq_pending_active: Gauge = 0
    rq_success: Counter = 0
    rq_error: Counter = 0
    rq_timeout: Counter = 0


@dataclass(slots=True, eq=False)
class HttpStats:
    """`http.<prefix>.`: one HTTP connection manager, its router's and its filters' statistics with it."""

    downstream_cx_total: Counter = 0
    downstream_cx_active: Gauge = 0
    downstream_cx_http1_total: Counter = 0
    downstream_cx_http1_active: Gauge = 0
    downstream_cx_http2_total: Counter = 0
    downstream_cx_http2_active: Gauge = 0
    downstream_cx_ssl_total: Counter = 0
    downstream_cx_ssl_active: Gauge = 0
    downstream_cx_upgrades_total: Counter = 0
    downstream_cx_upgrades_active: Gauge = 0
    downstream_cx_destroy: Counter = 0
    downstream_cx_destroy_local: Counter = 0
    downstream_cx_destroy_remote: Counter = 0
    downstream_cx_destroy_active_rq: Counter = 0
    downstream_cx_destroy_local_active_rq: Counter = 0
    downstream_cx_destroy_remote_active_rq: Counter = 0
    downstream_cx_drain_close: Counter = 0
    downstream_cx_idle_timeout: Counter = 0
    downstream_cx_max_duration_reached: Counter = 0
    downstream_cx_max_requests_reached: Counter = 0
    downstream_cx_delayed_close_timeout: Counter = 0
    downstream_cx_overload_disable_keepalive: Counter = 0
    downstream_cx_protocol_error: Counter = 0
    downstream_cx_rx_bytes_total: Counter = 0
    downstream_cx_rx_bytes_buffered: Gauge = 0
    downstream_cx_tx_bytes_total: Counter = 0
    downstream_cx_tx_bytes_buffered: Gauge = 0
    downstream_flow_control_paused_reading_total: Counter = 0
    downstream_flow_control_resumed_reading_total: Counter = 0

    downstream_rq_total: Counter = 0
    downstream_rq_active: Gauge = 0
    downstream_rq_http1_total: Counter = 0
    downstream_rq_http2_total: Counter = 0
    downstream_rq_rx_reset: Counter = 0
    downstream_rq_tx_reset: Counter = 0
    downstream_rq_timeout: Counter = 0
    downstream_rq_idle_timeout: Counter = 0
    downstream_rq_header_timeout: Counter = 0
    downstream_rq_max_duration_reached: Counter = 0
    downstream_rq_overload_close: Counter = 0
    downstream_rq_response_before_rq_complete: Counter = 0
    downstream_rq_too_large: Counter = 0
    downstream_rq_non_relative_path: Counter = 0
    downstream_rq_failed_path_normalization: Counter = 0
    downstream_rq_redirected_with_normalized_path: Counter = 0
    downstream_rq_rejected_via_ip_detection: Counter = 0
    downstream_rq_ws_on_non_ws_route: Counter = 0

    no_route: Counter = 0
    no_cluster: Counter = 0
    rq_total: Counter = 0
    """Requests that the router forwarded."""
    rq_direct_response: Counter = 0
    rq_redirect: Counter = 0
    rq_reset_after_downstream_response_started: Counter = 0
    fault_delays_injected: Counter = 0
    fault_aborts_injected: Counter = 0
    fault_faults_overflow: Counter = 0
    fault_active_faults: Gauge = 0
    cors_origin_valid: Counter = 0
    cors_origin_invalid: Counter = 0
    tracing_random_sampling: Counter = 0
    tracing_service_forced: Counter = 0
    tracing_client_enabled: Counter = 0
    tracing_not_traceable: Counter = 0
    tracing_health_check: Counter = 0

    ext_authz_ok: Counter = 0
    ext_authz_denied: Counter = 0
    ext_authz_error: Counter = 0
    ext_authz_failure_mode_allowed: Counter = 0
    ext_authz_disabled: Counter = 0
    """Requests that no rule puts before the external authorizer."""
    rbac_allowed: Counter = 0
    """Filters that let a request pass: a request may pass several."""
    rbac_denied: Counter = 0
    rbac_istio_dry_run_allow_shadow_allowed: Counter = 0
    rbac_istio_dry_run_allow_shadow_denied: Counter = 0
    rbac_istio_dry_run_deny_shadow_allowed: Counter = 0
    rbac_istio_dry_run_deny_shadow_denied: Counter = 0
    rbac_istio_ext_authz_shadow_allowed: Counter = 0
    rbac_istio_ext_authz_shadow_denied: Counter = 0
    """Requests that an external authorizer was asked about."""

    jwt_authn_allowed: Counter = 0
    jwt_authn_cors_preflight_bypassed: Counter = 0
    jwt_authn_denied: Counter = 0

    classes: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0, 0])
    """`downstream_rq_Nxx` by N, 0 to 5."""

    def count_response(self, status: int) -> None:
        """What a request was answered with."""
        self.classes[status // 100 if 100 <= status < 600 else 0] += 1


@dataclass(slots=True, eq=False)
class TcpStats:
    """`tcp.`: what Istio's network filters count, of all listeners together."""

    rbac_allowed: Counter = 0
    rbac_denied: Counter = 0
    rbac_istio_dry_run_allow_shadow_allowed: Counter = 0
    rbac_istio_dry_run_allow_shadow_denied: Counter = 0
    rbac_istio_dry_run_deny_shadow_allowed: Counter = 0
    rbac_istio_dry_run_deny_shadow_denied: Counter = 0


@dataclass(slots=True, eq=False)
class TcpProxyStats:
    """`tcp.<prefix>.`: one TCP proxy. Bytes are counted every few seconds and at the end of a connection."""

    downstream_cx_total: Counter = 0
    downstream_cx_no_route: Counter = 0
    """Connections whose cluster does not exist."""
    downstream_cx_rx_bytes_total: Counter = 0
    downstream_cx_rx_bytes_buffered: Gauge = 0
    downstream_cx_tx_bytes_total: Counter = 0
    downstream_cx_tx_bytes_buffered: Gauge = 0
    downstream_flow_control_paused_reading_total: Counter = 0
    downstream_flow_control_resumed_reading_total: Counter = 0
    idle_timeout: Counter = 0
    max_downstream_connection_duration: Counter = 0


@dataclass(slots=True, eq=False)
class ListenerStats:
    """`listener.<address_port>.`"""

    downstream_cx_total: Counter = 0
    downstream_cx_active: Gauge = 0
    downstream_cx_destroy: Counter = 0
    downstream_cx_overflow: Counter = 0
    downstream_pre_cx_active: Gauge = 0
    downstream_pre_cx_timeout: Counter = 0
    downstream_cx_transport_socket_connect_timeout: Counter = 0
    no_filter_chain_match: Counter = 0

    ssl_handshake: Counter = 0
    ssl_session_reused: Counter = 0
    ssl_connection_error: Counter = 0
    ssl_no_certificate: Counter = 0
    """Handshakes in which the client showed none."""
    ssl_fail_verify_no_cert: Counter = 0
    """Clients that had to show one, and did not."""
    ssl_fail_verify_error: Counter = 0
    """Another root, or expired."""
    ssl_fail_verify_san: Counter = 0
    """Another trust domain, or a name that is not expected."""


@dataclass(slots=True, eq=False)
class ClusterManagerStats:
    """`cluster_manager.`"""

    active_clusters: Gauge = 0
    warming_clusters: Gauge = 0
    cluster_added: Counter = 0
    cluster_modified: Counter = 0
    cluster_removed: Counter = 0


@dataclass(slots=True, eq=False)
class ListenerManagerStats:
    """`listener_manager.`"""

    total_listeners_active: Gauge = 0
    total_listeners_draining: Gauge = 0
    total_listeners_warming: Gauge = 0
    total_filter_chains_draining: Gauge = 0
    listener_added: Counter = 0
    listener_modified: Counter = 0
    listener_removed: Counter = 0
    listener_create_failure: Counter = 0
    listener_create_success: Counter = 0


@dataclass(slots=True, eq=False)
class ServerStats:
    """`server.`: filled in when somebody asks."""

    live: Gauge = 1
    state: Gauge = 0
    """0 live, 1 draining, 2 pre-initializing, 3 initializing."""
    uptime: Gauge = 0
    """Seconds."""
    concurrency: Gauge = 1
    """Workers."""
    total_connections: Gauge = 0
    memory_allocated: Gauge = 0
    days_until_first_cert_expiring: Gauge | None = None


@dataclass(slots=True, eq=False)
class ZipkinStats:
    """`tracing.zipkin.`"""

    spans_sent: Counter = 0
    spans_dropped: Counter = 0
    """Ours: those that no collector got."""
    timer_flushed: Counter = 0
    reports_sent: Counter = 0
    reports_failed: Counter = 0
    """Without an answer."""
    reports_dropped: Counter = 0
    """With one that says no."""
    reports_skipped_no_cluster: Counter = 0


@dataclass(slots=True, eq=False)
class OpenTelemetryStats:
    """`tracing.opentelemetry.`; of the reports Envoy counts none."""

    spans_sent: Counter = 0
    spans_dropped: Counter = 0
    timer_flushed: Counter = 0
    reports_sent: Counter = 0
    reports_failed: Counter = 0
    reports_dropped: Counter = 0
    reports_skipped_no_cluster: Counter = 0


TracerStats: TypeAlias = ZipkinStats | OpenTelemetryStats
StatGroup: TypeAlias = (
    ClusterStats
    | ClusterHttp2Stats
    | Http2Stats
    | HttpStats
    | TcpProxyStats
    | TcpStats
    | ZipkinStats
    | OpenTelemetryStats
    | ListenerStats
    | ClusterManagerStats
    | ListenerManagerStats
    | ServerStats
)
"""What /stats lists; a host's statistics are on /clusters."""

GAUGES = frozenset(
    [
        "active_clusters",
        "circuit_breakers_default_cx_open",
        "circuit_breakers_default_cx_pool_open",
        "circuit_breakers_default_remaining_cx",
        "circuit_breakers_default_remaining_pending",
        "circuit_breakers_default_remaining_retries",
        "circuit_breakers_default_remaining_rq",
        "circuit_breakers_default_rq_open",
        "circuit_breakers_default_rq_pending_open",
        "circuit_breakers_default_rq_retry_open",
        "circuit_breakers_high_cx_open",
        "circuit_breakers_high_cx_pool_open",
        "circuit_breakers_high_rq_open",
        "circuit_breakers_high_rq_pending_open",
        "circuit_breakers_high_rq_retry_open",
        "concurrency",
        "cx_active",
        "days_until_first_cert_expiring",
        "downstream_cx_active",
        "downstream_cx_http1_active",
        "downstream_cx_http2_active",
        "downstream_cx_rx_bytes_buffered",
        "downstream_cx_ssl_active",
        "downstream_cx_tx_bytes_buffered",
        "downstream_cx_upgrades_active",
        "downstream_pre_cx_active",
        "downstream_rq_active",
        "fault_active_faults",
        "live",
        "membership_degraded",
        "membership_excluded",
        "membership_healthy",
        "membership_total",
        "memory_allocated",
        "outlier_detection_ejections_active",
        "rq_active",
        "rq_pending_active",
        "state",
        "total_connections",
        "total_filter_chains_draining",
        "total_listeners_active",
        "total_listeners_draining",
        "total_listeners_warming",
        "upstream_cx_active",
        "upstream_cx_rx_bytes_buffered",
        "upstream_cx_tx_bytes_buffered",
        "upstream_rq_active",
        "upstream_rq_pending_active",
        "uptime",
        "warming_clusters",
    ]
)
"""Attributes that are gauges, of every type above."""
