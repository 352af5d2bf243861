"""Whose x-envoy-* headers are heard, and what becomes of them."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.proxy.headers import mutate_request
from pyproxy.proxy.internal_requests import asked_by_client, asked_by_route, is_internal, mark_internal
from pyproxy.snapshot.model import Direction, HttpSettings
from tests.in_process import connected, get, header, rules, service, status, upstream, worker

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
SIDECAR = HttpSettings(internal_networks=NETWORKS)
EDGE = HttpSettings(direction=Direction.GATEWAY, use_remote_address=True, internal_networks=NETWORKS)
BEHIND_ONE = HttpSettings(
    direction=Direction.GATEWAY, use_remote_address=True, xff_trusted_hops=1, internal_networks=NETWORKS
)
FAILS, OK = b"HTTP/1.1 503 -\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MESH = """
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  values:
    pilot: {env: {ENABLE_HCM_INTERNAL_NETWORKS: true}}
    global: {meshNetworks: {ours: {endpoints: [{fromCidr: 10.0.0.0/8}]}}}
"""


def head(*lines: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", b"/", b"x", list(lines), notable=dict(lines))


@pytest.mark.parametrize(
    ("settings", "forwarded", "peer", "internal"),
    [
        (SIDECAR, None, "10.0.0.1", False),
        (SIDECAR, b" 10.0.0.1 ", "6.6.6.6", True),
        (SIDECAR, b"fd00::1", "6.6.6.6", True),
        (SIDECAR, b"11.0.0.1", "10.0.0.1", False),
        (SIDECAR, b"10.0.0.1,10.0.0.2", "10.0.0.1", False),
        (SIDECAR, b"", "10.0.0.1", False),
        (EDGE, None, "10.0.0.1", True),
        (EDGE, None, "11.0.0.1", False),
        (EDGE, b"10.0.0.1", "10.0.0.1", False),
        (BEHIND_ONE, None, "10.0.0.1", True),
        (HttpSettings(), b"10.0.0.1", "10.0.0.1", False),
    ],
)
def test_one_address_and_an_internal_one(
    settings: HttpSettings, forwarded: bytes | None, peer: str, internal: bool
) -> None:
    asked = head() if forwarded is None else head((b"x-forwarded-for", forwarded))
    assert is_internal(asked, settings, peer) is internal
    assert mutate_request(asked, settings, peer, False) is internal
    assert (asked.get(b"x-envoy-internal") == b"true") is internal


def test_an_edge_believes_an_internal_client() -> None:
    lines = ((b"x-request-id", b"a"), (b"x-envoy-original-path", b"/p"), (b"x-envoy-external-address", b"6.6.6.6"))
    asked = head(*lines)
    assert mutate_request(asked, EDGE, "10.0.0.9", False)
    assert asked.headers == [
        *lines,
        (b"x-forwarded-for", b"10.0.0.9"),
        (b"x-forwarded-proto", b"http"),
        (b"x-envoy-internal", b"true"),
    ]
    assert asked.notable[b"x-request-id"] == b"a"


def test_the_upstream_sees_what_steers_nothing_here() -> None:
    asked = head()
    asked.notable.update({b"x-envoy-force-trace": b"1", b"x-envoy-retry-on": b"5xx"})
    mark_internal(asked)
    assert asked.headers == [(b"x-envoy-internal", b"true"), (b"x-envoy-force-trace", b"1")]


def test_what_is_asked_and_by_whom() -> None:
    asked = head((b"x-envoy-max-retries", b"3"), (b"x-envoy-upstream-rq-timeout-ms", b"5"), (b"a", b"b"))
    asked.notable = {b"x-envoy-retry-on": b"5xx", b"x-envoy-upstream-rq-timeout-ms": b"9", b"expect": b"x"}
    assert asked_by_client(asked) == [(b"x-envoy-retry-on", b"5xx"), (b"x-envoy-upstream-rq-timeout-ms", b"9")]
    assert asked_by_route(asked) == [(b"x-envoy-max-retries", b"3")]
    assert asked.headers == [(b"x-envoy-upstream-rq-timeout-ms", b"5"), (b"a", b"b")]


async def test_an_internal_request_is_tried_again_as_it_asks_and_another_is_not(tmp_path: Path) -> None:
    lines = ("x-envoy-retry-on: 5xx", "x-envoy-max-retries: 1", "x-envoy-upstream-rq-timeout-ms: 9000")
    async with upstream() as there, worker(tmp_path, MESH, service("x", there.port)) as app, connected(app) as client:
        there.answers = [FAILS, OK, FAILS]
        inside = await client.ask(get("/", "x", "x-forwarded-for: 10.1.1.1", *lines))
        outside = await client.ask(get("/", "x", "x-forwarded-for: 11.1.1.1", *lines))
    assert (status(inside), status(outside)) == (200, 503)
    names = (b"x-envoy-internal", b"x-envoy-expected-rq-timeout-ms", b"x-envoy-retry-on", b"x-envoy-max-retries")
    assert [header(there.heads[0], name) for name in names] == [b"true", b"9000", None, None]
    assert [header(there.heads[2], name) for name in names] == [None] * 4


async def test_a_forced_trace_tells_the_client_its_id(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, MESH, service("x", there.port)) as app, connected(app) as client:
        inside = await client.ask(get("/", "x", "x-forwarded-for: 10.1.1.1", "x-envoy-force-trace: 1"))
        outside = await client.ask(get("/", "x", "x-envoy-force-trace: 1"))
    request_id = header(inside, b"x-request-id")
    assert request_id is not None and request_id[14:15] == b"a"
    assert header(there.heads[0], b"x-request-id") == request_id
    assert header(outside, b"x-request-id") is None


async def test_a_routes_own_header_steers_retries_for_anybody(tmp_path: Path) -> None:
    rule = "{headers: {request: {set: {x-envoy-retry-on: 5xx}}}, route: [{destination: {host: x}}]}"
    route = rules("x", rule)
    async with upstream() as there, worker(tmp_path, service("x", there.port), route) as app, connected(app) as client:
        there.answers = [FAILS, OK]
        assert status(await client.ask(get())) == 200
    assert header(there.heads[0], b"x-envoy-retry-on") is None
