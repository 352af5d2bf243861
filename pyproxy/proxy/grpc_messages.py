"""Counts the messages of a gRPC call as they pass, without keeping any. Source: Istio stats filter, gRPC on HTTP/2."""

from __future__ import annotations

from typing import Final

_PREFIX: Final = 5
"""Bytes before each message: whether it is compressed, and its length."""


class MessageCounter:
    """The messages in one direction."""

    __slots__ = ("_partial", "_rest", "count")

    def __init__(self) -> None:
        self.count = 0
        """Messages that began."""
        self._rest = 0
        """Bytes of the last one that are still to come."""
        self._partial = b""
        """The beginning of a prefix."""

    def feed(self, chunk: bytes) -> None:
        """More of the body."""
        size = len(chunk)
        if self._rest >= size:
            self._rest -= size
            return
        position = self._rest
        if self._partial:
            chunk = self._partial + chunk
            self._partial = b""
            size = len(chunk)
        while position + _PREFIX <= size:
            self.count += 1
            position += _PREFIX + int.from_bytes(chunk[position + 1 : position + _PREFIX], "big")
        self._rest = max(position - size, 0)
        if position < size:
            self._partial = chunk[position:]


class Messages:
    """Both directions of one call."""

    __slots__ = ("_told_requests", "_told_responses", "requests", "responses", "told_at")

    def __init__(self, now: float) -> None:
        self.requests = MessageCounter()
        self.responses = MessageCounter()
        self.told_at = now
        """When the metrics last heard of them. Monotonic seconds."""
        self._told_requests = 0
        self._told_responses = 0

    def untold(self, now: float) -> tuple[int, int]:
        """Requests and responses that the metrics have not heard of; now they have."""
        requests, responses = self.requests.count, self.responses.count
        found = requests - self._told_requests, responses - self._told_responses
        self._told_requests, self._told_responses, self.told_at = requests, responses, now
        return found
