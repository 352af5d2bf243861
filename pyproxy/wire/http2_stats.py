"""What Envoy's HTTP/2 codec counts, by its names: of all clients' connections, or of a cluster's.

Source: Envoy http/http2/codec_stats.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, eq=False)
class Http2Stats:
    """`http2.`: counters."""

    goaway_sent: int = 0
    header_list_size_too_large: int = 0
    header_overflow: int = 0
    """Heads and trailers of too many fields."""
    inbound_empty_frames_flood: int = 0
    inbound_priority_frames_flood: int = 0
    inbound_window_update_frames_flood: int = 0
    keepalive_timeout: int = 0
    """PINGs without an answer."""
    outbound_control_flood: int = 0
    rx_messaging_error: int = 0
    """Heads and trailers that are none."""
    rx_reset: int = 0
    trailers: int = 0
    """Of requests: those of responses Envoy does not count."""
    tx_flush_timeout: int = 0
    """Responses that waited for the peer's windows for too long."""
    tx_reset: int = 0

    def count_refused(self, details: str) -> None:
        """What was wrong with frames, by the details that the log gives."""
        name = _BY_DETAILS.get(details)
        if name is not None:
            setattr(self, name, getattr(self, name) + 1)


@dataclass(slots=True, eq=False)
class ClusterHttp2Stats(Http2Stats):
    """`cluster.<name>.http2.`"""


_BY_DETAILS: Final = {
    "http2.header_list_size_too_large": "header_list_size_too_large",
    "http2.too_many_headers": "header_overflow",
    "http2.inbound_empty_frames_flood": "inbound_empty_frames_flood",
    "http2.inbound_priority_frames_flood": "inbound_priority_frames_flood",
    "http2.inbound_window_update_frames_flood": "inbound_window_update_frames_flood",
    "http2.outbound_frames_flood": "outbound_control_flood",
    "http2.invalid.header.field": "rx_messaging_error",
    "http2.violation.of.messaging.rule": "rx_messaging_error",
}
