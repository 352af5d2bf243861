"""Trace context in, a child span's context out: B3 in many headers or one, W3C traceparent, as Envoy's tracers do it.

Source: Envoy source/extensions/tracers/zipkin/{span_context_extractor,zipkin_tracer_impl,tracer}.cc and
opentelemetry/span_context_extractor.cc; with Istio's shared_span_context off a listener of either direction makes a
child. Compared with Envoy 1.40 in tests/differential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Final

from pyproxy.core.http import Headers
from pyproxy.core.trace import Trace
from pyproxy.snapshot.model import Propagation, Tracing
from pyproxy.telemetry.request_id import CLIENT_TRACE_ID, REQUEST_ID

__all__ = ["NO_TRACE", "TRACE_HEADERS", "Trace", "continue_trace", "told_of_child"]

_B3: Final = b"b3"
_TRACE_ID, _SPAN_ID, _PARENT_ID, _SAMPLED = b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled"
_TRACEPARENT, _TRACESTATE = b"traceparent", b"tracestate"
TRACE_HEADERS: Final = frozenset(
    {_B3, _TRACE_ID, _SPAN_ID, _PARENT_ID, _SAMPLED, _TRACEPARENT, _TRACESTATE, REQUEST_ID, CLIENT_TRACE_ID}
)
"""What to look for in a request: the first value of each goes into `known`."""
_CONTEXT: Final = TRACE_HEADERS - {REQUEST_ID, CLIENT_TRACE_ID}
NO_TRACE: Final = Trace(b"", b"", b"", False)
"""Nothing is traced and no header was touched."""

_ID: Final = re.compile(rb"0*[0-9a-f]{1,16}", re.IGNORECASE)
_B3_SINGLE: Final = re.compile(rb"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?", re.IGNORECASE)
_W3C: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.IGNORECASE)
_ZEROS: Final = b"0" * 32
_LOWER_HEX: Final = b"0123456789abcdef"

_ONE: Final = frozenset({_B3})
_ROOT: Final = frozenset({_TRACE_ID, _SPAN_ID, _SAMPLED})
_CHILD: Final = _ROOT | {_PARENT_ID}
_PARENT_AND_STATE: Final = frozenset({_TRACEPARENT, _TRACESTATE})


_PROPAGATION_W3C: Final = Propagation.W3C
_PROPAGATION_B3_AND_W3C: Final = Propagation.B3_AND_W3C


def continue_trace(
    headers: Headers, known: Mapping[bytes, bytes], tracing: Tracing, rng: Random, traced: bool
) -> Trace:
    """Make this hop's span context and write it into `headers` in place, at the end.

    `known`: first values of TRACE_HEADERS as received, among others. `traced`: what `ensure_request_id` decided; an
    incoming sampling flag wins over it. Malformed identifiers leave every header as it is and give NO_TRACE.
    """
    if not tracing.enabled:
        return NO_TRACE
    if tracing.propagation is _PROPAGATION_W3C:
        return _continue_w3c(headers, known, rng, traced)
    if _CONTEXT.isdisjoint(known):
        return _start_b3(headers, tracing, rng, traced)
    context = _extract_b3(known, traced, w3c=tracing.propagation is _PROPAGATION_B3_AND_W3C)
    if context is None:
        return NO_TRACE
    trace_id, parent_id, sampled = context
    if not trace_id:
        trace_id, span_id = _new_ids(tracing, rng)
    else:
        span_id = rng.getrandbits(64).to_bytes(8, "big").hex().encode()
    trace = Trace(trace_id, span_id, parent_id, sampled)
    _write_b3(headers, trace, tracing, single=_B3 in known)
    return trace


def told_of_child(
    headers: Headers, known: Mapping[bytes, bytes], parent: Trace, tracing: Tracing, rng: Random
) -> Trace:
    """Make a span context under `parent`, and write it into `headers` in place of what `continue_trace` wrote."""
    span_id = rng.getrandbits(64).to_bytes(8, "big").hex().encode()
    trace = Trace(parent.trace_id, span_id, parent.span_id, parent.sampled)
    if tracing.propagation is _PROPAGATION_W3C:
        headers[:] = [header for header in headers if header[0] != _TRACEPARENT]
        headers.append((_TRACEPARENT, _traceparent(trace)))
    else:
        _write_b3(headers, trace, tracing, single=_B3 in known)
    return trace


# B3


def _start_b3(headers: Headers, tracing: Tracing, rng: Random, sampled: bool) -> Trace:
    """The common case, kept short: nothing came in, so there is nothing to replace."""
    trace_id, span_id = _new_ids(tracing, rng)
    headers += ((_TRACE_ID, trace_id), (_SPAN_ID, span_id), (_SAMPLED, b"1" if sampled else b"0"))
    trace = Trace(trace_id, span_id, b"", sampled)
    if tracing.propagation is _PROPAGATION_B3_AND_W3C:
        headers.append((_TRACEPARENT, _traceparent(trace)))
    return trace


def _new_ids(tracing: Tracing, rng: Random) -> tuple[bytes, bytes]:
    """A root's trace id and span id: the span id is the trace id's low half."""
    digits = rng.getrandbits(128).to_bytes(16, "big").hex().encode()
    span_id = digits[16:]
    return (digits if tracing.trace_id_128bit else span_id), span_id


def _extract_b3(known: Mapping[bytes, bytes], traced: bool, *, w3c: bool) -> tuple[bytes, bytes, bool] | None:
    """(trace id, incoming span id, sampled); empty ids for a new root, None for malformed ones."""
    single = known.get(_B3)
    if single is not None:
        return _extract_single(single, traced)
    flag = known.get(_SAMPLED)
    sampled = traced if flag is None else flag in (b"1", b"true")
    trace_id, span_id = known.get(_TRACE_ID), known.get(_SPAN_ID)
    other = _parse_traceparent(known.get(_TRACEPARENT, b"")) if w3c else None
    if trace_id is not None and span_id is not None:
        if flag is None and other is not None:
            sampled = other[2]
        return _extract_multi(trace_id, span_id, known.get(_PARENT_ID), sampled)
    if other is not None:
        return other[0], other[1], other[2] or (flag is not None and sampled)
    return b"", b"", sampled


def _extract_single(value: bytes, traced: bool) -> tuple[bytes, bytes, bool] | None:
    if value in (b"0", b"1", b"d"):
        return b"", b"", value != b"0"
    found = _B3_SINGLE.fullmatch(value)
    if found is None:
        return None
    trace_id, span_id, flag = found.groups()
    return _shorten(trace_id.lower()), span_id.lower(), traced if flag is None else flag != b"0"


def _extract_multi(
    trace_id: bytes, span_id: bytes, parent_id: bytes | None, sampled: bool
) -> tuple[bytes, bytes, bool] | None:
    if parent_id and not _ID.fullmatch(parent_id):
        return None
    if len(span_id) == 16 and len(trace_id) in (16, 32) and not (trace_id + span_id).translate(None, _LOWER_HEX):
        return _shorten(trace_id), span_id, sampled  # as everyone writes them; three regexes cost a microsecond
    if not _ID.fullmatch(span_id):
        return None
    if len(trace_id) == 32:
        if not (_ID.fullmatch(trace_id[:16]) and _ID.fullmatch(trace_id[16:])):
            return None
        return _shorten(trace_id.lower()), _sixteen(span_id), sampled
    return (_sixteen(trace_id), _sixteen(span_id), sampled) if _ID.fullmatch(trace_id) else None


def _sixteen(identifier: bytes) -> bytes:
    return identifier.lower()[-16:].rjust(16, b"0")


def _shorten(trace_id: bytes) -> bytes:
    """Envoy writes 16 digits when the upper half is zero."""
    return trace_id[16:] if len(trace_id) == 32 and trace_id.startswith(_ZEROS[:16]) else trace_id


def _write_b3(headers: Headers, trace: Trace, tracing: Tracing, *, single: bool) -> None:
    """Every line of these names goes, the new ones stand at the end: the order that Envoy's `set` leaves."""
    sampled = b"1" if trace.sampled else b"0"
    parent_id = trace.parent_id
    if single:
        ids = trace.trace_id + b"-" + trace.span_id + b"-" + sampled
        new: Headers = [(_B3, ids + b"-" + parent_id if parent_id else ids)]
        names = _ONE
    elif parent_id:
        new = [(_TRACE_ID, trace.trace_id), (_SPAN_ID, trace.span_id), (_PARENT_ID, parent_id), (_SAMPLED, sampled)]
        names = _CHILD
    else:
        new = [(_TRACE_ID, trace.trace_id), (_SPAN_ID, trace.span_id), (_SAMPLED, sampled)]
        names = _ROOT
    if tracing.propagation is _PROPAGATION_B3_AND_W3C:
        new.append((_TRACEPARENT, _traceparent(trace)))
        names = names | {_TRACEPARENT}
    headers[:] = [header for header in headers if header[0] not in names]
    headers += new


