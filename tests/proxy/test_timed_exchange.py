"""Streams on which nothing passes for too long, by a clock that the test moves, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import pytest

from pyproxy.proxy.exchange import Exchange
from pyproxy.proxy.timed_exchange import TimedExchange
from tests.fakes import OK, ClientEnd, World
from tests.http2_peers import Http2ClientEnd

HOST = b" HTTP/1.1\r\nhost: app.test\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
WEBSOCKET = b"GET /" + HOST + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"


def mesh(settings: str) -> str:
    return f"""
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{defaultConfig: {{connectionSettings: {settings}}}}}}}
"""


IDLE = mesh("{httpStreamIdleTimeout: 10s}")
DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - fault: {delay: {fixedDelay: 60s, percentage: {value: 100}}}
    route: [{destination: {host: app.test}}]
"""


def ask(world: World, request: bytes = b"GET /" + HOST + b"\r\n") -> ClientEnd:
    client = world.client()
    client.send(request)
    return client


def statuses(client: ClientEnd) -> list[tuple[int, bytes]]:
    return [(each.status, each.body) for each in client.responses()]


def at_rest(world: World) -> bool:
    """Nothing is under way, on either side."""
    return not (world.cluster().stats.upstream_rq_active or world.stats.downstream_rq_active)


@pytest.mark.parametrize(("documents", "kind"), [((), Exchange), ((IDLE,), TimedExchange)])
def test_only_who_has_a_timeout_pays_for_it(documents: tuple[str, ...], kind: type[Exchange]) -> None:
    with World(*documents) as world:
        world.network.script = [None]
        client = ask(world)
        assert type(client.transport.get_protocol()._exchange) is kind
        world.advance(3000)
        assert bool(client.received) is (kind is TimedExchange)


def test_a_request_without_an_answer() -> None:
    with World(IDLE) as world:
        world.network.script = [None, OK]
        client = ask(world)
        world.advance(9.99)
        assert client.received == b""
        world.advance(0.02)
        assert statuses(client) == [(504, b"stream timeout")]
        assert (client.closed, world.stats.downstream_rq_idle_timeout) == (False, 1)
        assert world.network.ends[0].transport.aborted
        assert at_rest(world)
        client.send(b"GET /" + HOST + b"\r\n")
        assert [status for status, _ in statuses(client)] == [504, 200]
        world.advance(60)
        assert world.stats.downstream_rq_idle_timeout == 1  # between requests there is no stream


def test_a_request_that_stalls() -> None:
    with World(IDLE) as world:
        world.network.script = [None]
        client = ask(world, b"POST /" + HOST + b"content-length: 4\r\n\r\n")
        for _ in range(3):
            world.advance(9)
            client.send(b"x")
        assert client.received == b""
        world.advance(10.1)
        assert statuses(client) == [(408, b"stream timeout")]
        assert (client.closed, at_rest(world)) == (True, True)


def test_a_response_that_stalls_is_cut() -> None:
    with World(IDLE) as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]
        client = ask(world)
        upstream = world.network.ends[0].transport
        for _ in range(3):
            world.advance(9)
            world.call(upstream.deliver, b"x")
        world.advance(9.9)
        assert not client.closed
        world.advance(0.2)
        (response,) = client.responses()
        assert (response.status, response.whole) == (200, False)
        assert (client.closed, upstream.aborted, at_rest(world)) == (True, True, True)
        stats = world.stats
        assert (stats.downstream_rq_idle_timeout, stats.rq_reset_after_downstream_response_started) == (1, 0)


def test_a_1xx_begins_the_time_anew() -> None:
    with World(IDLE) as world:
        world.network.script = [None]
        client = ask(world)
        world.advance(8)
        world.call(world.network.ends[0].transport.deliver, b"HTTP/1.1 100 Continue\r\n\r\n")
        world.advance(8)
        assert b"stream timeout" not in client.received
        world.advance(2.1)
        assert statuses(client) == [(504, b"stream timeout")]


def test_who_is_held_back_is_idle_too() -> None:
    with World(IDLE, DELAY) as world:
        client = ask(world)
        world.advance(10.1)
        assert statuses(client) == [(504, b"stream timeout")]
        assert world.stats.fault_active_faults == 0
        assert world.network.requests == []


