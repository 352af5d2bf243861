"""ProxyConfig as MeshConfig holds it, with tracing, topology and headers (mesh/v1alpha1/proxy.proto)."""

from __future__ import annotations

import typing

from pyproxy.istio.fields import (
    AnyDuration,
    Flag,
    Int32,
    Int64,
    Many,
    Map,
    Message,
    Number,
    OneOfMessage,
    ScalarText,
    UInt32,
)
from pyproxy.istio.networking.destination_rule import ClientTLSSettings, TcpKeepalive
from pyproxy.istio.networking.proxy_config import ProxyImage
from pyproxy.istio.networking.workload_entry import ReadinessProbe

AuthenticationPolicy = typing.Literal["NONE", "MUTUAL_TLS", "INHERIT"]

ForwardClientCertDetails = typing.Literal[
    "UNDEFINED", "SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"
]


class Zipkin(Message):
    """Spans to Zipkin."""

    address: str | None = None


class Lightstep(Message):
    """Spans to Lightstep."""

    address: str | None = None
    access_token: str | None = None


class Datadog(Message):
    """Spans to Datadog."""

    address: str | None = None


class Stackdriver(Message):
    """Spans to Stackdriver."""

    debug: Flag | None = None
    max_number_of_attributes: Int64 | None = None
    max_number_of_annotations: Int64 | None = None
    max_number_of_message_events: Int64 | None = None


TraceContext = typing.Literal["UNSPECIFIED", "W3C_TRACE_CONTEXT", "GRPC_BIN", "CLOUD_TRACE_CONTEXT", "B3"]


class OpenCensusAgent(Message):
    """Spans to an OpenCensus agent."""

    address: str | None = None
    context: Many[TraceContext] = ()


class CustomTag(OneOfMessage):
    """Where the value of a span tag comes from."""

    ONE_OF = (("literal", "environment", "header"),)

    literal: Literal | None = None
    environment: Environment | None = None
    header: RequestHeader | None = None


class Literal(Message):
    """A fixed value."""

    value: str | None = None


class Environment(Message):
    """A variable of the proxy's environment."""

    name: str | None = None
    default_value: str | None = None


class RequestHeader(Message):
    """A header of the request."""

    name: str | None = None
    default_value: str | None = None


class Tracing(OneOfMessage):
    """Where spans go and how many; `sampling` in percent."""

    ONE_OF = (("zipkin", "lightstep", "datadog", "stackdriver", "open_census_agent"),)

    zipkin: Zipkin | None = None
    lightstep: Lightstep | None = None
    datadog: Datadog | None = None
    stackdriver: Stackdriver | None = None
    open_census_agent: OpenCensusAgent | None = None
    custom_tags: Map[CustomTag] = {}
    max_path_tag_length: UInt32 | None = None
    sampling: Number | None = None
    tls_settings: ClientTLSSettings | None = None
    enable_istio_tags: Flag | None = None


class SDS(Message):
    """Secret discovery."""

    enabled: Flag | None = None
    k8s_sa_jwt_path: str | None = None


class ProxyProtocolConfiguration(Message):
    """The gateway takes a PROXY protocol header."""


class Topology(Message):
    """What stands before a gateway."""

    num_trusted_proxies: UInt32 | None = None
    forward_client_cert_details: ForwardClientCertDetails | None = None
    proxy_protocol: ProxyProtocolConfiguration | None = None


class CryptoMb(Message):
    """Private key operations on CryptoMB."""

    poll_delay: AnyDuration | None = None
    fallback: Flag | None = None


class QAT(Message):
    """Private key operations on QAT."""

    poll_delay: AnyDuration | None = None
    fallback: Flag | None = None


class PrivateKeyProvider(OneOfMessage):
    """Hardware for private key operations."""

    ONE_OF = (("cryptomb", "qat"),)

    cryptomb: CryptoMb | None = None
    qat: QAT | None = None


TracingServiceName = typing.Literal["APP_LABEL_AND_NAMESPACE", "CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"]

InboundInterceptionMode = typing.Literal["REDIRECT", "TPROXY", "NONE"]


class ProxyStatsMatcher(Message):
    """Which further statistics are kept."""

    inclusion_prefixes: Many[str] = ()
    inclusion_suffixes: Many[str] = ()
    inclusion_regexps: Many[str] = ()


MetadataExchangeMode = typing.Literal["UNDEFINED", "IN_MESH"]


class Server(Message):
    """The `server` header."""

    disabled: Flag | None = None
    value: str | None = None


class RequestId(Message):
    """The `x-request-id` header."""

    disabled: Flag | None = None


class AttemptCount(Message):
    """The `x-envoy-attempt-count` header."""

    disabled: Flag | None = None


class XForwardedHost(Message):
    """The `x-forwarded-host` header."""

    enabled: Flag | None = None


