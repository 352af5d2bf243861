from __future__ import annotations

import json

from pyproxy.core.trace import Trace
from pyproxy.telemetry.otlp import OtlpEncoder
from pyproxy.telemetry.spans import Span, SpanKind


def test_a_report_as_otlp_has_it() -> None:
    encoder = OtlpEncoder("w.default")
    root = Span("r", SpanKind.CLIENT, Trace(b"1" * 32, b"2" * 16, b"", True), 1.0, 0.5, {}, failed=True)
    child = Span("n", SpanKind.SERVER, Trace(b"1" * 16, b"2" * 16, b"3" * 16, True), 1.0, 0.5, {"k": "v"}, state="a=b")
    (resource,) = json.loads(encoder.report([encoder.encode(root), encoder.encode(child)]))["resourceSpans"]
    assert {"key": "service.name", "value": {"stringValue": "w.default"}} in resource["resource"]["attributes"]
    first, second = resource["scopeSpans"][0]["spans"]
    assert (first["status"], first["kind"], "parentSpanId" in first) == ({"code": 2}, 3, False)
    assert second == {
        "traceId": "0" * 16 + "1" * 16,
        "spanId": "2" * 16,
        "parentSpanId": "3" * 16,
        "name": "n",
        "kind": 2,
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "1500000000",
        "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
        "flags": 257,
        "traceState": "a=b",
    }
