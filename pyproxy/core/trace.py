"""Where a request stands in a distributed trace: the identifiers that go out with it and into logs."""

from __future__ import annotations


class Trace:
    """One span's place. Identifiers are lower-case hexadecimal text, as in the headers."""

    __slots__ = ("parent_id", "sampled", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, parent_id: bytes, sampled: bool) -> None:
        self.trace_id = trace_id
        """16 or 32 digits; empty when there is no span (malformed incoming identifiers, tracing off)."""
        self.span_id = span_id
        """16 digits."""
        self.parent_id = parent_id
        """16 digits, or empty for a root."""
        self.sampled = sampled
