"""A request, or one attempt of a gateway's, as a span: its name, times and tags as Envoy's tracers have them.

Source: Envoy source/common/tracing/{http_tracer_impl,tracer_impl}.cc, router/upstream_request.cc; compared with Envoy
1.40 in tests/differential/test_spans.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.core.trace import Trace
from pyproxy.snapshot.model import Direction, Identity, Tracing
from pyproxy.telemetry.request_id import CLIENT_TRACE_ID
from pyproxy.wire import facts

Tags = dict[str, str]
_GRPC_ERRORS: Final = frozenset(("2", "4", "8", "12", "13", "14", "15"))
"""grpc-status that Envoy tags as an error."""
_GRPC_FAILURES_OF_SERVERS: Final = frozenset(("2", "4", "12", "13", "14", "15"))
"""grpc-status that makes a server's span fail; a client's fails with any but 0."""
_DECORATOR: Final = b"x-envoy-decorator-operation"
_DIRECTIONS: Final = {Direction.INBOUND: "ingress"}


class SpanKind(Enum):
    """Which end of a call a span shows."""

    CLIENT = "CLIENT"
    SERVER = "SERVER"


class Span:
    """One span, whole. Times are Unix seconds."""

    __slots__ = ("duration", "failed", "kind", "name", "started_at", "state", "tags", "trace")

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        trace: Trace,
        started_at: float,
        duration: float,
        tags: Tags,
        *,
        failed: bool = False,
        state: str = "",
    ) -> None:
        self.name = name
        self.kind = kind
        self.trace = trace
        self.started_at = started_at
        self.duration = duration
        self.tags = tags
        """Without those whose value is empty."""
        self.failed = failed
        """As OpenTelemetry sees it, which the tag `error` does not."""
        self.state = state
        """`tracestate` as it came."""


class AttemptNotes:
    """What becomes of one attempt while it is under way."""

    __slots__ = ("cancelled", "ended", "outcome", "protocol", "started", "status", "trace", "upstream")

    def __init__(self, trace: Trace, upstream: str, started: float) -> None:
        self.trace = trace
        self.upstream = upstream
        """`ip:port`."""
        self.started = started
        """Monotonic seconds; so is `ended`, 0 until it has."""
        self.ended = 0.0
        self.status = 0
        self.protocol = ""
        self.outcome: Outcome | None = None
        self.cancelled = False

    def end(self, now: float, *, outcome: Outcome | None = None, cancelled: bool = False) -> None:
        """The first end counts."""
        if not self.ended:
            self.ended = now
            self.outcome = outcome
            self.cancelled = cancelled


class SpanRules:
    """Makes the spans of one proxy."""

    def __init__(self, identity: Identity, node_id: str) -> None:
        self._own = {"node_id": node_id, "zone": identity.locality.partition("/")[2].partition("/")[0]}

    def of_request(
        self,
        ctx: RequestContext,
        trace: Trace,
        tracing: Tracing,
        direction: Direction,
        *,
        route: str,
        grpc_timeout: bytes = b"",
    ) -> Span:
        """The span of a request that has ended.

        `route`: the operation of its route, empty when it has none. `grpc_timeout`: what upstreams were told.
        """
        tags = {**self._own, **_request_tags(ctx, tracing)}
        if "grpc.path" in tags:
            tags["grpc.timeout"] = _text(grpc_timeout or ctx.request.get(b"grpc-timeout"))
            _add_grpc_status(tags, ctx)
        _add_outcome(tags, ctx)
        _add_custom(tags, ctx, tracing)
        inbound = direction is Direction.INBOUND
        kind = SpanKind.SERVER if inbound or tracing.upstream_spans else SpanKind.CLIENT
        failed = _failed(kind, ctx.status, tags.get("grpc.status_code", ""))
        name = _operation(ctx, route, inbound=inbound) or _default_name(ctx, tracing, direction)
        state = _text(ctx.request.notable.get(b"tracestate"))
        return _span(name, kind, trace, ctx.started_at, ctx.response_body_ended - ctx.started, tags, failed, state)

    def of_attempt(self, notes: AttemptNotes, number: int, ctx: RequestContext, tracing: Tracing) -> Span:
        """The span of one attempt; `number` counts retries."""
        outcome = notes.outcome
        tags = {
            "component": "proxy",
            "upstream_cluster": ctx.upstream_cluster,
            "upstream_cluster.name": _text(facts.observed_cluster(ctx)),
            "upstream_address": notes.upstream,
            "peer.address": notes.upstream,
            "http.protocol": notes.protocol or "-",
            "http.status_code": str(notes.status),
            "response_flags": RESPONSE_FLAG[outcome] if outcome is not None else "-",
            "retry.count": str(number) if number else "",
            "canceled": "true" if notes.cancelled else "",
            "error.reason": outcome.value if outcome is not None else "",
        }
        if outcome is None and not notes.cancelled and _is_grpc(ctx):
            _add_grpc_status(tags, ctx)
        grpc_status = tags.get("grpc.status_code", "")
        if notes.status >= 500 or not notes.status or outcome is not None or grpc_status in _GRPC_ERRORS:
            tags["error"] = "true"
        status, ctx.status = ctx.status, 0 if notes.cancelled else notes.status  # what was known when it ended
        _add_custom(tags, ctx, tracing)
        ctx.status = status
        failed = _failed(SpanKind.CLIENT, notes.status, grpc_status)
        name = f"router {_text(facts.observed_cluster(ctx))} egress"
        started_at = ctx.started_at + (notes.started - ctx.started)
        state = _text(ctx.request.notable.get(b"tracestate"))
        return _span(name, SpanKind.CLIENT, notes.trace, started_at, notes.ended - notes.started, tags, failed, state)


def _span(
    name: str, kind: SpanKind, trace: Trace, started_at: float, duration: float, tags: Tags, failed: bool, state: str
) -> Span:
    there = {key: value for key, value in tags.items() if value}
    return Span(name, kind, trace, started_at, duration, there, failed=failed, state=state)


def _text(value: facts.Value) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _or_dash(value: bytes | None) -> str:
    return _text(value) or "-"


# Names


def _operation(ctx: RequestContext, route: str, *, inbound: bool) -> str:
    """A caller's name for what it asks beats the server's; what the server answers beats the caller's route."""
    if inbound:
        return _text(ctx.request.notable.get(_DECORATOR)) or route
    answered = ctx.response.notable.get(_DECORATOR) if ctx.response is not None else None
    return _text(answered) or route


