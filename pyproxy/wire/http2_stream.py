"""What is known of one HTTP/2 stream while all its frames are common ones."""

from __future__ import annotations

from typing import Final

STREAM_WINDOW: Final = 16 * 1024 * 1024
"""Bytes of one stream that a peer may send before we have passed them on (Envoy initial_stream_window_size)."""


class Stream:
    """States of RFC 9113 section 5.1, windows of 5.2, lengths of 8.1.1. A stream that is closed is not kept."""

    def __init__(self, room: int, *, client: bool) -> None:
        self.client = client
        """We asked."""
        self.head_sent = False
        self.sent_end = False
        self.head_received = False
        self.received_end = False
        self.method = b""
        """Of a request that we sent."""
        self.room = room
        """Bytes that we may send."""
        self.given = STREAM_WINDOW
        """Bytes that the peer may send."""
        self.passed = 0
        """Bytes that the peer may send again, and has not been told of."""
        self.announced = -1
        """The content-length of what comes; -1: unknown."""
        self.received = 0