class XForwardedPort(Message):
    """The `x-forwarded-port` header."""

    enabled: Flag | None = None


class EnvoyDebugHeaders(Message):
    """Envoy's headers such as `x-envoy-upstream-service-time`."""

    disabled: Flag | None = None


class MetadataExchangeHeaders(Message):
    """The headers that carry peer metadata."""

    mode: MetadataExchangeMode | None = None


class SetCurrentClientCertDetails(Message):
    """What of the client certificate is put in `x-forwarded-client-cert`."""

    subject: Flag | None = None
    cert: Flag | None = None
    chain: Flag | None = None
    dns: Flag | None = None
    uri: Flag | None = None


class ProxyHeaders(Message):
    """Which headers the proxy adds."""

    forwarded_client_cert: ForwardClientCertDetails | None = None
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    request_id: RequestId | None = None
    server: Server | None = None
    attempt_count: AttemptCount | None = None
    envoy_debug_headers: EnvoyDebugHeaders | None = None
    metadata_exchange_headers: MetadataExchangeHeaders | None = None
    preserve_http1_header_case: Flag | None = None
    x_forwarded_host: XForwardedHost | None = None
    x_forwarded_port: XForwardedPort | None = None


Profile = typing.Literal["SIDECAR", "EDGE"]

HeadersWithUnderscoresAction = typing.Literal[
    "HEADERS_WITH_UNDERSCORES_UNSPECIFIED",
    "HEADERS_WITH_UNDERSCORES_ALLOW",
    "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST",
    "HEADERS_WITH_UNDERSCORES_DROP_HEADER",
]

PathWithEscapedSlashesAction = typing.Literal[
    "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
]


class ConnectionSettings(Message):
    """Limits and times of downstream and upstream connections."""

    profile: Profile | None = None
    listener_per_connection_buffer_limit_bytes: Int32 | None = None
    cluster_per_connection_buffer_limit_bytes: Int32 | None = None
    http_idle_timeout: AnyDuration | None = None
    http_max_connection_duration: AnyDuration | None = None
    http_drain_timeout: AnyDuration | None = None
    http_request_timeout: AnyDuration | None = None
    http_request_headers_timeout: AnyDuration | None = None
    http_stream_idle_timeout: AnyDuration | None = None
    http_max_stream_duration: AnyDuration | None = None
    http_max_concurrent_streams: Int32 | None = None
    http2_initial_stream_window_size: Int32 | None = None
    http2_initial_connection_window_size: Int32 | None = None
    http_headers_with_underscores_action: HeadersWithUnderscoresAction | None = None
    http_merge_slashes: Flag | None = None
    http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction | None = None
    listener_connection_limit: Int32 | None = None
    global_downstream_connection_limit: Int32 | None = None


class ProxyConfig(OneOfMessage):
    """Settings of every proxy."""

    ONE_OF = (("service_cluster", "tracing_service_name"),)

    config_path: str | None = None
    binary_path: str | None = None
    service_cluster: str | None = None
    tracing_service_name: TracingServiceName | None = None
    drain_duration: AnyDuration | None = None
    discovery_address: str | None = None
    discovery_refresh_delay: AnyDuration | None = None
    zipkin_address: str | None = None
    statsd_udp_address: str | None = None
    envoy_metrics_service_address: str | None = None
    proxy_admin_port: Int32 | None = None
    availability_zone: str | None = None
    control_plane_auth_policy: AuthenticationPolicy | None = None
    custom_config_file: str | None = None
    stat_name_length: Int32 | None = None
    concurrency: Int32 | None = None
    proxy_bootstrap_template_path: str | None = None
    interception_mode: InboundInterceptionMode | None = None
    tracing: Tracing | None = None
    sds: SDS | None = None
    envoy_access_log_service: RemoteService | None = None
    envoy_metrics_service: RemoteService | None = None
    proxy_metadata: Map[ScalarText] = {}
    runtime_values: Map[str] = {}
    status_port: Int32 | None = None
    extra_stat_tags: Many[str] = ()
    gateway_topology: Topology | None = None
    termination_drain_duration: AnyDuration | None = None
    mesh_id: str | None = None
    readiness_probe: ReadinessProbe | None = None
    proxy_stats_matcher: ProxyStatsMatcher | None = None
    hold_application_until_proxy_starts: Flag | None = None
    ca_certificates_pem: Many[str] = ()
    image: ProxyImage | None = None
    private_key_provider: PrivateKeyProvider | None = None
    proxy_headers: ProxyHeaders | None = None
    file_flush_interval: AnyDuration | None = None
    file_flush_min_size_kb: UInt32 | None = None
    stats_compression: Flag | None = None
    connection_settings: ConnectionSettings | None = None


class RemoteService(Message):
    """A service that a proxy calls."""

    address: str | None = None
    tls_settings: ClientTLSSettings | None = None
    tcp_keepalive: TcpKeepalive | None = None
