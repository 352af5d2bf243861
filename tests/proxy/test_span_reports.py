"""Reports of spans: when they leave, what waits, and what becomes of them when the collector is down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.core.trace import Trace
from pyproxy.proxy import span_reports
from pyproxy.proxy.environment import Environment
from pyproxy.proxy.span_reports import SpanReports
from pyproxy.runtime.counters import ZipkinStats
from pyproxy.snapshot.model import SpanExport, SpanFormat
from pyproxy.telemetry.spans import Span, SpanKind

EXPORT = SpanExport(SpanFormat.ZIPKIN, "collector", "spans.test", "/api", headers=((b"x-key", b"v"),))
SPAN = Span("s", SpanKind.CLIENT, Trace(b"1" * 16, b"1" * 16, b"", True), 0.0, 0.0, {})


class Numbers:
    """A format that is easy to read: one letter for each span."""

    def encode(self, span: Span) -> bytes:
        return span.name.encode()

    def report(self, spans: list[bytes]) -> bytes:
        return b"".join(spans)


@dataclass
class Asked:
    """A question that nobody answers until the test does."""

    head: RequestHead
    body: bytes
    answered: Callable[[ResponseHead | None, bytes], None]
    timeout: float = 0.0
    cancelled: bool = False

    def ask(self, _env: object, _cluster: object, timeout: float, _chance: object) -> None:
        self.timeout = timeout

    def cancel(self) -> None:
        self.cancelled = True

    def answer(self, status: int) -> None:
        self.answered(ResponseHead(status, []) if status else None, b"")


@dataclass
class World:
    """The way to a collector, and what it was asked."""

    reports: SpanReports
    stats: ZipkinStats
    clusters: dict[str, object]
    asked: list[Asked] = field(default_factory=list)

    def add(self, text: str = "s") -> None:
        self.reports.add(Span(text, SPAN.kind, SPAN.trace, 0.0, 0.0, {}))

    async def pause(self, seconds: float = 0.05) -> None:
        await asyncio.sleep(seconds)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(span_reports, "INTERVAL", 0.02)
    monkeypatch.setattr(span_reports, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(span_reports, "BATCH", 3)
    clusters: dict[str, object] = {"collector": object()}
    serving = SimpleNamespace(clusters=clusters)
    env: Any = SimpleNamespace(live=SimpleNamespace(serving=serving), rng=random.Random(1))
    stats = ZipkinStats()
    made = World(SpanReports(cast(Environment, env), EXPORT, Numbers(), stats), stats, clusters)

    def question(head: RequestHead, body: bytes, answered: Callable[[ResponseHead | None, bytes], None]) -> Asked:
        made.asked.append(Asked(head, body, answered))
        return made.asked[-1]

    monkeypatch.setattr(span_reports, "Question", question)
    return made


async def test_a_span_waits_a_moment_for_others(world: World) -> None:
    world.add("a")
    world.add("b")
    assert world.asked == []
    await world.pause()
    (asked,) = world.asked
    assert (asked.body, asked.timeout) == (b"ab", 5.0)
    head = asked.head
    assert (head.method, head.target, head.authority) == (b"POST", b"/api", b"spans.test")
    assert head.headers == [(b"content-type", b"application/json"), (b"content-length", b"2"), (b"x-key", b"v")]
    asked.answer(202)
    assert (world.stats.spans_sent, world.stats.reports_sent, world.stats.timer_flushed) == (2, 1, 1)
    await world.reports.close(0)


async def test_a_full_batch_leaves_at_once_and_what_came_meanwhile_follows(world: World) -> None:
    for letter in "abcdefg":
        world.add(letter)
    assert [asked.body for asked in world.asked] == [b"abc"]
    world.asked[0].answer(200)
    await asyncio.sleep(0)
    assert [asked.body for asked in world.asked] == [b"abc", b"def"]
    world.asked[1].answer(200)
    await world.pause()
    assert world.asked[2].body == b"g"
    world.asked[2].answer(200)
    assert (world.stats.spans_sent, world.stats.spans_dropped) == (7, 0)


async def test_what_does_not_fit_is_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_reports, "MAX_WAITING", 5)
    for _ in range(8):
        world.add()
    assert world.stats.spans_dropped == 3
    world.asked[0].answer(200)
    world.add()
    assert world.stats.spans_dropped == 3
    await world.reports.close(0)


@pytest.mark.parametrize("status", [0, 429, 503])
async def test_a_collector_that_is_down_is_asked_again_with_the_same(world: World, status: int) -> None:
    for letter in "abc":
        world.add(letter)
    world.asked[0].answer(status)
    world.add("d")
    assert len(world.asked) == 1
    await world.pause(0.1)
    assert [asked.body for asked in world.asked] == [b"abc", b"abc"]
    world.asked[1].answer(200)
    await world.pause()
    assert world.asked[2].body == b"d"
    failed = world.stats.reports_failed + world.stats.reports_dropped
    assert (failed, world.stats.spans_sent, world.stats.spans_dropped) == (1, 3, 0)
    await world.reports.close(0)


async def test_pauses_grow(world: World) -> None:
    world.add()
    pauses = []
    for _ in range(4):
        began = len(world.asked)
        waited = asyncio.get_running_loop().time()
        while len(world.asked) == began:
            await asyncio.sleep(0.001)
        pauses.append(asyncio.get_running_loop().time() - waited)
        world.asked[-1].answer(0)
    assert pauses[3] > pauses[1]
    await world.reports.close(0)


async def test_what_the_collector_does_not_take_is_not_sent_again(world: World) -> None:
    for letter in "abcd":
        world.add(letter)
    world.asked[0].answer(400)
    await world.pause()
    assert [asked.body for asked in world.asked] == [b"abc", b"d"]
    assert (world.stats.reports_dropped, world.stats.spans_dropped) == (1, 3)
    await world.reports.close(0)


async def test_without_a_cluster_there_is_nobody_to_ask(world: World) -> None:
    world.clusters.clear()
    for _ in range(3):
        world.add()
    assert (world.asked, world.stats.reports_skipped_no_cluster, world.stats.spans_dropped) == ([], 1, 3)


async def test_what_is_left_is_sent_at_the_end_or_dropped(world: World) -> None:
    world.add("a")
    closing = asyncio.ensure_future(world.reports.close(1.0))
    await asyncio.sleep(0)
    world.asked[0].answer(200)
    await closing
    world.add("b")
    await world.reports.close(0.02)
    assert world.asked[1].cancelled
    assert (world.stats.spans_sent, world.stats.spans_dropped) == (1, 1)