# W3C


def _continue_w3c(headers: Headers, known: Mapping[bytes, bytes], rng: Random, traced: bool) -> Trace:
    """OpenTelemetry: the incoming flag and our own decision must both say yes."""
    span_id = rng.getrandbits(64).to_bytes(8, "big").hex().encode()
    incoming = known.get(_TRACEPARENT)
    if incoming is None:
        trace = Trace(rng.getrandbits(128).to_bytes(16, "big").hex().encode(), span_id, b"", traced)
        state = b""
    else:
        found = _parse_traceparent(incoming)
        if found is None:
            return NO_TRACE
        trace = Trace(found[0], span_id, found[1], found[2] and traced)
        state = known.get(_TRACESTATE, b"")
    if incoming is not None or _TRACESTATE in known:
        headers[:] = [header for header in headers if header[0] not in _PARENT_AND_STATE]
    headers += ((_TRACEPARENT, _traceparent(trace)), (_TRACESTATE, state))
    return trace


def _parse_traceparent(value: bytes) -> tuple[bytes, bytes, bool] | None:
    """(trace id, parent id, sampled) of a 55-byte traceparent; ids of zeros are malformed, any version is taken."""
    found = _W3C.fullmatch(value)
    if found is None:
        return None
    trace_id, parent_id, flags = found.groups()
    if trace_id == _ZEROS or parent_id == _ZEROS[:16]:
        return None
    return trace_id.lower(), parent_id.lower(), bool(int(flags, 16) & 1)


def _traceparent(trace: Trace) -> bytes:
    return b"00-%b-%b-%b" % (trace.trace_id.rjust(32, b"0"), trace.span_id, b"01" if trace.sampled else b"00")
