"""One exchange as its client sees it: answered here, forwarded, timed out, cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.in_process import cluster, connected, get, header, never, rules, service, status, until, upstream, worker

ANSWERS = service("x", 1) + rules(
    "x",
    "{match: [{uri: {exact: /direct}}], directResponse: {status: 201, body: {string: hello}}}",
    "{match: [{uri: {exact: /moved}}], redirect: {uri: /new}}",
    "{match: [{uri: {exact: /fault}}], fault: {abort: {httpStatus: 418, percentage: {value: 100}}},"
    " route: [{destination: {host: x}}]}",
    "{match: [{uri: {exact: /cors}}], corsPolicy: {allowOrigins: [{exact: 'http://a'}], allowMethods: [PUT]},"
    " route: [{destination: {host: x}}]}",
    "{match: [{uri: {prefix: /nobody}}], route: [{destination: {host: nobody}}]}",
)


@pytest.mark.parametrize(
    ("path", "code", "body"),
    [
        ("/direct", 201, b"hello"),
        ("/moved", 301, b""),
        ("/fault", 418, b"fault filter abort"),
        ("/nobody", 503, b""),
        ("/else", 404, b""),
    ],
)
async def test_what_is_answered_here(tmp_path: Path, path: str, code: int, body: bytes) -> None:
    async with worker(tmp_path, ANSWERS) as app, connected(app) as client:
        for _ in range(2):  # the connection stays
            response = await client.ask(get(path))
            assert status(response) == code
            assert response.partition(b"\r\n\r\n")[2] == body
            assert header(response, b"server") == b"envoy"
            assert header(response, b"date")


async def test_a_preflight_is_answered_here(tmp_path: Path) -> None:
    lines = ("origin: http://a", "access-control-request-method: PUT")
    async with worker(tmp_path, ANSWERS) as app, connected(app) as client:
        response = await client.ask(get("/cors", "x", *lines, method="OPTIONS"))
    assert status(response) == 200
    assert header(response, b"access-control-allow-origin") == b"http://a"
    assert header(response, b"access-control-allow-methods") == b"PUT"


async def test_a_grpc_client_is_answered_in_grpc(tmp_path: Path) -> None:
    async with worker(tmp_path, ANSWERS) as app, connected(app) as client:
        response = await client.ask(get("/nobody", "x", "content-type: application/grpc", "content-length: 0"))
    assert (status(response), header(response, b"grpc-status")) == (200, b"14")


async def test_a_response_passes_with_our_touches(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [
            b"HTTP/1.1 200 Fine\r\nServer: theirs\r\nX-A: 1\r\nKeep-Alive: 5\r\nContent-Length: 2\r\n\r\nok"
        ]
        response = await client.ask(get())
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert header(response, b"server") == b"envoy"
    assert header(response, b"x-a") == b"1"
    assert header(response, b"keep-alive") is None
    assert header(response, b"x-envoy-upstream-service-time") is not None
    (seen,) = there.heads
    assert seen.startswith(b"GET / HTTP/1.1\r\nhost: x\r\n")
    for name in (b"x-request-id", b"x-b3-traceid", b"x-forwarded-proto", b"x-envoy-peer-metadata"):
        assert header(seen, name)


async def test_the_routes_timeout_is_504_and_ends_the_attempt(tmp_path: Path) -> None:
    route = rules("x", "{timeout: 50ms, route: [{destination: {host: x}}]}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), route) as app, connected(app) as client:
        there.answers = [never]
        response = await client.ask(get())
        assert (status(response), response.partition(b"\r\n\r\n")[2]) == (504, b"upstream request timeout")
        stats = cluster(app, "x").stats
        assert stats.upstream_rq_timeout == 1
        await until(lambda: stats.upstream_cx_active == 0)


async def test_a_response_that_breaks_off_is_cut_off(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"]
        client.send(get())
        assert status(await client.head()) == 200
        assert await client.reader.readexactly(4) == b"half"
        there.hang_up()
        assert await client.rest() == b""


async def test_a_client_that_leaves_ends_its_request(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        there.answers = [never]
        client.send(get())
        await until(lambda: bool(there.heads))
        client.close()
        stats = cluster(app, "x").stats
        await until(lambda: stats.upstream_rq_active == 0 and stats.upstream_cx_active == 0)
