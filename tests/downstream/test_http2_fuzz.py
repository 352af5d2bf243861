"""Frames that nobody would send, in any order: the proxy answers, resets or closes, and never stumbles."""

from __future__ import annotations

from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes import SERVICE, World
from tests.http2_peers import Http2ClientEnd, Http2Network, Http2UpstreamEnd, Message
from tests.versions import UPGRADE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
REQUEST = Encoder().encode(
    [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"app.test"),
        (b":path", b"/"),
        (b"content-length", b"3"),
    ],
    huffman=False,
)
SOCKET = Encoder().encode(
    [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"app.test"),
        (b":path", b"/"),
    ]
)
RESPONSE = b"\x88"
PAYLOADS = st.sampled_from(
    [
        b"",
        REQUEST,
        REQUEST,
        SOCKET,
        RESPONSE,
        b"abc",
        b"\0\0\0\1",
        b"\0\0\0\0",
        b"\0\0\0\0\5",
        b"\0\4\0\0\0\0",
        b"\0\5\0\0\1\0",
        bytes(8),
    ]
) | st.binary(max_size=40)
FRAMES = st.tuples(
    st.sampled_from([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200]),
    st.sampled_from([0, 1, 4, 5, 5, 8, 0x20, 0x25, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 1, 3, 5, 2, 2**31 - 1]),
    PAYLOADS,
)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(FRAMES, max_size=12), st.booleans())
def test_a_client_may_send_what_it_likes(frames: list[tuple[int, int, int, bytes]], at_once: bool) -> None:
    with World(SERVICE) as world:
        client = world.client()
        client.send(PREFACE)
        pieces = [frame(*each) for each in frames]
        if at_once:
            client.send(b"".join(pieces))
        else:
            client.send(*pieces)
        client.leave()
        world.advance(2)
        assert (world.stats.downstream_rq_active, world.stats.downstream_cx_active) == (0, 0)
        assert world.cluster().stats.upstream_rq_active == 0


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(FRAMES, max_size=12))
def test_an_upstream_may_send_what_it_likes(frames: list[tuple[int, int, int, bytes]]) -> None:
    def answer(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.transport.deliver(b"".join(frame(*each) for each in frames))

    with World(UPGRADE) as world:
        network = Http2Network(world)
        network.answers = [answer]
        client = Http2ClientEnd(world)
        client.begin(method=b"POST")
        client.end.send(client.h2.data_to_send())
        client.end.leave()
        world.advance(2)
        assert world.stats.downstream_rq_active == 0
        state = world.cluster()
        assert (state.stats.upstream_rq_active, state.stats.upstream_rq_pending_active) == (0, 0)
