"""Makes spans of sampled exchanges, and has them sent to the collectors that documents name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyproxy.policy.timeouts import format_grpc_timeout
from pyproxy.proxy.environment import Environment
from pyproxy.proxy.span_reports import Encoder, SpanReports
from pyproxy.runtime.counters import OpenTelemetryStats, TracerStats, ZipkinStats
from pyproxy.snapshot.model import Identity, SpanExport, SpanFormat, Telemetry
from pyproxy.telemetry.otlp import OtlpEncoder
from pyproxy.telemetry.spans import SpanRules
from pyproxy.telemetry.trace_headers import continue_trace
from pyproxy.telemetry.zipkin import ZipkinEncoder

if TYPE_CHECKING:
    from pyproxy.proxy.exchange import Exchange


class Spans:
    """All collectors of one worker."""

    def __init__(self, env: Environment, stats: dict[str, TracerStats]) -> None:
        self._env = env
        self._stats = stats
        self._rules = SpanRules(Identity(), "")
        self._reports: dict[SpanExport, SpanReports] = {}

    def follow(self, identity: Identity, telemetry: Telemetry) -> list[SpanReports]:
        """Send to these collectors from now on; gives those that are no longer wanted, to be closed."""
        self._rules = SpanRules(identity, self._env.own_metadata[0].decode())
        wanted = dict.fromkeys(exports_of(telemetry))
        gone = [self._reports.pop(export) for export in [*self._reports] if export not in wanted]
        for export in wanted:
            if export not in self._reports:
                self._reports[export] = self._open(identity, export)
        return gone

    def finish(self, exchange: Exchange) -> None:
        """The exchange is over: its spans, if it is sampled."""
        tracing, ctx = exchange.tracing, exchange.ctx
        export = tracing.export
        if export is None:
            return
        trace = ctx.trace
        if trace is None:  # it never got as far as an upstream
            notable = exchange.head.notable
            trace = continue_trace([], notable, tracing, self._env.rng, exchange.traced)
        if not trace.sampled or not trace.trace_id:
            return
        reports = self._reports.get(export)
        if reports is None:  # the documents changed under it
            return
        for number, notes in enumerate(exchange.attempt_notes or ()):
            notes.end(ctx.response_body_ended)
            reports.add(self._rules.of_attempt(notes, number, ctx, tracing))
        route = exchange.route
        timeout = format_grpc_timeout(exchange.expected_timeout_ms()) if exchange.tells_grpc_timeout else b""
        span = self._rules.of_request(
            ctx,
            trace,
            tracing,
            exchange.connection.settings.direction,
            route=route.operation if route is not None else "",
            grpc_timeout=timeout,
        )
        reports.add(span)

    async def close(self, timeout: float) -> None:
        """Send what is left, within so many seconds for each collector."""
        for reports in self._reports.values():
            await reports.close(timeout)

    def _open(self, identity: Identity, export: SpanExport) -> SpanReports:
        encoder: Encoder
        if export.format is SpanFormat.ZIPKIN:
            encoder = ZipkinEncoder(identity, export.service)
            stats = self._stats.setdefault(export.format.value, ZipkinStats())
        else:
            encoder = OtlpEncoder(export.service)
            stats = self._stats.setdefault(export.format.value, OpenTelemetryStats())
        return SpanReports(self._env, export, encoder, stats)


def exports_of(telemetry: Telemetry) -> list[SpanExport]:
    """Where spans go; empty when there is no collector."""
    sides = (telemetry.client.tracing, telemetry.server.tracing)
    return [side.export for side in sides if side.enabled and side.export is not None]
