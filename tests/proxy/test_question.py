"""A small request of our own, and its answer or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.proxy.question import MAX_ANSWER, Question
from tests.in_process import CLOSE, Upstream, cluster, never, policy, service, until, upstream, worker

HEAD = RequestHead(b"POST", b"/ask", b"x", [(b"content-length", b"4")])


@asynccontextmanager
async def asked(folder: Path, *documents: str) -> AsyncIterator[tuple[App, Upstream]]:
    async with upstream() as there, worker(folder, service("x", there.port), *documents) as app:
        yield app, there


class Asker:
    """Asks, and remembers what came of it."""

    def __init__(self, app: App, timeout: float = 0.0, head: RequestHead = HEAD) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.question = Question(head, b"body", self._answered)
        self.question.ask(app.env, cluster(app, "x"), timeout, None)

    def _answered(self, head: ResponseHead | None, body: bytes) -> None:
        self.answers.append((0 if head is None else head.status, body))

    async def answer(self) -> tuple[int, bytes]:
        await until(lambda: bool(self.answers))
        await asyncio.sleep(0.01)
        (found,) = self.answers
        return found


async def test_it_is_asked_and_answered(tmp_path: Path) -> None:
    async with asked(tmp_path) as (app, there):
        there.answers = [b"HTTP/1.1 201 -\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"]
        assert await Asker(app).answer() == (201, b"abc")
        assert await Asker(app).answer() == (200, b"ok")
        assert there.heads[0] == b"POST /ask HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"
        assert there.bodies == [b"body", b"body"]
        assert there.connections == 1
        stats = cluster(app, "x").stats
        assert (stats.codes, stats.upstream_rq_active) == ({201: 1, 200: 1}, 0)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (CLOSE, 503),
        (b"nonsense\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", 200),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MAX_ANSWER + 1), 200),
    ],
)
async def test_no_answer_is_told_once(tmp_path: Path, answer: bytes, status: int) -> None:
    async with asked(tmp_path) as (app, there):
        there.answers = [answer]
        asker = Asker(app)
        await until(lambda: bool(there.heads))
        if b"half" in answer:
            await asyncio.sleep(0.05)
            there.hang_up()
        assert await asker.answer() == (0, b"")
        stats = cluster(app, "x").stats
        assert (stats.codes, stats.upstream_rq_active) == ({status: 1}, 0)


async def test_a_kept_connection_that_was_closed_gets_one_more_try(tmp_path: Path) -> None:
    async with asked(tmp_path) as (app, there):
        await Asker(app).answer()
        there.answers = [CLOSE]
        assert await Asker(app).answer() == (200, b"ok")
        there.answers = [CLOSE, CLOSE]
        assert await Asker(app).answer() == (0, b"")
        assert there.connections == 3


async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with asked(tmp_path) as (app, there):
        there.answers = [never]
        assert await Asker(app, 0.05).answer() == (0, b"")
        stats = cluster(app, "x").stats
        assert (stats.upstream_rq_timeout, stats.codes, stats.upstream_rq_active) == (1, {504: 1}, 0)


async def test_nobody_there(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1)) as app:
        assert await Asker(app).answer() == (0, b"")
        assert cluster(app, "x").stats.codes == {503: 1}


async def test_no_host(tmp_path: Path) -> None:
    text = service("x", 1).partition("  endpoints:")[0]
    async with worker(tmp_path, text) as app:
        asker = Asker(app)
        assert asker.answers == [(0, b"")]  # at once
        assert cluster(app, "x").stats.upstream_cx_none_healthy == 1


async def test_too_many(tmp_path: Path) -> None:
    ceiling = policy("x", "{connectionPool: {http: {http2MaxRequests: 1}}}")
    async with asked(tmp_path, ceiling) as (app, there):
        await Asker(app).answer()
        there.answers = [never]
        first, second = Asker(app), Asker(app)
        await until(lambda: bool(second.answers))
        assert (first.answers, second.answers) == ([], [(0, b"")])
        first.question.cancel()


async def test_a_cancelled_one_gets_no_answer(tmp_path: Path) -> None:
    async with asked(tmp_path) as (app, there):
        waiting = Asker(app)
        waiting.question.cancel()
        there.answers = [never]
        asking = Asker(app)
        await until(lambda: len(there.heads) == 1)
        asking.question.cancel()
        asking.question.cancel()
        stats = cluster(app, "x").stats
        await until(lambda: stats.upstream_rq_active == 0)
        assert waiting.answers == asking.answers == []


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with asked(tmp_path) as (app, there):
        there.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]
        head = RequestHead(b"HEAD", b"/", b"x", [(b"content-length", b"4")])
        assert await Asker(app, head=head).answer() == (200, b"")
