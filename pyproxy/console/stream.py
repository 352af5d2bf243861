"""Server-Sent Events for the page: everything once, then what changed; a reader that is too slow begins anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

MAX_READERS = 32
MAX_WAITING = 20
"""Messages that a reader may be behind, ten seconds' worth."""


class Stream:
    """The readers of one console."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes | None]] = set()

    @property
    def readers(self) -> int:
        return len(self._readers)

    def join(self, everything: Mapping[str, object]) -> asyncio.Queue[bytes | None] | None:
        """A queue of messages that begins with everything; None in it: the end. None: too many read already."""
        if len(self._readers) >= MAX_READERS:
            return None
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        queue.put_nowait(message("full", everything))
        self._readers.add(queue)
        return queue

    def leave(self, queue: asyncio.Queue[bytes | None]) -> None:
        """This reader is gone."""
        self._readers.discard(queue)

    def send(self, event: str, value: Mapping[str, object]) -> None:
        """To every reader. One whose queue is full is let go; a browser comes again by itself and gets everything."""
        if not self._readers:
            return
        content = message(event, value)
        for queue in list(self._readers):
            try:
                queue.put_nowait(content)
            except asyncio.QueueFull:
                self._end(queue)

    def close(self) -> None:
        """The end for every reader."""
        for queue in list(self._readers):
            self._end(queue)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._readers.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


def message(event: str, value: Mapping[str, object]) -> bytes:
    """One event. Source: HTML Standard, section 9.2."""
    return f"event: {event}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
