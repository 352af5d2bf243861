from __future__ import annotations

import json

from pyproxy.core.trace import Trace
from pyproxy.snapshot.model import Identity
from pyproxy.telemetry.spans import Span, SpanKind
from pyproxy.telemetry.zipkin import ZipkinEncoder


def encoded(address: str, trace: Trace, duration: float = 0.25) -> dict[str, object]:
    encoder = ZipkinEncoder(Identity(address=address), "w.default")
    span = Span("web", SpanKind.SERVER, trace, 1_700_000_000.0, duration, {"k": "v"})
    (found,) = json.loads(encoder.report([encoder.encode(span)]))
    assert isinstance(found, dict)
    return found


def test_a_span_as_zipkin_reads_it() -> None:
    assert encoded("10.0.0.1", Trace(b"0" * 31 + b"1", b"0" * 15 + b"2", b"0" * 15 + b"3", True)) == {
        "traceId": "0" * 31 + "1",
        "id": "0" * 15 + "2",
        "parentId": "0" * 15 + "3",
        "name": "web",
        "kind": "SERVER",
        "timestamp": 1_700_000_000_000_000,
        "duration": 250_000,
        "localEndpoint": {"serviceName": "w.default", "ipv4": "10.0.0.1", "port": 0},
        "annotations": [{"timestamp": 1_700_000_000_250_000, "value": "ss"}],
        "tags": {"k": "v"},
    }


def test_a_root_has_no_parent_and_no_span_lasts_nothing() -> None:
    found = encoded("::1", Trace(b"1" * 16, b"1" * 16, b"", True), duration=0.0)
    assert "parentId" not in found
    assert (found["duration"], found["localEndpoint"]) == (1, {"serviceName": "w.default", "ipv6": "::1", "port": 0})


def test_an_address_that_is_none_is_left_out() -> None:
    found = encoded("a-host", Trace(b"1" * 16, b"1" * 16, b"", True))
    assert found["localEndpoint"] == {"serviceName": "w.default", "port": 0}