def test_a_reset_on_http2_and_its_neighbours_go_on() -> None:
    with World(IDLE) as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", None, OK]
        client = Http2ClientEnd(world)
        begun, silent = client.request(), client.request()
        world.advance(5)
        half = client.request(method=b"POST", body=b"x", end=False)
        world.advance(5.1)
        client.flush()
        assert (begun.status, begun.ended, begun.reset is not None) == (200, False, True)
        assert (silent.status, silent.body, silent.ended) == (504, b"stream timeout", True)
        assert (half.status, half.reset, client.end.closed) == (0, None, False)
        world.advance(5)
        client.flush()
        assert (half.status, half.body, half.reset) == (408, b"stream timeout", 0)
        assert (client.request().status, world.stats.downstream_rq_idle_timeout) == (200, 3)


def test_what_a_client_does_not_read_of_a_whole_response_is_dropped() -> None:
    """To the exchange it is over: only the stream is left."""
    with World(IDLE) as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"x" * 100, OK]
        client = Http2ClientEnd(world, window=10)
        stuck = client.request()
        assert (stuck.body, stuck.ended) == (b"x" * 10, False)
        world.advance(9.9)
        client.flush()
        assert stuck.reset is None
        world.advance(0.2)
        client.flush()
        assert (stuck.reset, world.stats.downstream_rq_idle_timeout) == (2, 0)
        other = client.request()
        assert (other.status, other.ended, client.end.closed) == (200, True, False)
        world.advance(60)
        client.flush()
        assert other.reset is None


def test_a_tunnel_lives_as_long_as_bytes_pass_in_it() -> None:
    with World(IDLE) as world:
        world.network.script = [SWITCH]
        client = ask(world, WEBSOCKET)
        upstream = world.network.ends[0].transport
        for _ in range(3):
            world.advance(9)
            client.send(b"ping")
            world.advance(9)
            world.call(upstream.deliver, b"pong")
        world.advance(9.9)
        assert not client.closed
        world.advance(1.5)  # it is looked at eight times in ten seconds
        assert (client.closed, upstream.lost) == (True, True)
        assert client.received.endswith(b"pongpongpong")
        stats = world.stats
        assert (stats.downstream_rq_idle_timeout, stats.downstream_cx_upgrades_active) == (1, 0)
        assert (at_rest(world), world.cluster().stats.upstream_cx_active) == (True, 0)


def test_an_upgrade_without_an_answer() -> None:
    with World(IDLE) as world:
        world.network.script = [None]
        client = ask(world, WEBSOCKET)
        world.advance(9)
        client.send(b"early")
        world.advance(9)
        assert client.received == b""
        world.advance(1.1)
        assert statuses(client) == [(408, b"stream timeout")]


@pytest.mark.parametrize(
    ("settings", "seconds", "body"),
    [
        ("{httpStreamIdleTimeout: 3s}", 3, b"stream timeout"),
        ("{httpStreamIdleTimeout: 30s}", 10, b"request header timeout"),
        ("{httpRequestHeadersTimeout: 3s}", 3, b"request header timeout"),
        ("{httpRequestHeadersTimeout: 30s}", 30, b"request header timeout"),
        ("{httpRequestHeadersTimeout: 3s, httpStreamIdleTimeout: 2s}", 2, b"stream timeout"),
    ],
)
def test_a_slow_head_ends_at_the_first_of_its_times(settings: str, seconds: float, body: bytes) -> None:
    """To Envoy half a head is a stream. What no document says the process does: ten seconds."""
    with World(mesh(settings)) as world:
        client = ask(world, b"GET /" + HOST)
        world.advance(seconds - 0.1)
        world.sweep()
        assert client.received == b""
        world.advance(0.1)
        world.sweep()
        assert statuses(client) == [(408, body)]
        idle, slow = world.stats.downstream_rq_idle_timeout, world.stats.downstream_rq_header_timeout
        assert (idle, slow) == ((1, 0) if body == b"stream timeout" else (0, 1))
