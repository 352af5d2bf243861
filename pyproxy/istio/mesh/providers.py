"""The extension providers of MeshConfig: authorizers, tracers, metrics and logs (mesh/v1alpha1/config.proto)."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import AnyDuration, Flag, Int32, Int64, Json, Many, Map, Message, OneOfMessage, UInt32

ServiceAttributeEnrichment = Literal["ISTIO_CANONICAL", "OTEL_SEMANTIC_CONVENTIONS"]


class EnvoyExternalAuthorizationRequestBody(Message):
    """How much of a request's body the authorizer gets."""

    max_request_bytes: UInt32 | None = None
    allow_partial_message: Flag | None = None
    pack_as_bytes: Flag | None = None


class EnvoyExternalAuthorizationHttpProvider(Message):
    """An external authorizer asked over HTTP."""

    service: str | None = None
    port: UInt32 | None = None
    timeout: AnyDuration | None = None
    path_prefix: str | None = None
    fail_open: Flag | None = None
    clear_route_cache: Flag | None = None
    status_on_error: str | None = None
    include_headers_in_check: Many[str] = ()
    include_request_headers_in_check: Many[str] = ()
    include_additional_headers_in_check: Map[str] = {}
    include_request_body_in_check: EnvoyExternalAuthorizationRequestBody | None = None
    headers_to_upstream_on_allow: Many[str] = ()
    headers_to_downstream_on_deny: Many[str] = ()
    headers_to_downstream_on_allow: Many[str] = ()


class EnvoyExternalAuthorizationGrpcProvider(Message):
    """An external authorizer asked over gRPC."""

    service: str | None = None
    port: UInt32 | None = None
    timeout: AnyDuration | None = None
    fail_open: Flag | None = None
    clear_route_cache: Flag | None = None
    status_on_error: str | None = None
    include_request_body_in_check: EnvoyExternalAuthorizationRequestBody | None = None


TraceContextOption = Literal["USE_B3", "USE_B3_WITH_W3C_PROPAGATION"]


class ZipkinTracingProvider(Message):
    """Spans to Zipkin."""

    service: str | None = None
    port: UInt32 | None = None
    max_tag_length: UInt32 | None = None
    enable_64bit_trace_id: Flag | None = None
    path: str | None = None
    trace_context_option: TraceContextOption | None = None
    timeout: AnyDuration | None = None
    headers: Many[HttpHeader] = ()


class LightstepTracingProvider(Message):
    """Spans to Lightstep."""

    service: str | None = None
    port: UInt32 | None = None
    access_token: str | None = None
    max_tag_length: UInt32 | None = None


class DatadogTracingProvider(Message):
    """Spans to Datadog."""

    service: str | None = None
    port: UInt32 | None = None
    max_tag_length: UInt32 | None = None


class SkyWalkingTracingProvider(Message):
    """Spans to SkyWalking."""

    service: str | None = None
    port: UInt32 | None = None
    access_token: str | None = None


class Logging(Message):
    """Labels of Stackdriver log entries."""

    labels: Map[str] = {}


class StackdriverProvider(Message):
    """Spans, metrics and logs to Stackdriver."""

    debug: Flag | None = None
    max_number_of_attributes: Int64 | None = None
    max_number_of_annotations: Int64 | None = None
    max_number_of_message_events: Int64 | None = None
    max_tag_length: UInt32 | None = None
    logging: Logging | None = None


TraceContext = Literal["UNSPECIFIED", "W3C_TRACE_CONTEXT", "GRPC_BIN", "CLOUD_TRACE_CONTEXT", "B3"]


class OpenCensusAgentTracingProvider(Message):
    """Spans to an OpenCensus agent."""

    service: str | None = None
    port: UInt32 | None = None
    context: Many[TraceContext] = ()
    max_tag_length: UInt32 | None = None


class PrometheusMetricsProvider(Message):
    """Metrics for Prometheus."""


class LogFormat(OneOfMessage):
    """An access log line as text or as JSON labels."""

    ONE_OF = (("text", "labels"),)

    text: str | None = None
    labels: dict[str, Json] | None = None


class EnvoyFileAccessLogProvider(Message):
    """Access log to a file."""

    path: str | None = None
    log_format: LogFormat | None = None
    omit_empty_values: Flag | None = None


