"""Route and admit: what ends before an upstream is chosen, and what the upstream shall see."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.proxy.routing import wants_upgrade
from tests.in_process import connected, get, header, rules, service, status, upstream, worker

OPERATIONS = rules(
    "x",
    "{match: [{uri: {prefix: /api/}}], rewrite: {uri: /, authority: y.example},"
    " headers: {request: {set: {x-route: '1', x-path: '%REQ(:PATH)%'}}}, route: [{destination: {host: x}}]}",
    "{route: [{destination: {host: x}}]}",
)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (get("/a%00"), 400),
        (get("/a#b"), 400),
        (get("*", method="OPTIONS"), 404),
        (get("x:80", method="CONNECT"), 404),
        (get("/", "a<b"), 400),
        (get("/", "x", "connection: upgrade", "upgrade: something"), 403),
    ],
)
async def test_what_cannot_be_routed_is_answered_at_once(tmp_path: Path, request_: bytes, code: int) -> None:
    async with worker(tmp_path, service("x", 1)) as app, connected(app) as client:
        assert status(await client.ask(request_)) == code


async def test_a_path_is_canonical_before_anything_matches_it(tmp_path: Path) -> None:
    async with (
        upstream() as there,
        worker(tmp_path, service("x", there.port), OPERATIONS) as app,
        connected(app) as client,
    ):
        await client.ask(get("/other/../api/%61?q=1"))
        head = there.heads[0]
    assert head.startswith(b"GET /a?q=1 HTTP/1.1\r\nhost: y.example\r\n")
    assert header(head, b"x-envoy-original-path") == b"/api/a?q=1"
    assert header(head, b"x-envoy-original-host") == b"x"
    assert (header(head, b"x-route"), header(head, b"x-path")) == (b"1", b"/api/a?q=1")


async def test_the_host_that_one_of_several_destinations_sets_is_seen_by_the_routes_operations(tmp_path: Path) -> None:
    split = rules(
        "x",
        "{headers: {request: {set: {x-host: '%REQ(:AUTHORITY)%'}}}, route: ["
        "{destination: {host: x}, weight: 1, headers: {request: {set: {host: y.example}}}},"
        " {destination: {host: other}, weight: 0}]}",
    )
    async with upstream() as there, worker(tmp_path, service("x", there.port), split) as app, connected(app) as client:
        await client.ask(get())
    (head,) = there.heads
    assert (header(head, b"host"), header(head, b"x-host")) == (b"y.example", b"y.example")
    assert header(head, b"x-envoy-original-host") is None


async def test_weights_share_the_requests(tmp_path: Path) -> None:
    split = rules("x", "{route: [{destination: {host: x}, weight: 75}, {destination: {host: other}, weight: 25}]}")
    async with upstream() as one, upstream() as other:
        documents = (service("x", one.port), service("other", other.port), split)
        async with worker(tmp_path, *documents) as app, connected(app) as client:
            app.rng.seed(1)
            for _ in range(200):
                await client.ask(get())
        assert len(one.heads) + len(other.heads) == 200
        assert 30 < len(other.heads) < 70


@pytest.mark.parametrize(
    ("notable", "wanted"),
    [
        ({}, b""),
        ({b"upgrade": b"websocket"}, b""),  # Connection did not name it
        ({b":upgrade": b"1", b"upgrade": b"WebSocket"}, b"WebSocket"),
        ({b":upgrade": b"1", b"upgrade": b"h3"}, None),
    ],
)
def test_only_to_websocket_may_a_connection_switch(notable: dict[bytes, bytes], wanted: bytes | None) -> None:
    assert wants_upgrade(RequestHead(b"GET", b"/", b"x", [], notable=notable)) == wanted
