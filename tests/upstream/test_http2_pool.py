"""When HTTP/2 connections to a host are made, shared, refused and closed."""

from __future__ import annotations

from dataclasses import replace

from tests.fakes import FakeNetwork, World
from tests.http2_peers import Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message


def rule(http: str, tcp: str = "{}") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: app}}
spec:
  host: app.test
  trafficPolicy: {{connectionPool: {{http: {{h2UpgradePolicy: UPGRADE, {http}}}, tcp: {tcp}}}}}
"""


def silent(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
    """No answer."""


def begun(world: World, count: int) -> Http2ClientEnd:
    """A client with so many requests under way."""
    client = Http2ClientEnd(world)
    for _ in range(count):
        client.begin(method=b"POST")
    client.flush()
    client.flush()
    return client


def test_streams_on_a_connection_are_limited_by_the_rule() -> None:
    with World(rule("maxConcurrentStreams: 2")) as world:
        network = Http2Network(world)
        network.answers = [silent] * 5
        begun(world, 5)
        assert sorted(len(end.streams) for end in network.ends) == [1, 2, 2]


def test_requests_on_a_connection_are_limited_by_the_rule() -> None:
    with World(rule("maxRequestsPerConnection: 2")) as world:
        network = Http2Network(world)
        client = Http2ClientEnd(world)
        for _ in range(5):
            assert client.request().status == 200
        assert sorted(len(end.streams) for end in network.ends) == [1, 2, 2]
        assert [end.transport.lost for end in network.ends] == [True, True, False]
        assert world.cluster().stats.upstream_cx_max_requests == 2


def test_no_more_connections_than_allowed() -> None:
    with World(rule("maxConcurrentStreams: 1", "{maxConnections: 2}")) as world:
        network = Http2Network(world)
        network.answers = [silent] * 3
        begun(world, 3)
        stats = world.cluster().stats
        assert (len(network.ends), stats.upstream_rq_pending_active) == (2, 1)
        assert stats.upstream_cx_overflow >= 1


def test_no_more_requests_than_allowed() -> None:
    with World(rule("http2MaxRequests: 2")) as world:
        network = Http2Network(world)
        network.answers = [silent] * 3
        client = begun(world, 3)
        assert [message.status for message in client.streams.values()] == [0, 0, 503]
        assert world.cluster().stats.upstream_rq_active_overflow == 1


def test_a_connection_that_is_old_enough_takes_no_more() -> None:
    with World(rule("maxRetries: 1", "{maxConnectionDuration: 60s}")) as world:
        network = Http2Network(world)
        client = Http2ClientEnd(world)
        client.request()
        world.advance(61)
        assert network.ends[0].transport.lost
        client.request()
        assert len(network.ends) == 2
        assert world.cluster().stats.upstream_cx_max_duration_reached == 1


def test_a_host_that_was_ejected_gets_new_connections() -> None:
    with World(rule("maxRetries: 1")) as world:
        network = Http2Network(world)
        network.answers = [silent]
        client = begun(world, 1)
        pool = world.cluster().hosts[0].pool
        assert pool is not None
        world.call(pool.drain)
        assert not network.ends[0].transport.lost
        assert client.request().status == 200
        assert len(network.ends) == 2
        client.end.leave()
        assert network.ends[0].transport.lost


def test_a_connection_that_gives_no_sign_of_life_is_cut() -> None:
    with World(rule("http2KeepAlive: {interval: 30s, timeout: 5s}")) as world:
        network = Http2Network(world)
        network.answers = [silent]
        client = begun(world, 1)
        (end,) = network.ends
        world.advance(120)
        assert not end.transport.lost
        end.transport._on_write = None  # it hears nothing any more
        world.advance(40)
        client.flush()
        assert end.transport.aborted
        assert [message.status for message in client.streams.values()] == [503]


def test_a_reload_that_changes_the_protocol_changes_the_connections() -> None:
    with World(rule("maxRetries: 1")) as world:
        network = Http2Network(world)
        client = Http2ClientEnd(world)
        assert client.request().status == 200
        state = world.cluster()
        world.call(state.reconfigure, replace(state.cluster, http_version="1"))
        assert network.ends[0].transport.lost
        world.network.connect = FakeNetwork.connect.__get__(world.network)  # type: ignore[method-assign]
        assert client.request().status == 200
        assert world.network.requests[0].method == b"GET"