class EnvoyHttpGrpcV3LogProvider(Message):
    """HTTP access log to a gRPC service."""

    service: str | None = None
    port: UInt32 | None = None
    log_name: str | None = None
    filter_state_objects_to_log: Many[str] = ()
    additional_request_headers_to_log: Many[str] = ()
    additional_response_headers_to_log: Many[str] = ()
    additional_response_trailers_to_log: Many[str] = ()


class EnvoyTcpGrpcV3LogProvider(Message):
    """TCP access log to a gRPC service."""

    service: str | None = None
    port: UInt32 | None = None
    log_name: str | None = None
    filter_state_objects_to_log: Many[str] = ()


class OpenTelemetryLogFormat(Message):
    """An access log line as text with labels."""

    text: str | None = None
    labels: dict[str, Json] | None = None


class EnvoyOpenTelemetryLogProvider(Message):
    """Access log to an OpenTelemetry collector."""

    service: str | None = None
    port: UInt32 | None = None
    log_name: str | None = None
    log_format: OpenTelemetryLogFormat | None = None


class DynatraceApi(Message):
    """The Dynatrace API."""

    service: str | None = None
    port: UInt32 | None = None
    http: HttpService | None = None


class DynatraceSampler(Message):
    """Dynatrace's sampler."""

    tenant: str | None = None
    cluster_id: Int32 | None = None
    root_spans_per_minute: UInt32 | None = None
    http_service: DynatraceApi | None = None


class OpenTelemetryTracingProvider(Message):
    """Spans to an OpenTelemetry collector."""

    service: str | None = None
    port: UInt32 | None = None
    max_tag_length: UInt32 | None = None
    http: HttpService | None = None
    grpc: GrpcService | None = None
    resource_detectors: ResourceDetectors | None = None
    service_attribute_enrichment: ServiceAttributeEnrichment | None = None
    dynatrace_sampler: DynatraceSampler | None = None


class SDSProvider(Message):
    """Secrets from a service."""

    name: str | None = None
    service: str | None = None
    port: UInt32 | None = None


class HttpService(Message):
    """How a collector is called over HTTP."""

    path: str | None = None
    timeout: AnyDuration | None = None
    headers: Many[HttpHeader] = ()


class HttpHeader(OneOfMessage):
    """A header, its value fixed or from the environment."""

    ONE_OF = (("value", "env_name"),)

    name: str | None = None
    value: str | None = None
    env_name: str | None = None


class EnvironmentResourceDetector(Message):
    """Resource attributes from the environment."""


class DynatraceResourceDetector(Message):
    """Resource attributes from Dynatrace."""


class ResourceDetectors(Message):
    """Where the attributes of the resource come from."""

    environment: EnvironmentResourceDetector | None = None
    dynatrace: DynatraceResourceDetector | None = None


class GrpcService(Message):
    """How a collector is called over gRPC."""

    timeout: AnyDuration | None = None
    initial_metadata: Many[HttpHeader] = ()


class ExtensionProvider(OneOfMessage):
    """A service for tracing, metrics, logs or authorization, under a name."""

    ONE_OF = (
        (
            "envoy_ext_authz_http",
            "envoy_ext_authz_grpc",
            "zipkin",
            "lightstep",
            "datadog",
            "stackdriver",
            "opencensus",
            "skywalking",
            "opentelemetry",
            "prometheus",
            "envoy_file_access_log",
            "envoy_http_als",
            "envoy_tcp_als",
            "envoy_otel_als",
            "sds",
        ),
    )

    name: str | None = None
    envoy_ext_authz_http: EnvoyExternalAuthorizationHttpProvider | None = None
    envoy_ext_authz_grpc: EnvoyExternalAuthorizationGrpcProvider | None = None
    zipkin: ZipkinTracingProvider | None = None
    lightstep: LightstepTracingProvider | None = None
    datadog: DatadogTracingProvider | None = None
    stackdriver: StackdriverProvider | None = None
    opencensus: OpenCensusAgentTracingProvider | None = None
    skywalking: SkyWalkingTracingProvider | None = None
    opentelemetry: OpenTelemetryTracingProvider | None = None
    prometheus: PrometheusMetricsProvider | None = None
    envoy_file_access_log: EnvoyFileAccessLogProvider | None = None
    envoy_http_als: EnvoyHttpGrpcV3LogProvider | None = None
    envoy_tcp_als: EnvoyTcpGrpcV3LogProvider | None = None
    envoy_otel_als: EnvoyOpenTelemetryLogProvider | None = None
    sds: SDSProvider | None = None
