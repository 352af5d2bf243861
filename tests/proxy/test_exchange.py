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


OPERATED = service("x", 1) + rules(
    "x",
    "{match: [{uri: {exact: /created}}], directResponse: {status: 201, body: {string: hello}},"
    " headers: {response: {set: {content-type: application/x, x-code: '<%RESPONSE_CODE%>'}}}}",
    "{match: [{uri: {exact: /empty}}], directResponse: {status: 503}, headers: {response: {set: {content-type: a}}}}",
    "{match: [{uri: {exact: /bad}}], directResponse: {status: 400}}",
    "{match: [{uri: {prefix: /old/}}], redirect: {prefixRewrite: /new/},"
    " headers: {response: {add: {x-path: '%REQ(:PATH)%'}}}}",
    "{match: [{uri: {exact: /fault}}], fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, headers: {response:"
    " {set: {x-in: '%UPSTREAM_CLUSTER%', date: then, server: theirs}}}, route: [{destination: {host: x}}]}",
    "{match: [{uri: {exact: /cors}}], corsPolicy: {allowOrigins: [{exact: 'http://a'}]},"
    " headers: {response: {add: {x: '1'}}}, route: [{destination: {host: x}}]}",
)


async def test_the_routes_operations_come_before_what_a_reply_says_of_its_body(tmp_path: Path) -> None:
    async with worker(tmp_path, OPERATED) as app, connected(app) as client:
        created = await client.ask(get("/created?q=1"))
        empty = await client.ask(get("/empty"))
        fault = await client.ask(get("/fault"))
    assert header(created, b"content-type") == b"application/x"
    assert header(created, b"x-code") == b"<0>"  # nothing was answered yet
    assert header(created, b"location") == b"http://x/created?q=1"
    assert header(empty, b"content-type") is None
    assert header(fault, b"content-type") == b"text/plain"
    assert header(fault, b"x-in") == b"outbound|80||x.default.svc.cluster.local;"
    assert (fault.count(b"date: "), header(fault, b"date")) == (1, b"then")
    assert (fault.count(b"server: "), header(fault, b"server")) == (1, b"envoy")


async def test_a_redirect_rewrites_the_path_first(tmp_path: Path) -> None:
    async with worker(tmp_path, OPERATED) as app, connected(app) as client:
        response = await client.ask(get("/old/a?q=1"))
    assert header(response, b"location") == b"http://x/new/a?q=1"
    assert header(response, b"x-path") == b"/new/a?q=1"


async def test_no_operation_touches_a_preflight(tmp_path: Path) -> None:
    lines = ("origin: http://a", "access-control-request-method: PUT")
    async with worker(tmp_path, OPERATED) as app, connected(app) as client:
        response = await client.ask(get("/cors", "x", *lines, method="OPTIONS"))
    assert (status(response), header(response, b"x")) == (200, None)


async def test_a_bad_request_ends_its_connection_whoever_says_so(tmp_path: Path) -> None:
    async with worker(tmp_path, OPERATED) as app, connected(app) as client:
        assert header(await client.ask(get("/bad")), b"connection") == b"close"


async def test_only_what_came_to_the_router_counts_for_its_cluster(tmp_path: Path) -> None:
    async with worker(tmp_path, OPERATED) as app, connected(app) as client:
        await client.ask(get("/fault"))
        assert cluster(app, "x").stats.codes == {}


async def test_a_response_without_its_length_is_framed_anew(tmp_path: Path) -> None:
    route = rules("x", "{headers: {response: {remove: [content-length]}}, route: [{destination: {host: x}}]}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), route) as app, connected(app) as client:
        client.send(get())
        assert header(await client.head(), b"transfer-encoding") == b"chunked"
        assert await client.reader.readexactly(12) == b"2\r\nok\r\n0\r\n\r\n"
