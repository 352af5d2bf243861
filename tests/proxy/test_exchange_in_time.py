"""An exchange's life by a clock that the test moves: timeouts, back-offs, delays, slow peers, patience at the end."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

from pyproxy.downstream.http1 import CLOSING_PATIENCE
from tests.fakes import OK, ClientEnd, World

HOST = b" HTTP/1.1\r\nhost: app.test\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
ROUTES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - match: [{uri: {prefix: /timeout}}]
    timeout: 5s
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /retry}}]
    retries: {attempts: 3, retryOn: "5xx,connect-failure", perTryTimeout: 2s}
    timeout: 10s
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /delay}}]
    fault: {delay: {fixedDelay: 3s, percentage: {value: 100}}}
    route: [{destination: {host: app.test}}]
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 200, body: {string: "%s"}}
  - route: [{destination: {host: app.test}}]
""" % ("x" * 1000)


def ask(world: World, target: bytes = b"/", *, limit: int | None = None) -> ClientEnd:
    client = world.client(limit=limit)
    client.send(b"GET " + target + HOST + b"\r\n")
    return client


def status_of(client: ClientEnd) -> int:
    """The last response's; 0 when there is none."""
    found = client.responses()
    return found[-1].status if found else 0


def idle(world: World) -> bool:
    """Nothing is under way, on either side."""
    stats = world.cluster().stats
    return not (stats.upstream_rq_active or stats.upstream_rq_pending_active or world.stats.downstream_rq_active)


def test_a_route_times_out_to_the_second() -> None:
    with World(ROUTES) as world:
        world.network.script = [None]
        client = ask(world, b"/timeout")
        world.advance(4.99)
        assert client.received == b""
        world.advance(0.02)
        assert (status_of(client), client.closed) == (504, False)
        assert client.responses()[0].body == b"upstream request timeout"
        assert world.network.ends[0].transport.aborted
        assert world.network.requests[0].get(b"x-envoy-expected-rq-timeout-ms") == b"5000"
        assert idle(world)


def test_a_timeout_begins_when_the_request_is_whole() -> None:
    with World(ROUTES) as world:
        world.network.script = [None]
        client = world.client()
        client.send(b"POST /timeout" + HOST + b"content-length: 2\r\n\r\n")
        world.advance(60)
        client.send(b"hi")
        world.advance(4.9)
        assert client.received == b""
        world.advance(0.2)
        assert status_of(client) == 504


def test_a_timeout_in_the_body_cuts_it() -> None:
    with World(ROUTES) as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"]
        client = ask(world, b"/timeout")
        assert status_of(client) == 200
        world.advance(5.1)
        assert client.closed
        assert not client.responses()[0].whole
        assert idle(world)


def test_without_a_timeout_there_is_all_the_time_in_the_world() -> None:
    with World(ROUTES) as world:
        world.network.script = [None]
        client = ask(world)
        world.advance(100_000)
        world.sweep()
        assert (client.received, client.closed) == (b"", False)
        world.call(world.network.ends[0].send, OK)
        assert status_of(client) == 200


def test_tries_follow_each_other_after_a_back_off() -> None:
    with World(ROUTES) as world:
        world.network.script = [BUSY, BUSY, BUSY]
        client = ask(world, b"/retry")
        started = world.clock.monotonic()
        assert len(world.network.requests) == 1
        world.advance(0.5)  # at most 25, 50 and 100 ms
        assert status_of(client) == 200
        counts = [request.get(b"x-envoy-attempt-count") for request in world.network.requests]
        assert counts == [b"1", b"2", b"3", b"4"]
        assert world.clock.monotonic() - started < 1
        assert world.cluster().stats.upstream_rq_retry == 3
        assert world.cluster().stats.upstream_rq_retry_success == 1
        assert idle(world)


def test_the_last_answer_stands_when_all_tries_fail() -> None:
    with World(ROUTES) as world:
        world.network.script = [BUSY] * 9
        client = ask(world, b"/retry")
        world.advance(1)
        assert (status_of(client), client.responses()[0].body) == (503, b"busy")
        assert len(world.network.requests) == 4
        assert world.cluster().stats.upstream_rq_retry_limit_exceeded == 1


def test_a_try_may_take_so_long() -> None:
    with World(ROUTES) as world:
        world.network.script = [None, None]
        client = ask(world, b"/retry")
        world.advance(2.01)
        assert (len(world.network.requests), client.received) == (1, b"")
        assert world.network.ends[0].transport.aborted
        world.advance(0.03)
        assert len(world.network.requests) == 2
        world.advance(2.1)
        assert status_of(client) == 200
        assert world.cluster().stats.upstream_rq_per_try_timeout == 2


