"""Sends spans to a collector: through the cluster of its service, in batches, and never in traffic's way.

What waits is bounded; what does not fit is counted as dropped. A collector that is down is asked less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.proxy.environment import Environment
from pyproxy.proxy.question import Question
from pyproxy.runtime.counters import TracerStats
from pyproxy.snapshot.model import SpanExport
from pyproxy.telemetry.spans import Span

BATCH: Final = 200
"""Spans of one report."""
INTERVAL: Final = 1.0
"""Seconds that a span waits for others."""
MAX_WAITING: Final = 2 * 1024 * 1024
"""Bytes of spans that may wait."""
FIRST_PAUSE: Final = 1.0
"""Seconds after a report that failed; doubles with each that follows, up to LONGEST_PAUSE."""
LONGEST_PAUSE: Final = 30.0
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_log: Final = logging.getLogger("pyproxy.tracing")


class Encoder(Protocol):
    """A format of spans."""

    def encode(self, span: Span) -> bytes: ...
    def report(self, spans: list[bytes]) -> bytes: ...


class SpanReports:
    """The way to one collector."""

    def __init__(self, env: Environment, export: SpanExport, encoder: Encoder, stats: TracerStats) -> None:
        self._env = env
        self._export = export
        self._encoder = encoder
        self._stats = stats
        self._waiting: list[bytes] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._question: Question | None = None
        self._failures = 0

    def add(self, span: Span) -> None:
        """Send it some time soon; drop it when too many wait."""
        encoded = self._encoder.encode(span)
        if self._size + len(encoded) > MAX_WAITING:
            self._stats.spans_dropped += 1
            return
        self._waiting.append(encoded)
        self._size += len(encoded)
        if self._question is not None or self._failures:
            return  # what is under way, or the pause, ends first
        if len(self._waiting) >= BATCH:
            self._send()
        elif self._timer is None:
            self._start_timer(INTERVAL)

    async def close(self, timeout: float) -> None:
        """Send what is left, if it can be had within so many seconds; drop the rest."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        self._failures = 0
        if self._question is None and self._waiting:
            self._send()
        while (self._question is not None or (self._waiting and not self._failures)) and loop.time() < deadline:
            await asyncio.sleep(0.01)
        self._stop_timer()
        if self._question is not None:
            self._question.cancel()
            self._question = None
        self._stats.spans_dropped += len(self._waiting)
        self._waiting.clear()
        self._size = 0

    # For itself

    def _start_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._stats.timer_flushed += 1
        self._send()

    def _send(self) -> None:
        self._stop_timer()
        cluster = self._env.live.serving.clusters.get(self._export.cluster)
        if cluster is None:
            self._stats.reports_skipped_no_cluster += 1
            self._drop(len(self._waiting), f"there is no cluster {self._export.cluster}")
            return
        count = min(len(self._waiting), BATCH)
        body = self._encoder.report(self._waiting[:count])
        answered = False

        def on_answer(head: ResponseHead | None, _body: bytes) -> None:
            nonlocal answered
            answered = True
            self._on_answer(head, count)

        question = Question(self._head(len(body)), body, on_answer)
        question.ask(self._env, cluster, self._export.timeout, None)
        if not answered:
            self._question = question

    def _head(self, size: int) -> RequestHead:
        export = self._export
        length = b"%d" % size
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        given = {name for name, _ in export.headers}
        headers = [line for line in headers if line[0] not in given]
        headers += export.headers
        return RequestHead(
            b"POST", export.path.encode(), export.host.encode(), headers, notable={b"content-length": length}
        )

    def _on_answer(self, head: ResponseHead | None, count: int) -> None:
        self._question = None
        stats = self._stats
        if head is not None and head.status < 300:
            stats.reports_sent += 1
            stats.spans_sent += count
            self._remove(count)
            if self._failures:
                _log.info("spans go to %s again", self._export.cluster)
            self._failures = 0
            self._go_on()
            return
        reason = f"status {head.status}" if head is not None else "no answer"
        if head is None:
            stats.reports_failed += 1
        else:
            stats.reports_dropped += 1
        if head is not None and head.status not in _TRY_AGAIN:
            self._drop(count, reason)
            self._go_on()
            return
        if not self._failures:
            _log.warning("no spans go to %s: %s; asked again, less and less often", self._export.cluster, reason)
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 10)
        self._start_timer(pause * (0.75 + self._env.rng.random() / 2))

    def _go_on(self) -> None:
        if len(self._waiting) >= BATCH:
            asyncio.get_running_loop().call_soon(self._send_more)
        elif self._waiting and self._timer is None:
            self._start_timer(INTERVAL)

    def _send_more(self) -> None:
        if self._question is None and self._waiting:
            self._send()

    def _drop(self, count: int, reason: str) -> None:
        self._stats.spans_dropped += count
        self._remove(count)
        if not self._failures:
            _log.warning("%d spans are lost: %s", count, reason)

    def _remove(self, count: int) -> None:
        self._size -= sum(map(len, self._waiting[:count]))
        del self._waiting[:count]