def _default_name(ctx: RequestContext, tracing: Tracing, direction: Direction) -> str:
    host = _text(ctx.request.authority)
    if tracing.export is not None and tracing.export.format.value == "opentelemetry":
        return f"{_DIRECTIONS.get(direction, 'egress')} {host}"
    return host


# Tags


def _request_tags(ctx: RequestContext, tracing: Tracing) -> Mapping[str, str]:
    request = ctx.request
    path = ctx.original_target or request.get(b"x-envoy-original-path") or request.target
    tags = {
        "guid:x-request-id": _text(ctx.request_id),
        "guid:x-client-trace-id": _text(request.notable.get(CLIENT_TRACE_ID)),
        "http.url": _text(request.scheme + b"://" + request.authority + path[: tracing.max_path_length]),
        "http.method": _text(request.method),
        "http.protocol": ctx.protocol,
        "downstream_cluster": _or_dash(request.get(b"x-envoy-downstream-service-cluster")),
        "user_agent": _or_dash(request.get(b"user-agent")),
        "peer.address": ctx.direct_remote_address.rpartition(":")[0].strip("[]"),
        "request_size": str(ctx.bytes_received),
        "response_size": str(ctx.bytes_sent),
        "component": "proxy",
    }
    if _is_grpc(ctx):
        tags |= {
            "grpc.path": _text(request.target),
            "grpc.authority": _text(request.authority),
            "grpc.content_type": _text(request.notable.get(b"content-type")),
        }
    return tags


def _is_grpc(ctx: RequestContext) -> bool:
    return ctx.request.notable.get(b"content-type", b"").startswith(b"application/grpc")


def _failed(kind: SpanKind, status: int, grpc_status: str) -> bool:
    """Whether a span has failed, as OpenTelemetry's conventions have it."""
    if grpc_status:
        return grpc_status != "0" if kind is SpanKind.CLIENT else grpc_status in _GRPC_FAILURES_OF_SERVERS
    return status >= (400 if kind is SpanKind.CLIENT else 500)


def _add_outcome(tags: Tags, ctx: RequestContext) -> None:
    """How it ended."""
    if ctx.upstream_cluster:
        tags["upstream_cluster"] = ctx.upstream_cluster
        tags["upstream_cluster.name"] = _text(facts.observed_cluster(ctx))
    tags["http.status_code"] = str(ctx.status)
    tags["response_flags"] = ",".join(ctx.flags) or "-"
    if ctx.status >= 500 or not ctx.status or tags.get("grpc.status_code") in _GRPC_ERRORS:
        tags["error"] = "true"


def _add_grpc_status(tags: Tags, ctx: RequestContext) -> None:
    """What the server said itself, in trailers or else in headers."""
    trailers = dict(ctx.response_trailers or ())
    headers = dict(ctx.response.headers) if ctx.response is not None else {}
    where = trailers if b"grpc-status" in trailers else headers
    if b"grpc-status" in where:
        tags["grpc.status_code"] = _text(where[b"grpc-status"])
        tags["grpc.message"] = _text(where.get(b"grpc-message"))


def _add_custom(tags: Tags, ctx: RequestContext, tracing: Tracing) -> None:
    for tag in tracing.tags:
        if tag.value is not None:
            value = _text(tag.value(ctx))
            if value:
                tags[tag.name] = value