def test_the_routes_timeout_ends_all_tries() -> None:
    with World(ROUTES) as world:
        world.network.script = [None] * 9
        client = ask(world, b"/retry")
        for _ in range(12):
            world.advance(1)
        assert (status_of(client), idle(world)) == (504, True)


def test_a_client_that_leaves_in_a_back_off_is_forgotten() -> None:
    with World(ROUTES) as world:
        world.network.refuse = ConnectionRefusedError(111, "refused")
        client = ask(world, b"/retry")
        client.leave()
        dials = len(world.network.dials)
        world.advance(5)
        assert len(world.network.dials) == dials
        assert idle(world)


@pytest.mark.parametrize("target", [b"/", b"/retry"])
def test_a_dial_that_is_refused(target: bytes) -> None:
    with World(ROUTES) as world:
        world.network.refuse = ConnectionRefusedError(111, "refused")
        client = ask(world, target)
        world.advance(1)
        assert status_of(client) == 503
        reason = b"retried and the latest reset reason: remote connection failure"
        assert client.responses()[0].body == b"upstream connect error or disconnect/reset before headers. " + reason
        assert len(world.network.dials) == (4 if target == b"/retry" else 3)
        assert idle(world)


def test_a_dial_that_is_never_answered() -> None:
    with World() as world:
        world.network.silent = True
        client = ask(world)
        world.advance(9.9)
        assert client.received == b""
        world.advance(30)
        assert client.responses()[0].body.endswith(b"reset reason: connection timeout")
        assert world.cluster().stats.upstream_cx_connect_timeout == 3
        assert idle(world)


def test_a_client_that_leaves_before_the_dial_is_through() -> None:
    with World() as world:
        world.network.silent = True
        client = ask(world)
        client.leave()
        assert idle(world)
        world.advance(11)
        assert world.network.requests == []


def test_a_delay_is_a_delay() -> None:
    with World(ROUTES) as world:
        client = world.client()
        client.send(b"POST /delay" + HOST + b"content-length: 5\r\n\r\nhe")
        client.send(b"llo")
        world.advance(2.9)
        assert world.network.requests == []
        world.advance(0.2)
        assert status_of(client) == 200
        assert world.network.requests[0].body == b"hello"


# Slow peers


def test_a_slow_reader_stops_the_upstream_and_starts_it_again() -> None:
    with World() as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n"]
        client = ask(world, limit=65536)
        upstream = world.network.ends[0].transport
        sent = 0
        while upstream.reading and sent < 300_000:
            world.call(upstream.deliver, b"x" * 10_000)
            sent += 10_000
        assert 65_536 <= sent < 100_000
        client.read()
        assert upstream.reading
        while sent < 300_000:
            world.call(upstream.deliver, b"x" * 10_000)
            client.read()
            sent += 10_000
        assert client.responses()[0].body == b"x" * 300_000
        client.send(b"GET /" + HOST + b"\r\n")
        assert len(world.network.ends) == 1, "the connection is good for another"


def test_a_slow_upstream_stops_the_client_and_starts_it_again() -> None:
    with World() as world:
        world.network.limit = 65536
        client = world.client()
        client.send(b"POST /" + HOST + b"content-length: 3000000\r\n\r\n")
        sent = 0
        while client.transport.reading and sent < 3_000_000:
            client.send(b"x" * 10_000)
            sent += 10_000
        assert sent < 100_000
        while sent < 3_000_000:
            world.call(world.network.ends[0].transport.read)
            assert client.transport.reading
            client.send(b"x" * 10_000)
            sent += 10_000
        world.call(world.network.ends[0].transport.read)
        assert status_of(client) == 200
        assert len(world.network.requests[0].body) == 3_000_000


