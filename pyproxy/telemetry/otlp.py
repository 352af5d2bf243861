"""Spans as OTLP/HTTP in JSON. Source: opentelemetry-proto trace/v1/trace.proto and the OTLP specification."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pyproxy import __version__
from pyproxy.telemetry.spans import Span, SpanKind

CONTENT_TYPE = b"application/json"
_KINDS = {SpanKind.SERVER: 2, SpanKind.CLIENT: 3}
_ERROR = 2
_SAMPLED = 0x101
"""Sampled, and it is known whether the parent is remote."""


class OtlpEncoder:
    """One proxy's."""

    def __init__(self, service: str) -> None:
        resource = {
            "service.name": service,
            "telemetry.sdk.name": "pyproxy",
            "telemetry.sdk.language": "python",
            "telemetry.sdk.version": __version__,
        }
        scope = {"name": "pyproxy", "version": __version__}
        self._before = (
            b'{"resourceSpans":[{"resource":{"attributes":'
            + _json(_attributes(resource))
            + b'},"scopeSpans":[{"scope":'
            + _json(scope)
            + b',"spans":['
        )

    def encode(self, span: Span) -> bytes:
        """One span. Identifiers are hexadecimal, 64-bit numbers texts, as the JSON of OTLP has them."""
        trace = span.trace
        started = round(span.started_at * 1e9)
        fields: dict[str, object] = {
            "traceId": trace.trace_id.rjust(32, b"0").decode(),
            "spanId": trace.span_id.decode(),
            "name": span.name,
            "kind": _KINDS[span.kind],
            "startTimeUnixNano": str(started),
            "endTimeUnixNano": str(started + round(span.duration * 1e9)),
            "attributes": _attributes(span.tags),
            "flags": _SAMPLED,
        }
        if trace.parent_id:
            fields["parentSpanId"] = trace.parent_id.decode()
        if span.state:
            fields["traceState"] = span.state
        if span.failed:
            fields["status"] = {"code": _ERROR}
        return _json(fields)

    def report(self, spans: Sequence[bytes]) -> bytes:
        """The body of one report."""
        return self._before + b",".join(spans) + b"]}]}]}"


def _attributes(values: Mapping[str, str]) -> list[object]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
