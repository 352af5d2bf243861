"""Websockets over HTTP/2: streams that become tunnels, in all four combinations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes import World
from tests.http2_peers import Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message

UPGRADE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app.test
  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}
"""
ASKED = b"GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nx-a: 1\r\n\r\n"


def connect(client: Http2ClientEnd) -> int:
    """An extended CONNECT; gives its stream."""
    stream = client.h2.get_next_available_stream_id()
    lines = [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"app.test"),
        (b":path", b"/chat"),
    ]
    client.streams[stream] = Message()
    client.h2.send_headers(stream, lines)
    client.flush()
    return stream


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def test_a_client_of_http2_and_a_server_of_http1(world: World) -> None:
    world.network.script = [SWITCH + b"early"]
    client = Http2ClientEnd(world)
    stream = connect(client)
    (seen,) = world.network.requests
    assert (seen.method, seen.target, seen.get(b"upgrade")) == (b"GET", b"/chat", b"websocket")
    got = client.streams[stream]
    assert (got.status, got.get(b"x-a"), got.get(b"upgrade"), got.body) == (200, b"1", None, b"early")
    (end,) = world.network.ends
    client.h2.send_data(stream, b"hello")
    client.flush()
    assert end.transport.written.endswith(b"hello")
    world.call(end.transport.deliver, b"answer")
    client.flush()
    assert got.body == b"earlyanswer"
    client.h2.end_stream(stream)
    client.flush()
    assert end.transport.ended
    world.call(end.transport.deliver_end)
    client.flush()
    assert (got.ended, got.reset) == (True, None)
    assert end.transport.lost
    assert (world.stats.downstream_cx_upgrades_active, world.stats.downstream_rq_active) == (0, 0)
    assert client.request().status == 200


def test_words_before_the_answer_wait_for_it(world: World) -> None:
    world.network.script = [None]
    client = Http2ClientEnd(world)
    stream = connect(client)
    client.h2.send_data(stream, b"hello")
    client.flush()
    (end,) = world.network.ends
    assert not end.transport.written.endswith(b"hello")
    world.call(end.send, SWITCH)
    assert end.transport.written.endswith(b"hello")


def test_a_reset_of_the_stream_ends_the_upstream(world: World) -> None:
    world.network.script = [SWITCH]
    client = Http2ClientEnd(world)
    stream = connect(client)
    client.h2.reset_stream(stream, 8)
    client.flush()
    assert world.network.ends[0].transport.lost
    assert world.stats.downstream_rq_active == 0


def test_an_upstream_that_vanishes_ends_the_stream(world: World) -> None:
    world.network.script = [SWITCH]
    client = Http2ClientEnd(world)
    stream = connect(client)
    world.call(world.network.ends[0].transport.lose)
    client.flush()
    assert client.streams[stream].ended
    assert world.stats.downstream_rq_active == 0


def test_a_refused_handshake_is_an_answer(world: World) -> None:
    world.network.script = [b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"]
    client = Http2ClientEnd(world)
    stream = connect(client)
    assert client.streams[stream].status == 403


def accept(end: Http2UpstreamEnd, stream: int) -> None:
    end.h2.send_headers(stream, [(b":status", b"200"), (b"x-a", b"1")])
    end.flush()


def test_a_client_of_http1_and_a_server_of_http2() -> None:
    with World(UPGRADE) as world:
        network = Http2Network(world)
        client = world.client()
        client.send(ASKED)
        (end,) = network.ends
        (seen,) = network.requests
        assert (seen.get(b":method"), seen.get(b":protocol")) == (b"CONNECT", b"websocket")
        assert (seen.get(b"upgrade"), seen.get(b"connection"), seen.ended) == (None, None, False)
        world.call(accept, end, 1)
        assert client.received.startswith(b"HTTP/1.1 101 ")
        assert b"upgrade: websocket\r\n" in client.received
        client.send(b"hello")
        assert seen.body == b"hello"
        end.h2.send_data(1, b"answer", end_stream=True)
        world.call(end.flush)
        assert client.received.endswith(b"\r\n\r\nanswer")
        assert client.transport.ended
        client.end()
        assert seen.ended
        assert world.cluster().stats.upstream_rq_active == 0


def test_both_sides_http2() -> None:
    with World(UPGRADE) as world:
        network = Http2Network(world)
        client = Http2ClientEnd(world)
        stream = connect(client)
        (end,) = network.ends
        world.call(accept, end, 1)
        client.flush()
        assert client.streams[stream].status == 200
        client.h2.send_data(stream, b"hello", end_stream=True)
        client.flush()
        assert (network.requests[0].body, network.requests[0].ended) == (b"hello", True)
        end.h2.send_data(1, b"answer", end_stream=True)
        world.call(end.flush)
        client.flush()
        got = client.streams[stream]
        assert (got.body, got.ended, got.reset) == (b"answer", True, None)
        assert world.stats.downstream_rq_active == 0
        assert world.cluster().stats.upstream_rq_active == 0
