"""Telemetry and every message inside it (telemetry/v1alpha1/telemetry.proto)."""

from __future__ import annotations

import typing

from pyproxy.istio.fields import Duration, Flag, Many, Map, Message, Number, OneOfMessage
from pyproxy.istio.selector import PolicyTargetReference, WorkloadSelector

WorkloadMode = typing.Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]


class Telemetry(Message):
    """Metrics, traces and access logs of some workloads."""

    selector: WorkloadSelector | None = None
    target_ref: PolicyTargetReference | None = None
    target_refs: Many[PolicyTargetReference] = ()
    tracing: Many[Tracing] = ()
    metrics: Many[Metrics] = ()
    access_logging: Many[AccessLogging] = ()


class TracingSelector(Message):
    """The side of the traffic that is meant."""

    mode: WorkloadMode | None = None


class CustomTag(OneOfMessage):
    """Where the value of a span tag comes from."""

    ONE_OF = (("literal", "environment", "header", "formatter"),)

    literal: Literal | None = None
    environment: Environment | None = None
    header: RequestHeader | None = None
    formatter: Formatter | None = None


class Literal(Message):
    """A fixed value."""

    value: str


class Environment(Message):
    """A variable of the proxy's environment."""

    name: str
    default_value: str | None = None


class RequestHeader(Message):
    """A header of the request."""

    name: str
    default_value: str | None = None


class Formatter(Message):
    """An access log format string."""

    value: str


class Tracing(Message):
    """Which requests are traced, and how."""

    match: TracingSelector | None = None
    providers: Many[ProviderRef] = ()
    random_sampling_percentage: Number | None = None
    disable_span_reporting: Flag | None = None
    custom_tags: Map[CustomTag] = {}
    use_request_id_for_trace_sampling: Flag | None = None
    enable_istio_tags: Flag | None = None
    disable_context_propagation: Flag | None = None


class ProviderRef(Message):
    """An extension provider of MeshConfig, by name."""

    name: str


class Metrics(Message):
    """Changes to the standard metrics."""

    providers: Many[ProviderRef] = ()
    overrides: Many[MetricsOverrides] = ()
    reporting_interval: Duration | None = None


IstioMetric = typing.Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]


class MetricSelector(OneOfMessage):
    """The metrics that are meant."""

    ONE_OF = (("metric", "custom_metric"),)

    metric: IstioMetric | None = None
    custom_metric: str | None = None
    mode: WorkloadMode | None = None


Operation = typing.Literal["UPSERT", "REMOVE"]


class TagOverride(Message):
    """A label set to an expression, or taken away."""

    operation: Operation | None = None
    value: str | None = None


class MetricsOverrides(Message):
    """One change to some metrics."""

    match: MetricSelector | None = None
    disabled: Flag | None = None
    tag_overrides: Map[TagOverride] = {}


class LogSelector(Message):
    """The side of the traffic that is meant."""

    mode: WorkloadMode | None = None


class Filter(Message):
    """A CEL expression over the request: what is logged."""

    expression: str | None = None


class AccessLogging(Message):
    """Which requests are logged, and to where."""

    match: LogSelector | None = None
    providers: Many[ProviderRef] = ()
    disabled: Flag | None = None
    filter: Filter | None = None