def test_a_body_waits_for_its_connection() -> None:
    with World() as world:
        world.network.silent = True
        client = world.client()
        client.send(b"POST /" + HOST + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(120):
            client.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        assert not client.transport.reading
        world.network.silent = False
        world.advance(1)
        assert client.transport.reading
        client.send(b"0\r\n\r\n")
        world.advance(0.1)
        assert len(world.network.requests[0].body) == 1_200_000
        assert status_of(client) == 200


def test_requests_wait_for_a_client_that_does_not_read() -> None:
    with World(ROUTES) as world:
        client = world.client(limit=5000)
        client.send((b"GET /direct" + HOST + b"\r\n") * 50)
        held = len(client.received)
        assert held < 8000
        while len(client.received) > held:
            held = len(client.received)
        for _ in range(50):
            client.read()
            world.advance(0)
        assert [response.status for response in client.responses()] == [200] * 50


def test_a_broken_request_waits_its_turn_behind_one_that_waits_for_a_reader() -> None:
    with World(ROUTES) as world:
        client = world.client(limit=500)
        direct = b"GET /direct" + HOST + b"\r\n"
        client.send(direct * 3 + b"broken\r\n\r\n")
        for _ in range(5):
            client.read()
            world.advance(0)
        assert [response.status for response in client.responses()] == [200, 200, 200, 400]
        assert client.closed


def test_a_connection_full_of_an_unread_request_is_not_used_again() -> None:
    """The upstream answered before it read everything: another request would queue behind, unbounded."""
    with World() as world:
        world.network.limit = 65536
        world.network.script = [None]
        client = world.client()
        client.send(b"POST /" + HOST + b"content-length: 100000\r\n\r\n" + b"x" * 100_000)
        world.call(world.network.ends[0].transport.deliver, OK)
        assert status_of(client) == 200
        world.network.limit = None
        client.send(b"GET /" + HOST + b"\r\n")
        assert [response.status for response in client.responses()] == [200, 200]
        assert len(world.network.ends) == 2


# Patience


def test_a_slow_head_has_ten_seconds() -> None:
    with World() as world:
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\n")
        world.advance(9.9)
        world.sweep()
        assert client.received == b""
        world.advance(0.2)
        world.sweep()
        assert status_of(client) == 408
        assert client.closed


def test_a_head_that_began_behind_a_request_has_ten_seconds_too() -> None:
    with World() as world:
        world.network.script = [None]
        client = world.client()
        client.send(b"GET /" + HOST + b"\r\n")
        client.send(b"GET / HT")
        world.advance(60)
        world.sweep()
        assert client.received == b"", "it is not read while another is served"
        world.call(world.network.ends[0].send, OK)
        world.advance(11)
        world.sweep()
        assert [response.status for response in client.responses()] == [200, 408]


def test_empty_lines_begin_no_head() -> None:
    with World() as world:
        client = ask(world)
        client.send(b"\r\n")
        world.advance(60)
        world.sweep()
        assert not client.closed
        client.send(b"GET /" + HOST + b"\r\n")
        assert [response.status for response in client.responses()] == [200, 200]


def test_an_idle_upstream_is_closed_when_its_time_is_up() -> None:
    with World() as world:
        ask(world)
        limit = world.cluster().cluster.connection.idle_timeout
        world.advance(limit - 1)
        assert world.cluster().stats.upstream_cx_active == 1
        world.advance(2)
        assert world.cluster().stats.upstream_cx_active == 0
        assert world.network.ends[0].transport.lost


def test_half_a_head_that_came_with_the_request_before_it_has_its_time_too() -> None:
    with World() as world:
        client = world.client()
        client.send(b"GET /" + HOST + b"\r\nGET /")
        assert status_of(client) == 200
        world.advance(9.9)
        world.sweep()
        assert len(client.responses()) == 1
        world.advance(0.2)
        world.sweep()
        assert (status_of(client), client.closed) == (408, True)


def test_an_idle_client_has_an_hour() -> None:
    with World() as world:
        client, silent = ask(world), world.client()
        world.advance(3599)
        world.sweep()
        assert not client.closed
        world.advance(2)
        world.sweep()
        assert client.closed
        assert silent.closed


def test_a_tunnel_waits_only_so_long_for_its_last_reader() -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    with World() as world:
        world.network.script = [switch]
        client = world.client(limit=1000)
        client.send(b"GET /" + HOST + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        upstream = world.network.ends[0].transport
        world.call(upstream.deliver, b"x" * 5000)
        world.call(upstream.lose)
        world.advance(29)
        assert not client.transport.lost
        assert not idle(world)
        world.advance(2)
        assert client.transport.lost
        assert idle(world)
        assert world.cluster().stats.upstream_cx_active == 0


def test_a_date_is_that_of_the_answer() -> None:
    with World(ROUTES) as world:
        first, second = ask(world), ask(world, b"/delay")
        world.advance(4)
        dates = [parsedate_to_datetime((each.responses()[0].get(b"date") or b"").decode()) for each in (first, second)]
        assert (dates[1] - dates[0]).total_seconds() == 3


def test_a_refused_client_that_still_sends_has_a_second_to_read_why() -> None:
    with World() as world:
        client = world.client()
        client.send(b"GET / HTTP/1.1\r\nno colon\r\n")
        assert status_of(client) == 400
        assert client.transport.ended
        assert not client.transport.lost
        client.send(b"and so on" * 1000)
        world.advance(1.1)
        assert client.transport.lost


def test_a_client_that_reads_nothing_of_its_last_response_is_cut_in_the_end() -> None:
    with World() as world:
        world.network.script = [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b"x" * 10_000]
        client = world.client(limit=1000)
        client.send(b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n")
        world.call(world.network.ends[0].transport.deliver_end)
        assert not client.transport.lost
        world.sweep()
        world.advance(CLOSING_PATIENCE - 0.1)
        world.sweep()
        assert not client.transport.lost
        world.advance(0.2)
        world.sweep()
        assert client.transport.aborted
        assert client.transport.lost
