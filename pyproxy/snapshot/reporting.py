"""What is told about requests, as configured: spans, log lines, metrics; for what leaves a workload and what enters it.

Frozen records. snapshot/telemetry.py makes them of Telemetry documents and MeshConfig.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from pyproxy.core.context import RequestContext

METRICS_INTERVAL: Final = 5.0
"""Seconds between two reports of a connection's bytes, or of a call's messages (Istio's stats filter)."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A file of lines about requests; `path` empty: off."""

    path: str = ""
    encoding: str = "TEXT"
    format: str = ""
    """Empty: Istio's default. For JSON, a JSON object of format strings."""
    filter: str = ""
    """A CEL expression; only what it is true for is logged. Empty: everything."""
    omit_empty: bool = False
    """What is missing is left out, instead of `-` and null."""


class Propagation(Enum):
    """Which trace headers go out; what Istio's tracing providers choose."""

    B3 = "B3"
    """Zipkin: x-b3-*, or one `b3` where the client sent one."""
    B3_AND_W3C = "USE_B3_WITH_W3C_PROPAGATION"
    """Zipkin with that traceContextOption: `traceparent` too, read where the client sent no B3."""
    W3C = "W3C"
    """OpenTelemetry: traceparent and tracestate."""


class SpanFormat(Enum):
    """What a collector takes, by Envoy's name of the tracer."""

    ZIPKIN = "zipkin"
    """Zipkin v2 JSON."""
    OTLP = "opentelemetry"
    """OTLP/HTTP in JSON."""


@dataclass(frozen=True, slots=True)
class SpanExport:
    """Where spans go."""

    format: SpanFormat
    cluster: str
    host: str
    """The Host header of a report."""
    path: str
    timeout: float = 5.0
    """Seconds that the collector has to answer."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    service: str = ""
    """What traces call this proxy: Envoy's node cluster."""


class TagSource(Enum):
    """Where the value of a custom tag comes from, by Envoy's name."""

    LITERAL = "literal"
    ENVIRONMENT = "environment"
    HEADER = "request_header"
    FORMATTER = "value"


@dataclass(frozen=True, slots=True)
class SpanTag:
    """A custom tag of spans. A value that ends up empty is no tag."""

    name: str
    source: TagSource
    text: str
    """The literal, the variable's or the header's name, or the format string."""
    default: str = ""
    value: Callable[[RequestContext], bytes] | None = field(default=None, compare=False, repr=False)
    """Compiled; None: it has no value."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Who is traced, and how. Sampling in percent, 0 to 100."""

    enabled: bool = True
    random_sampling: float = 1.0
    client_sampling: float = 100.0
    overall_sampling: float = 100.0
    propagation: Propagation = Propagation.B3
    trace_id_128bit: bool = True
    """New B3 trace ids have 32 digits; zipkin's enable64BitTraceId makes them 16."""
    by_request_id: bool = True
    """The x-request-id carries the decision; without it every request is sampled that nobody decided for."""
    propagates: bool = True
    """Requests go on with trace headers of this hop."""
    export: SpanExport | None = None
    """None: no spans are made."""
    tags: tuple[SpanTag, ...] = ()
    """In the order of their names."""
    max_path_length: int = 256
    """Of the path in the tag http.url."""
    upstream_spans: bool = False
    """Each attempt has a span of its own: a gateway's."""


@dataclass(frozen=True, slots=True)
class LabelChange:
    """One label of a metric: set to a CEL expression, or, with an empty one, taken away."""

    name: str
    expression: str = ""


@dataclass(frozen=True, slots=True)
class MetricChange:
    """What a Telemetry changes about one metric."""

    metric: str
    """`requests_total`: without `istio_`."""
    dropped: bool = False
    labels: tuple[LabelChange, ...] = ()
    """In the order of their names."""


@dataclass(frozen=True, slots=True)
class MetricRules:
    """What Telemetry says of Istio's metrics for one direction."""

    enabled: bool = True
    changes: tuple[MetricChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Reporting:
    """Everything that is told about the requests of one direction."""

    tracing: Tracing = Tracing()
    access_logs: tuple[AccessLog, ...] = ()
    metrics: MetricRules = MetricRules()


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Both directions."""

    client: Reporting = Reporting()
    """What leaves a workload, and all that a gateway carries."""
    server: Reporting = Reporting()
    """What enters a workload."""
    metrics_interval: float = METRICS_INTERVAL
