"""Which exchanges have spans, and where these go. What is in them: tests/telemetry/test_spans.py."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.trace import Trace
from pyproxy.proxy import spans as module
from pyproxy.proxy.environment import Environment
from pyproxy.proxy.exchange import Exchange
from pyproxy.proxy.spans import Spans
from pyproxy.runtime.counters import OpenTelemetryStats, TracerStats, ZipkinStats
from pyproxy.snapshot.model import Direction, Identity, Reporting, SpanExport, SpanFormat, Telemetry, Tracing
from pyproxy.telemetry.spans import AttemptNotes, Span

ZIPKIN = SpanExport(SpanFormat.ZIPKIN, "z", "z", "/")
OTLP = SpanExport(SpanFormat.OTLP, "o", "o", "/")


class Reports:
    """Keeps what it is to send."""

    def __init__(self, _env: object, export: SpanExport, _encoder: object, stats: TracerStats) -> None:
        self.export = export
        self.stats = stats
        self.spans: list[Span] = []

    def add(self, span: Span) -> None:
        self.spans.append(span)


def telemetry(client: SpanExport | None, server: SpanExport | None) -> Telemetry:
    return Telemetry(Reporting(Tracing(export=client)), Reporting(Tracing(export=server)))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    monkeypatch.setattr(module, "SpanReports", Reports)
    env: Any = SimpleNamespace(own_metadata=(b"node", b""), rng=random.Random(1))
    return Spans(cast(Environment, env), {})


def reports(spans: Spans) -> dict[SpanExport, Reports]:
    return cast("dict[SpanExport, Reports]", spans._reports)


def exchange(trace: Trace | None, tracing: Tracing, *, traced: bool = False, **more: object) -> Exchange:
    ctx = RequestContext(RequestHead(b"GET", b"/", b"web", []), 1.0, 1_700_000_000.0)
    ctx.response_body_ended = 1.5
    ctx.trace = trace
    settings = SimpleNamespace(direction=Direction.OUTBOUND)
    found: Any = SimpleNamespace(
        ctx=ctx,
        head=ctx.request,
        tracing=tracing,
        traced=traced,
        route=None,
        attempt_notes=None,
        tells_grpc_timeout=False,
        connection=SimpleNamespace(settings=settings),
        **more,
    )
    return cast(Exchange, found)


SAMPLED = Trace(b"1" * 32, b"2" * 16, b"", True)


def test_each_direction_has_its_collector_and_each_kind_its_numbers(spans: Spans) -> None:
    assert spans.follow(Identity(), telemetry(ZIPKIN, OTLP)) == []
    found = reports(spans)
    assert [type(found[export].stats) for export in (ZIPKIN, OTLP)] == [ZipkinStats, OpenTelemetryStats]
    spans.finish(exchange(SAMPLED, Tracing(export=ZIPKIN)))
    assert [len(found[export].spans) for export in (ZIPKIN, OTLP)] == [1, 0]


def test_a_collector_that_nobody_names_any_more_is_given_back(spans: Spans) -> None:
    spans.follow(Identity(), telemetry(ZIPKIN, OTLP))
    kept = reports(spans)[OTLP]
    (gone,) = cast("list[Reports]", spans.follow(Identity(), telemetry(None, OTLP)))
    assert gone.export is ZIPKIN
    assert reports(spans) == {OTLP: kept}
    spans.finish(exchange(SAMPLED, Tracing(export=ZIPKIN)))  # it began under the old documents


@pytest.mark.parametrize("trace", [Trace(b"1" * 32, b"2" * 16, b"", False), Trace(b"", b"", b"", False)])
def test_what_is_not_sampled_has_no_span(spans: Spans, trace: Trace) -> None:
    spans.follow(Identity(), telemetry(ZIPKIN, None))
    spans.finish(exchange(trace, Tracing(export=ZIPKIN)))
    spans.finish(exchange(SAMPLED, Tracing()))
    assert reports(spans)[ZIPKIN].spans == []


@pytest.mark.parametrize("traced", [True, False])
def test_a_request_that_went_nowhere_begins_its_trace_at_the_end(spans: Spans, traced: bool) -> None:
    spans.follow(Identity(), telemetry(ZIPKIN, None))
    spans.finish(exchange(None, Tracing(export=ZIPKIN), traced=traced))
    assert [len(span.trace.trace_id) for span in reports(spans)[ZIPKIN].spans] == [32] * traced


def test_attempts_come_before_their_request(spans: Spans) -> None:
    spans.follow(Identity(gateway=True), telemetry(ZIPKIN, None))
    asked = exchange(SAMPLED, Tracing(export=ZIPKIN, upstream_spans=True))
    first, second = (AttemptNotes(SAMPLED, "10.0.0.1:80", 1.1) for _ in range(2))
    first.end(1.2, cancelled=True)
    asked.attempt_notes = [first, second]
    spans.finish(asked)
    found = reports(spans)[ZIPKIN].spans
    assert [span.kind.value for span in found] == ["CLIENT", "CLIENT", "SERVER"]
    assert [round(span.duration, 3) for span in found] == [0.1, 0.4, 0.5]
