"""Again or not: which host, how often, when to give up."""

from __future__ import annotations

from pathlib import Path

from tests.in_process import CLOSE, cluster, connected, get, header, rules, service, status, until, upstream, worker

UNAVAILABLE = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
RETRIES = rules("x", "{retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}, route: [{destination: {host: x}}]}")


async def test_a_failure_that_the_policy_names_is_tried_again(tmp_path: Path) -> None:
    async with (
        upstream() as there,
        worker(tmp_path, service("x", there.port), RETRIES) as app,
        connected(app) as client,
    ):
        there.answers = [UNAVAILABLE, UNAVAILABLE]
        assert status(await client.ask(get())) == 200
        assert [header(head, b"x-envoy-attempt-count") for head in there.heads] == [b"1", b"2", b"3"]
        stats = cluster(app, "x").stats
        assert (stats.upstream_rq_retry, stats.upstream_rq_retry_success) == (2, 1)
        assert stats.retry_codes == {503: 2}


async def test_the_last_failure_is_the_clients(tmp_path: Path) -> None:
    async with (
        upstream() as there,
        worker(tmp_path, service("x", there.port), RETRIES) as app,
        connected(app) as client,
    ):
        there.answers = [UNAVAILABLE] * 4
        assert status(await client.ask(get())) == 503
        assert len(there.heads) == 3
        assert cluster(app, "x").stats.upstream_rq_retry_limit_exceeded == 1


async def test_without_a_condition_no_status_is_tried_again(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [UNAVAILABLE]
        assert status(await client.ask(get())) == 503
        assert len(there.heads) == 1


async def test_a_body_goes_with_every_attempt(tmp_path: Path) -> None:
    async with (
        upstream() as there,
        worker(tmp_path, service("x", there.port), RETRIES) as app,
        connected(app) as client,
    ):
        there.answers = [UNAVAILABLE]
        assert status(await client.ask(get("/", "x", "content-length: 4", method="POST") + b"body")) == 200
        assert there.bodies == [b"body", b"body"]


async def test_a_kept_connection_that_was_just_closed_costs_no_retry(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        assert status(await client.ask(get())) == 200
        there.answers = [CLOSE]
        assert status(await client.ask(get())) == 200
        assert [header(head, b"x-envoy-attempt-count") for head in there.heads] == [b"1", b"1", b"1"]
        assert (there.connections, cluster(app, "x").stats.upstream_rq_retry) == (2, 0)


async def test_but_a_post_might_have_been_done_already(tmp_path: Path) -> None:
    post = get("/", "x", "content-length: 0", method="POST")
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        assert status(await client.ask(post)) == 200
        there.answers = [CLOSE]
        assert status(await client.ask(post)) == 503
        assert len(there.heads) == 2


async def test_no_endpoint_is_503(tmp_path: Path) -> None:
    nobody = service("x", 1).replace("endpoints: [{address: 127.0.0.1, ports: {main: 1}}]", "endpoints: []")
    async with worker(tmp_path, nobody) as app, connected(app) as client:
        response = await client.ask(get())
        assert (status(response), response.partition(b"\r\n\r\n")[2]) == (503, b"no healthy upstream")
        assert cluster(app, "x").stats.upstream_cx_none_healthy == 1


async def test_an_unknown_host_goes_where_its_name_says_but_never_back_to_us(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", 1)) as app, connected(app) as client:
        assert status(await client.ask(get("/", f"127.0.0.1:{there.port}"))) == 200
        own = app.addresses()["http_proxy"]
        assert status(await client.ask(get("/", own))) == 503
        await until(lambda: len(there.heads) == 1)
