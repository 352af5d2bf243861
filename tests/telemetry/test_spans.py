"""What tests/differential/test_spans.py cannot show: attempts, errors, and names without a route."""

from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.core.trace import Trace
from pyproxy.snapshot.model import Direction, Identity, SpanExport, SpanFormat, Tracing
from pyproxy.telemetry.spans import AttemptNotes, Span, SpanKind, SpanRules

TRACE = Trace(b"0" * 31 + b"1", b"0" * 15 + b"2", b"", True)
IDENTITY = Identity(workload="w", locality="here/there/elsewhere", address="10.0.0.1")
RULES = SpanRules(IDENTITY, "sidecar~10.0.0.1~w.default~default.svc.cluster.local")
ZIPKIN = Tracing(export=SpanExport(SpanFormat.ZIPKIN, "c", "h", "/"))
OTLP = Tracing(export=SpanExport(SpanFormat.OTLP, "c", "h", "/"))


def context(status: int = 200) -> RequestContext:
    ctx = RequestContext(RequestHead(b"GET", b"/a", b"web", []), 10.0, 1_700_000_000.0)
    ctx.status = status
    ctx.response_body_ended = 10.25
    ctx.upstream_cluster = "outbound|80||web"
    return ctx


def span(
    ctx: RequestContext, direction: Direction = Direction.OUTBOUND, tracing: Tracing = ZIPKIN, route: str = ""
) -> Span:
    return RULES.of_request(ctx, TRACE, tracing, direction, route=route)


def test_a_name_is_the_routes_or_else_the_host() -> None:
    assert span(context(), route="web:80/*").name == "web:80/*"
    assert span(context()).name == "web"
    assert span(context(), tracing=OTLP).name == "egress web"
    assert span(context(), Direction.INBOUND, OTLP).name == "ingress web"


def test_either_side_may_rename_the_others_span() -> None:
    asked = context()
    asked.request.notable[b"x-envoy-decorator-operation"] = b"the caller's"
    assert span(asked, Direction.INBOUND, route="ours").name == "the caller's"
    assert span(asked, Direction.OUTBOUND, route="ours").name == "ours"
    asked.response = ResponseHead(200, [], {b"x-envoy-decorator-operation": b"the server's"})
    assert span(asked, Direction.OUTBOUND, route="ours").name == "the server's"


@pytest.mark.parametrize(
    ("status", "direction", "error", "failed"),
    [
        (200, Direction.OUTBOUND, False, False),
        (404, Direction.OUTBOUND, False, True),
        (404, Direction.INBOUND, False, False),
        (503, Direction.INBOUND, True, True),
        (0, Direction.OUTBOUND, True, False),
    ],
)
def test_what_is_an_error(status: int, direction: Direction, error: bool, failed: bool) -> None:
    found = span(context(status), direction)
    assert ("error" in found.tags, found.failed) == (error, failed)


@pytest.mark.parametrize(
    ("grpc", "direction", "error", "failed"),
    [
        ("0", Direction.OUTBOUND, False, False),
        ("3", Direction.OUTBOUND, False, True),
        ("3", Direction.INBOUND, False, False),
        ("8", Direction.INBOUND, True, False),
        ("14", Direction.INBOUND, True, True),
    ],
)
def test_what_is_an_error_of_grpc(grpc: str, direction: Direction, error: bool, failed: bool) -> None:
    ctx = context()
    ctx.request.notable[b"content-type"] = b"application/grpc"
    ctx.response_trailers = [(b"grpc-status", grpc.encode()), (b"grpc-message", b"why")]
    found = span(ctx, direction)
    assert (found.tags["grpc.status_code"], found.tags["grpc.message"]) == (grpc, "why")
    assert ("error" in found.tags, found.failed) == (error, failed)


def test_a_retry_of_a_gateway() -> None:
    notes = AttemptNotes(TRACE, "10.0.0.9:80", 10.1)
    notes.end(10.2, outcome=Outcome.REMOTE_CONNECTION_FAILURE)
    notes.end(11.0, cancelled=True)
    found = RULES.of_attempt(notes, 1, context(503), ZIPKIN)
    assert found.kind is SpanKind.CLIENT and found.name == "router outbound|80||web; egress"
    assert (round(found.started_at - 1_700_000_000, 6), round(found.duration, 6)) == (0.1, 0.1)
    assert found.tags == {
        "component": "proxy",
        "upstream_cluster": "outbound|80||web",
        "upstream_cluster.name": "outbound|80||web;",
        "upstream_address": "10.0.0.9:80",
        "peer.address": "10.0.0.9:80",
        "http.protocol": "-",
        "http.status_code": "0",
        "response_flags": "UF",
        "retry.count": "1",
        "error": "true",
        "error.reason": "remote connection failure",
    }
