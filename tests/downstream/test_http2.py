"""The server side of HTTP/2: streams, windows, ends, and frames that are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from pyproxy.wire.websocket import accept_of
from tests.fakes import SERVICE, FakeNetwork, World
from tests.http2_peers import Http2ClientEnd, Message

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture
def world() -> Iterator[World]:
    with World(SERVICE) as made:
        yield made


@pytest.fixture
def client(world: World) -> Http2ClientEnd:
    return Http2ClientEnd(world)


def test_a_request_goes_out_as_http1_and_its_response_comes_back_as_frames(
    world: World, client: Http2ClientEnd
) -> None:
    response = client.request((b"x-a", b"1"), (b"te", b"trailers"), path=b"/p?q")
    (seen,) = world.network.requests
    assert (seen.method, seen.target, seen.get(b"host"), seen.get(b"x-a")) == (b"GET", b"/p?q", b"app.test", b"1")
    assert seen.get(b"te") == b"trailers"
    assert seen.get(b"transfer-encoding") is None and seen.get(b"content-length") is None
    assert (response.status, response.body, response.ended) == (200, b"ok", True)
    assert response.get(b"server") == b"envoy"
    assert response.get(b"connection") is None


def test_the_authority_may_come_as_host(world: World, client: Http2ClientEnd) -> None:
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(
        stream, [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b"host", b"app.test")], end_stream=True
    )
    client.flush()
    assert world.network.requests[0].get(b"host") == b"app.test"


def test_crumbs_of_a_cookie_become_one_line(world: World, client: Http2ClientEnd) -> None:
    client.request((b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"))
    assert world.network.requests[0].get(b"cookie") == b"a=1; b=2"


def test_a_body_without_a_length_goes_out_in_chunks(world: World, client: Http2ClientEnd) -> None:
    client.request(method=b"POST", body=b"hello")
    (seen,) = world.network.requests
    assert (seen.get(b"transfer-encoding"), seen.body, seen.whole) == (b"chunked", b"hello", True)


def test_a_body_with_a_length_keeps_it(world: World, client: Http2ClientEnd) -> None:
    client.request((b"content-length", b"5"), method=b"POST", body=b"hello")
    (seen,) = world.network.requests
    assert (seen.get(b"content-length"), seen.body) == (b"5", b"hello")


def test_trailers_of_a_request_are_dropped_on_the_way_to_http1(world: World, client: Http2ClientEnd) -> None:
    stream = client.begin(method=b"POST", end=False)
    client.h2.send_data(stream, b"hello")
    client.h2.send_headers(stream, [(b"x-sum", b"1")], end_stream=True)
    client.flush()
    (seen,) = world.network.requests
    assert (seen.body, seen.whole, seen.get(b"x-sum")) == (b"hello", True, None)
    assert client.streams[stream].ended


def test_a_chunked_response_comes_as_data(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [CHUNKED + b"5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n"]
    response = client.request()
    assert (response.body, response.ended, response.trailers) == (b"hello", True, None)
    assert response.get(b"transfer-encoding") is None


def test_head_has_the_length_and_no_body(world: World, client: Http2ClientEnd) -> None:
    response = client.request(method=b"HEAD")
    assert (response.get(b"content-length"), response.body, response.ended) == (b"2", b"", True)


def test_no_content_and_early_hints(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"]
    response = client.request()
    assert (response.status, response.ended) == (204, True)
    assert response.interim == [[(b":status", b"103"), (b"link", b"x")]]


def test_many_streams_share_the_connection(world: World, client: Http2ClientEnd) -> None:
    streams = [client.begin(path=b"/%d" % number) for number in range(50)]
    client.flush()
    assert all(client.streams[stream].body == b"ok" for stream in streams)
    assert {seen.target for seen in world.network.requests} == {b"/%d" % number for number in range(50)}
    assert world.stats.downstream_cx_http2_total == 1
    assert world.stats.downstream_rq_http2_total == 50
    assert world.stats.downstream_rq_active == 0


def test_more_streams_than_allowed_are_refused(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [None] * 1024
    client.h2.remote_settings.update({3: 5000})
    client.h2.remote_settings.acknowledge()
    streams = [client.begin() for _ in range(1025)]
    client.flush()
    assert client.streams[streams[-1]].reset == 7
    assert [stream for stream in streams if client.streams[stream].reset is not None] == streams[-1:]


# Websockets


def begin_websocket(client: Http2ClientEnd, *extra: tuple[bytes, bytes]) -> Message:
    stream = client.begin((b":protocol", b"websocket"), *extra, method=b"CONNECT", path=b"/chat", end=False)
    client.flush()
    return client.streams[stream]


def switched(key: bytes) -> bytes:
    lines = b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: %b\r\n\r\n" % accept_of(key)
    return b"HTTP/1.1 101 Switching Protocols\r\n" + lines


def test_a_websocket_becomes_a_handshake_of_http1(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [None]
    response = begin_websocket(client, (b"sec-websocket-version", b"13"))
    (end,) = world.network.ends
    (seen,) = world.network.requests
    assert (seen.method, seen.target, seen.get(b"upgrade")) == (b"GET", b"/chat", b"websocket")
    key = seen.get(b"sec-websocket-key")
    assert key is not None
    world.call(end.send, switched(key) + b"from there")
    client.h2.send_data(1, b"from here")
    client.flush()
    assert (response.status, response.body, response.ended) == (200, b"from there", False)
    assert [response.get(name) for name in (b"upgrade", b"connection", b"sec-websocket-accept")] == [None] * 3
    assert end.transport.written.endswith(b"\r\n\r\nfrom here")


def test_a_service_may_say_nothing_of_the_key(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n"]
    assert begin_websocket(client).status == 200


def test_a_service_that_answers_another_key_is_no_websocket(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [switched(b"another") + b"from there"]
    response = begin_websocket(client)
    assert (response.status, response.ended) == (502, True)
    assert world.network.ends[0].transport.lost


def test_a_key_of_the_clients_own_is_its_own_affair(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [switched(b"another")]
    response = begin_websocket(client, (b"sec-websocket-key", b"own"))
    assert world.network.requests[0].get(b"sec-websocket-key") == b"own"
    assert (response.status, response.get(b"sec-websocket-accept")) == (200, accept_of(b"another"))


# Windows


def test_a_slow_client_holds_no_more_than_its_window_and_what_waits_behind_it(world: World) -> None:
    client = Http2ClientEnd(world, window=1000)
    world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"]
    response = client.request()
    (end,) = world.network.ends
    for _ in range(10):
        world.call(end.send, bytes(100_000))
    client.flush()
    assert len(response.body) == 1000
    assert not end.transport.reading
    client.acknowledges = True
    for _ in range(2000):
        client.h2.increment_flow_control_window(10_000, 1)
        client.h2.increment_flow_control_window(10_000)
        client.flush()
        if response.ended:
            break
    assert (len(response.body), response.ended) == (1_000_000, True)
    assert end.transport.reading


def forget(network: FakeNetwork) -> None:
    """What the upstream was sent: to add to so many bytes takes long."""
    network.ends[0].transport.written, network.ends[0]._fed = b"", 0
    network.requests[0].body = b""


def test_an_upload_that_the_upstream_does_not_read_stops_the_client(world: World, client: Http2ClientEnd) -> None:
    world.network.limit = 1000
    stream = client.begin(method=b"POST", end=False)
    client.flush()
    window = client.h2.local_flow_control_window(stream)
    sent = 0
    for _ in range(4000):
        size = min(16384, client.h2.local_flow_control_window(stream))
        if not size:
            break
        client.h2.send_data(stream, bytes(size))
        sent += size
        client.flush()
        if world.network.ends:
            forget(world.network)
    assert client.h2.local_flow_control_window(stream) == 0
    assert sent < 2 * window


def test_an_upload_that_is_passed_on_gives_its_window_back(world: World, client: Http2ClientEnd) -> None:
    stream = client.begin(method=b"POST", end=False)
    client.flush()
    sent = 0
    while sent < 40_000_000:
        assert client.h2.local_flow_control_window(stream) >= 16384
        client.h2.send_data(stream, bytes(16384))
        sent += 16384
        if sent % (1 << 20) == 0:
            client.flush()
            forget(world.network)


# Ends


def test_a_reset_by_the_client_ends_the_exchange(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [None]
    stream = client.begin()
    client.flush()
    client.h2.reset_stream(stream, 8)
    client.flush()
    (end,) = world.network.ends
    assert end.transport.lost
    assert world.stats.downstream_rq_rx_reset == 1
    assert world.stats.downstream_rq_active == 0
    assert client.request().status == 200


def test_a_response_that_breaks_off_is_reset(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"]
    response = client.request()
    (end,) = world.network.ends
    world.call(end.transport.lose)
    client.flush()
    assert (response.status, response.body, response.reset) == (200, b"hello", 2)


def test_a_response_before_the_request_is_whole_ends_the_stream(client: Http2ClientEnd) -> None:
    response = client.request(method=b"QUERY", end=False)
    assert (response.status, response.ended, response.reset) == (400, True, 0)
    assert client.request().status == 200


def test_a_client_that_leaves_takes_its_streams_along(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [None, None]
    client.begin()
    client.begin()
    client.flush()
    client.end.leave()
    assert all(end.transport.lost for end in world.network.ends)
    assert (world.stats.downstream_rq_active, world.stats.downstream_cx_active) == (0, 0)
    assert world.stats.downstream_cx_http2_active == 0


def test_a_drain_announces_serves_what_is_under_way_and_closes(world: World, client: Http2ClientEnd) -> None:
    world.network.script = [None]
    stream = client.begin()
    client.flush()
    world.call(world.bound.drain)
    other = client.begin()
    client.end.send(client.h2.data_to_send())  # before the client could know
    client.flush()
    assert client.streams[other].status == 200
    assert client.goaways == [(2**31 - 1, 0), (3, 0)]
    assert client.request().reset == 7
    assert not client.end.closed
    world.call(world.network.ends[0].send, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    client.flush()
    assert client.streams[stream].body == b"ok"
    assert client.end.closed


def test_a_client_that_answers_no_ping_is_drained_all_the_same(world: World) -> None:
    client = world.client()
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SettingsFrame(0).serialize())
    world.call(world.bound.drain)
    assert not client.closed
    world.advance(1.1)
    assert client.closed


def test_an_idle_connection_is_closed_in_the_end(world: World, client: Http2ClientEnd) -> None:
    client.request()
    world.advance(3599)
    world.sweep()
    assert client.goaways == []
    client._take()
    world.advance(2)
    world.sweep()
    client.flush()
    client.flush()
    assert client.end.closed
    assert world.stats.downstream_cx_idle_timeout == 1


# Frames that are refused


@pytest.mark.parametrize(
    "lines",
    [
        [(b"connection", b"close")],
        [(b"transfer-encoding", b"chunked")],
        [(b"upgrade", b"h2c")],
        [(b"te", b"gzip")],
        [(b"X-Upper", b"a")],
        [(b"bad name", b"a")],
        [(b"", b"a")],
        [(b"x", b"a\r\nb: c")],
        [(b"x", b"a\0b")],
        [(b"host", b"a"), (b"host", b"b")],
        [(b"x", b"a"), (b":path", b"/late")],
        [(b":method", b"GET")],
        [(b":unknown", b"x")],
        [(b":protocol", b"websocket")],
    ],
)
def test_a_head_that_is_no_head_ends_the_connection(
    world: World, client: Http2ClientEnd, lines: list[tuple[bytes, bytes]]
) -> None:
    client.frames(headers(*lines))
    assert client.goaways == [(1, 1)]
    assert client.end.closed
    assert world.network.requests == []
    assert world.stats.downstream_rq_active == 0


@pytest.mark.parametrize("left_out", [b":method", b":scheme", b":path", b":authority"])
def test_a_head_without_its_pseudo_fields_ends_the_connection(
    world: World, client: Http2ClientEnd, left_out: bytes
) -> None:
    lines = [line for line in PSEUDO if line[0] != left_out]
    client.frames(block(lines))
    assert client.goaways == [(1, 1)]


@pytest.mark.parametrize("lines", [[(b"x%d" % number, b"") for number in range(101)], [(b"x", bytes(b"a" * 61_500))]])
def test_a_head_that_is_too_much_is_reset_and_the_connection_stays(
    world: World, client: Http2ClientEnd, lines: list[tuple[bytes, bytes]]
) -> None:
    assert client.request(*lines).reset == 2
    assert client.request().status == 200
    assert len(world.network.requests) == 1


def test_too_many_continuations_end_the_connection(world: World, client: Http2ClientEnd) -> None:
    first = HeadersFrame(1, data=b"\x82")
    client.frames(first, *[ContinuationFrame(1, data=b"\x40\x01a\x01b") for _ in range(100)])
    assert client.end.closed
    assert client.goaways


def test_a_head_that_comes_too_slowly_ends_the_connection(world: World, client: Http2ClientEnd) -> None:
    client.frames(HeadersFrame(1, data=b"\x82"))
    world.advance(9)
    world.sweep()
    client.frames(ContinuationFrame(1, data=b"\x86"))
    assert not client.end.closed
    world.advance(2)
    world.sweep()
    assert client.end.closed


def test_a_header_list_that_unpacks_to_much_ends_the_connection(world: World, client: Http2ClientEnd) -> None:
    encoder = Encoder()
    bomb = encoder.encode([*PSEUDO, (b"x", b"a" * 4000)]) + b"\xbe" * 4000
    frame = HeadersFrame(1, data=bomb, flags=["END_HEADERS", "END_STREAM"])
    client.frames(frame)
    assert client.end.closed


def flood_of_pings() -> list[Frame]:
    return [PingFrame(0, opaque_data=b"12345678") for _ in range(1100)]


def flood_of_settings() -> list[Frame]:
    return [SettingsFrame(0) for _ in range(1100)]


def flood_of_priorities() -> list[Frame]:
    return [PriorityFrame(3, depends_on=0, stream_weight=1) for _ in range(500)]


def flood_of_window_updates() -> list[Frame]:
    return [WindowUpdateFrame(0, window_increment=1) for _ in range(100)]


def flood_of_empty_data() -> list[Frame]:
    return [headers(end=False), *[DataFrame(1, data=b"") for _ in range(3)]]


def flood_of_resets() -> list[Frame]:
    found: list[Frame] = []
    encoder = Encoder()
    for number in range(300):
        frame = HeadersFrame(1 + 2 * number, data=encoder.encode(PSEUDO), flags=["END_HEADERS", "END_STREAM"])
        found += [frame, RstStreamFrame(1 + 2 * number, error_code=8)]
    return found


@pytest.mark.parametrize(
    "flood",
    [
        flood_of_pings,
        flood_of_settings,
        flood_of_priorities,
        flood_of_window_updates,
        flood_of_empty_data,
        flood_of_resets,
    ],
)
def test_a_flood_ends_the_connection(world: World, flood: object) -> None:
    assert callable(flood)
    client = Http2ClientEnd(world, limit=1000)
    world.network.script = [None] * 1000
    client.end.send(b"".join(frame.serialize() for frame in flood()))
    assert client.end.transport._closing or client.end.closed
    assert world.stats.downstream_rq_active == 0


def test_pings_are_answered(world: World, client: Http2ClientEnd) -> None:
    client.frames(PingFrame(0, opaque_data=b"12345678"))
    assert client.end.received.endswith(b"\0\0\x08\x06\x01\0\0\0\0" + b"12345678")


def test_the_preface_may_come_byte_by_byte_and_no_other_word_is_taken_for_it(world: World) -> None:
    client = world.client()
    client.send(*[bytes((byte,)) for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()])
    assert client.received[3] == 4  # SETTINGS
    other = world.client()
    other.send(*[bytes((byte,)) for byte in b"PUT / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 0\r\n\r\n"])
    assert [response.status for response in other.responses(b"PUT")] == [200]
    assert world.stats.downstream_cx_total == 2


PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app.test"), (b":path", b"/")]


def headers(*extra: tuple[bytes, bytes], end: bool = True) -> HeadersFrame:
    return block([*PSEUDO, *extra], end=end)


def block(lines: list[tuple[bytes, bytes]], *, end: bool = True) -> HeadersFrame:
    flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
    return HeadersFrame(1, data=Encoder().encode(lines), flags=flags)
