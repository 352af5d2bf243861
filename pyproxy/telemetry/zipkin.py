"""Spans as Zipkin v2 JSON. Source: Envoy source/extensions/tracers/zipkin/{span_buffer,zipkin_core_types}.cc."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address

from pyproxy.snapshot.model import Identity
from pyproxy.telemetry.spans import Span, SpanKind

CONTENT_TYPE = b"application/json"
_AT_THE_END = {SpanKind.CLIENT: "cr", SpanKind.SERVER: "ss"}


class ZipkinEncoder:
    """One proxy's."""

    def __init__(self, identity: Identity, service: str) -> None:
        self._endpoint: dict[str, object] = {"serviceName": service, "port": 0}
        try:
            address = ip_address(identity.address)
        except ValueError:
            return
        self._endpoint[f"ipv{address.version}"] = str(address)

    def encode(self, span: Span) -> bytes:
        """One span. Times are whole microseconds."""
        trace = span.trace
        started, duration = round(span.started_at * 1e6), max(1, round(span.duration * 1e6))
        fields: dict[str, object] = {
            "traceId": trace.trace_id.decode(),
            "id": trace.span_id.decode(),
            "name": span.name,
            "kind": span.kind.value,
            "timestamp": started,
            "duration": duration,
            "localEndpoint": self._endpoint,
            "annotations": [{"timestamp": started + duration, "value": _AT_THE_END[span.kind]}],
            "tags": span.tags,
        }
        if trace.parent_id:
            fields["parentId"] = trace.parent_id.decode()
        return json.dumps(fields, separators=(",", ":")).encode()

    def report(self, spans: Sequence[bytes]) -> bytes:
        """The body of one report."""
        return b"[" + b",".join(spans) + b"]"
