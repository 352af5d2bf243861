"""Shadows: the same request elsewhere, and nobody waits for the answer."""

from __future__ import annotations

from pathlib import Path

from tests.in_process import cluster, connected, get, header, never, rules, service, status, until, upstream, worker

MIRROR = rules("x", "{mirrors: [{destination: {host: other}}], route: [{destination: {host: x}}]}")


async def test_a_shadow_is_the_request_once_more(tmp_path: Path) -> None:
    async with upstream() as there, upstream() as shadow:
        documents = (service("x", there.port), service("other", shadow.port), MIRROR)
        async with worker(tmp_path, *documents) as app, connected(app) as client:
            shadow.answers = [b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"]
            post = get("/a?b=c", "x", "content-length: 4", "x-mine: 1", method="POST") + b"body"
            assert status(await client.ask(post)) == 200
            await until(lambda: len(shadow.bodies) == 1)
            assert shadow.bodies == there.bodies == [b"body"]
            assert shadow.heads[0].startswith(b"POST /a?b=c HTTP/1.1\r\nhost: x\r\n")
            for name in (b"x-mine", b"x-request-id", b"x-b3-traceid", b"x-envoy-peer-metadata-id"):
                assert header(shadow.heads[0], name) == header(there.heads[0], name)
            await until(lambda: cluster(app, "other").stats.codes == {500: 1})
            assert cluster(app, "other").stats.upstream_rq_active == 0


async def test_a_shadow_that_is_never_answered_holds_nobody_up(tmp_path: Path) -> None:
    async with upstream() as there, upstream() as shadow:
        documents = (service("x", there.port), service("other", shadow.port), MIRROR)
        async with worker(tmp_path, *documents) as app, connected(app) as client:
            shadow.answers = [never]
            assert status(await client.ask(get())) == 200
            await until(lambda: len(shadow.heads) == 1)


async def test_a_body_over_the_limit_is_not_mirrored(tmp_path: Path) -> None:
    body = b"a" * (1024 * 1024 + 1)
    async with upstream() as there, upstream() as shadow:
        documents = (service("x", there.port), service("other", shadow.port), MIRROR)
        async with worker(tmp_path, *documents) as app, connected(app) as client:
            assert status(await client.ask(get("/", "x", f"content-length: {len(body)}", method="POST") + body)) == 200
            assert [len(each) for each in there.bodies] == [len(body)]
            assert status(await client.ask(get("/after"))) == 200
            await until(lambda: len(shadow.heads) == 1)
            assert shadow.heads[0].startswith(b"GET /after")
