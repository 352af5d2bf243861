"""The client side of HTTP/2: streams that share connections, windows, trailers, and how streams end."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.fakes import World
from tests.http2_peers import Answer, Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message

HTTP2 = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app.test
  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}
"""
RETRIES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - retries: {attempts: 2, retryOn: "refused-stream"}
    route: [{destination: {host: app.test}}]
"""
NO_RETRIES = RETRIES.replace('attempts: 2, retryOn: "refused-stream"', "attempts: 0")


@pytest.fixture
def world() -> Iterator[World]:
    with World(HTTP2) as made:
        yield made


@pytest.fixture
def network(world: World) -> Http2Network:
    return Http2Network(world)


def answer(*lines: tuple[bytes, bytes], body: bytes = b"", trailers: list[tuple[bytes, bytes]] | None = None) -> Answer:
    """A response in one piece."""

    def give(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.h2.send_headers(stream, list(lines), end_stream=not body and trailers is None)
        if body:
            end.h2.send_data(stream, body, end_stream=trailers is None)
        if trailers is not None:
            end.h2.send_headers(stream, trailers, end_stream=True)

    return give


def reset(code: int) -> Answer:
    """RST_STREAM in place of a response."""
    return lambda end, stream, request: end.h2.reset_stream(stream, code)


def silent(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
    """No answer."""


def open_tunnel(*lines: tuple[bytes, bytes]) -> Answer:
    """200 to an extended CONNECT, and a word."""

    def give(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.h2.send_headers(stream, [(b":status", b"200"), *lines])
        end.h2.send_data(stream, b"there")

    return give


def test_the_key_of_a_websocket_is_answered_for_who_has_none_to_answer(world: World, network: Http2Network) -> None:
    network.answers_heads = True
    network.answers = [open_tunnel(), open_tunnel((b"sec-websocket-accept", b"said there"))]
    found = []
    for _ in range(2):
        client = world.client()
        client.send(
            b"GET /chat HTTP/1.1\r\nhost: app.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head, _, rest = client.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and rest == b"there"
        found += [line for line in head.split(b"\r\n") if b"accept" in line]
    assert found == [b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", b"sec-websocket-accept: said there"]
    assert network.requests[0].get(b":protocol") == b"websocket"


def test_http1_goes_out_as_http2_and_comes_back(world: World, network: Http2Network) -> None:
    client = world.client()
    client.send(
        b"POST /p HTTP/1.1\r\nhost: app.test\r\nconnection: x-gone\r\nx-gone: 1\r\ncontent-length: 3\r\n\r\nabc"
    )
    (seen,) = network.requests
    assert seen.headers[:4] == [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"app.test"),
        (b":path", b"/p"),
    ]
    assert (seen.get(b"content-length"), seen.body, seen.ended) == (b"3", b"abc", True)
    for name in (b"connection", b"host", b"transfer-encoding", b"x-gone"):
        assert seen.get(name) is None
    (response,) = client.responses(b"POST")
    assert (response.status, response.body, response.get(b"content-length")) == (200, b"ok", b"2")
    assert world.cluster().stats.upstream_cx_http2_total == 1


def test_a_chunked_upload_has_no_length_in_http2(world: World, network: Http2Network) -> None:
    client = world.client()
    client.send(
        b"POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"
    )
    (seen,) = network.requests
    assert (seen.body, seen.ended, seen.get(b"content-length")) == (b"abc", True, None)


def test_a_response_without_a_length_is_chunked_to_http1_and_its_trailers_are_dropped(
    world: World, network: Http2Network
) -> None:
    network.answers = [answer((b":status", b"200"), body=b"hello", trailers=[(b"x-sum", b"1")])]
    client = world.client()
    client.send(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n")
    assert client.received.endswith(b"5\r\nhello\r\n0\r\n\r\n")


def test_both_sides_http2_pass_trailers_both_ways(world: World, network: Http2Network) -> None:
    network.answers = [answer((b":status", b"200"), body=b"hello", trailers=[(b"grpc-status", b"0")])]
    client = Http2ClientEnd(world)
    stream = client.begin((b"content-type", b"application/grpc"), (b"te", b"trailers"), method=b"POST", end=False)
    client.h2.send_data(stream, b"data")
    client.h2.send_headers(stream, [(b"x-sum", b"1")], end_stream=True)
    client.flush()
    (seen,) = network.requests
    assert (seen.body, seen.trailers, seen.get(b"te")) == (b"data", [(b"x-sum", b"1")], b"trailers")
    response = client.streams[stream]
    assert (response.body, response.trailers, response.ended) == (b"hello", [(b"grpc-status", b"0")], True)


def test_streams_share_a_connection(world: World, network: Http2Network) -> None:
    network.answers = [silent] * 20
    client = Http2ClientEnd(world)
    for _ in range(20):
        client.begin()
    client.flush()
    assert (len(network.ends), len(network.requests)) == (1, 20)


def test_beyond_what_the_peer_takes_there_is_another_connection(world: World, network: Http2Network) -> None:
    network.max_streams = 3
    client = Http2ClientEnd(world)
    client.request()
    network.answers = [silent] * 7
    for _ in range(7):
        client.begin()
    client.flush()
    client.flush()
    assert len(network.ends) == 3
    assert sorted(len(end.streams) for end in network.ends) == [1, 3, 4]


def test_a_released_stream_makes_room(world: World, network: Http2Network) -> None:
    network.max_streams = 1
    client = Http2ClientEnd(world)
    for _ in range(5):
        assert client.request().status == 200
    assert len(network.ends) == 1


def test_no_content_head_and_early_hints(world: World, network: Http2Network) -> None:
    def hints(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.h2.send_headers(stream, [(b":status", b"103"), (b"link", b"x")])
        end.h2.send_headers(stream, [(b":status", b"204")], end_stream=True)

    network.answers = [hints, answer((b":status", b"200"), (b"content-length", b"7"))]
    client = world.client()
    client.send(b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n")
    client.send(b"HEAD / HTTP/1.1\r\nhost: app.test\r\n\r\n")
    first, second = client.responses(b"GET", b"HEAD")
    assert (first.interim, first.status, first.get(b"content-length")) == ([103], 204, None)
    assert (second.status, second.get(b"content-length"), second.body) == (200, b"7", b"")


# How streams end


@pytest.mark.parametrize(
    ("code", "status", "words", "received", "sent"),
    [
        (7, 503, b"remote refused stream reset", 0, 0),
        (8, 503, b"remote reset", 1, 0),
        (2, 503, b"remote reset", 1, 0),
        (1, 502, b"protocol error", 0, 1),
        (10, 503, b"remote error with CONNECT request", 0, 0),
    ],
)
def test_a_reset_before_the_head(code: int, status: int, words: bytes, received: int, sent: int) -> None:
    with World(HTTP2, NO_RETRIES) as world:
        network = Http2Network(world)
        network.answers = [reset(code)]
        response = Http2ClientEnd(world).request()
        assert response.status == status
        assert response.body.endswith(b"reset reason: " + words)
        stats = world.cluster().stats
        assert (stats.upstream_rq_rx_reset, stats.upstream_rq_tx_reset) == (received, sent)


def test_a_refused_stream_is_tried_again() -> None:
    with World(HTTP2, RETRIES) as world:
        network = Http2Network(world)
        network.answers = [reset(7)]
        client = Http2ClientEnd(world)
        response = client.request()
        world.advance(1)
        client.flush()
        assert response.status == 200
        assert world.cluster().stats.upstream_rq_retry == 1


def test_a_reset_in_the_middle_resets_the_client(world: World, network: Http2Network) -> None:
    def half(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.h2.send_headers(stream, [(b":status", b"200")])
        end.h2.send_data(stream, b"half")
        end.h2.reset_stream(stream, 8)

    network.answers = [half]
    client = Http2ClientEnd(world)
    response = client.request()
    assert (response.status, response.reset) == (200, 2)
    assert client.request().status == 200
    assert len(network.ends) == 1


def test_goaway_lets_streams_end_and_sends_the_next_elsewhere(world: World, network: Http2Network) -> None:
    network.answers = [silent]
    client = Http2ClientEnd(world)
    first = client.begin()
    client.flush()
    (end,) = network.ends
    goaway = b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4, "big") + bytes(4)
    world.call(end.transport.deliver, goaway)
    assert client.request().status == 200
    assert len(network.ends) == 2
    answer((b":status", b"200"))(end, 1, Message())
    world.call(end.flush)
    client.flush()
    assert client.streams[first].status == 200
    assert end.transport.lost


def test_what_goaway_leaves_out_was_refused() -> None:
    with World(HTTP2, RETRIES) as world:
        network = Http2Network(world)
        network.answers = [silent, silent]
        client = Http2ClientEnd(world)
        client.begin()
        second = client.begin()
        client.flush()
        goaway = b"\0\0\x08\x07\0\0\0\0\0" + (1).to_bytes(4, "big") + bytes(4)
        world.call(network.ends[0].transport.deliver, goaway)
        world.advance(1)
        client.flush()
        assert client.streams[second].status == 200


def test_a_lost_connection_ends_all_its_streams(world: World, network: Http2Network) -> None:
    network.answers = [silent, silent]
    client = Http2ClientEnd(world)
    streams = [client.begin(method=b"POST"), client.begin(method=b"POST")]
    client.flush()
    world.call(network.ends[0].transport.lose, ConnectionResetError())
    client.flush()
    world.advance(1)
    client.flush()
    assert [client.streams[stream].status for stream in streams] == [503, 503]
    state = world.cluster()
    assert (state.stats.upstream_cx_active, state.stats.upstream_rq_active) == (0, 0)
    assert state.stats.upstream_rq_pending_failure_eject == 2


def test_a_client_that_leaves_resets_its_stream_alone(world: World, network: Http2Network) -> None:
    network.answers = [silent, silent]
    client, other = Http2ClientEnd(world), Http2ClientEnd(world)
    client.begin()
    client.flush()
    kept = other.begin()
    other.flush()
    client.end.leave()
    first, second = network.requests
    assert (first.reset, second.reset) == (2, None)
    answer((b":status", b"200"))(network.ends[0], 3, Message())
    world.call(network.ends[0].flush)
    other.flush()
    assert other.streams[kept].status == 200


@pytest.mark.parametrize(
    "lines",
    [
        [(b":status", b"200"), (b"connection", b"close")],
        [(b":status", b"2x0")],
        [(b"x", b"1")],
        [(b":status", b"200"), (b"x", b"a\nb")],
        [(b":status", b"101")],
    ],
)
def test_a_response_that_is_none(world: World, network: Http2Network, lines: list[tuple[bytes, bytes]]) -> None:
    network.answers = [lambda end, stream, request: _send_raw(end, stream, lines)]
    response = Http2ClientEnd(world).request()
    assert (response.status, response.body[-14:]) == (502, b"protocol error")
    assert world.cluster().stats.upstream_rq_active == 0


def _send_raw(end: Http2UpstreamEnd, stream: int, lines: list[tuple[bytes, bytes]]) -> None:
    from hpack import Encoder
    from hyperframe.frame import HeadersFrame

    frame = HeadersFrame(stream, data=Encoder().encode(lines), flags=["END_HEADERS", "END_STREAM"])
    end.transport.deliver(end.h2.data_to_send() + frame.serialize())


def test_a_slow_client_closes_the_streams_window_alone(world: World, network: Http2Network) -> None:
    network.answers = [silent]
    slow = Http2ClientEnd(world, window=1000)
    slow.request()
    (end,) = network.ends
    end.h2.send_headers(1, [(b":status", b"200")])
    sent = 0
    while True:
        size = min(16384, end.h2.local_flow_control_window(1))
        if not size:
            break
        end.h2.send_data(1, bytes(size))
        sent += size
        world.call(end.flush)
    assert sent < 40 * 1024 * 1024
    assert Http2ClientEnd(world).request().status == 200


@pytest.mark.parametrize("end", ["client leaves", "upstream ends"])
def test_what_a_slow_client_left_unread_is_given_back_to_the_connection(
    world: World, network: Http2Network, end: str
) -> None:
    network.answers = [silent]
    slow = Http2ClientEnd(world, window=1000)
    slow.request()
    (there,) = network.ends
    before = there.h2.outbound_flow_control_window
    there.h2.send_headers(1, [(b":status", b"200")])
    while there.h2.local_flow_control_window(1) > 20_000:
        there.h2.send_data(1, bytes(16384))
        world.call(there.flush)
    assert before - there.h2.outbound_flow_control_window > 10_000_000
    if end == "upstream ends":
        there.h2.send_data(1, b"end", end_stream=True)
        world.call(there.flush)
    else:
        slow.end.leave()
    world.call(there.take)
    assert before - there.h2.outbound_flow_control_window < 100_000


def test_an_idle_connection_is_closed(world: World, network: Http2Network) -> None:
    Http2ClientEnd(world).request()
    (end,) = network.ends
    world.advance(3601)
    assert end.transport.lost
    assert world.cluster().stats.upstream_cx_idle_timeout == 1
    assert world.cluster().stats.upstream_cx_active == 0


def test_a_failed_dial_fails_who_waits(world: World) -> None:
    world.network.refuse = ConnectionRefusedError(111, "Connection refused")
    response = Http2ClientEnd(world).request(method=b"POST")
    world.advance(1)
    assert world.cluster().stats.upstream_cx_connect_fail >= 1
    assert world.cluster().stats.upstream_rq_pending_active == 0
    assert response.interim == []


def test_a_request_leaves_nothing_for_the_collector(world: World, network: Http2Network) -> None:
    client = Http2ClientEnd(world)
    client.request(method=b"POST", body=b"x")
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(5):
            client.request(method=b"POST", body=b"x")
        gc.collect()
        left = [type(each).__name__ for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []
