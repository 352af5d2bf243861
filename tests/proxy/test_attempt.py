"""One try: what it sends, how long it may take, what it gives back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.in_process import (
    cluster,
    connected,
    get,
    header,
    never,
    policy,
    rules,
    service,
    status,
    until,
    upstream,
    worker,
)


async def test_a_try_that_takes_too_long_is_given_up_and_the_next_made(tmp_path: Path) -> None:
    route = rules(
        "x",
        "{retries: {attempts: 1, perTryTimeout: 50ms, retryOn: 5xx, backoff: 1ms}, route: [{destination: {host: x}}]}",
    )
    async with upstream() as there, worker(tmp_path, service("x", there.port), route) as app, connected(app) as client:
        there.answers = [never]
        assert status(await client.ask(get())) == 200
        assert header(there.heads[0], b"x-envoy-expected-rq-timeout-ms") == b"50"
        stats = cluster(app, "x").stats
        assert stats.upstream_rq_per_try_timeout == 1
        there.answers = [never, never]
        response = await client.ask(get())
        assert (status(response), response.partition(b"\r\n\r\n")[2]) == (504, b"upstream request timeout")
        await until(lambda: stats.upstream_rq_active == 0)


@pytest.mark.parametrize("external", [False, True])
async def test_who_we_are_is_told_within_the_mesh_alone(tmp_path: Path, external: bool) -> None:
    documents = service("x", 0, external=external)
    async with upstream() as there:
        documents = service("x", there.port, external=external)
        async with worker(tmp_path, documents) as app, connected(app) as client:
            await client.ask(get())
        assert (header(there.heads[0], b"x-envoy-peer-metadata") is None) is external


async def test_a_body_of_unknown_length_is_chunked_upstream_too(tmp_path: Path) -> None:
    head = get("/", "x", "transfer-encoding: chunked", method="POST")
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        assert status(await client.ask(head + b"3\r\nabc\r\n0\r\n\r\n")) == 200
        assert header(there.heads[0], b"transfer-encoding") == b"chunked"
        assert header(there.heads[0], b"content-length") is None


async def test_an_outlier_is_ejected_by_what_came_of_its_attempts(tmp_path: Path) -> None:
    rule = policy("x", "{outlierDetection: {consecutive5xxErrors: 2, maxEjectionPercent: 100}}")
    failure = b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app, connected(app) as client:
        there.answers = [failure, failure]
        assert [status(await client.ask(get())) for _ in range(3)] == [500, 500, 503]
        assert cluster(app, "x").stats.membership_healthy == 0
