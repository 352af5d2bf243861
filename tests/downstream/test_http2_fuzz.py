"""Frames that nobody would send, in any order: the proxy answers, resets or closes, and never stumbles."""

from __future__ import annotations

from typing import Any

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
ANY = st.tuples(
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 200]),
    st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x25, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 3, 5, 2, 2**31 - 1]),
    PAYLOADS,
)
SENSIBLE = st.sampled_from(
    [
        (1, 4, 1, REQUEST),
        (1, 4, 3, REQUEST),
        (1, 5, 1, RESPONSE),
        (1, 4, 1, RESPONSE),
        (1, 0, 1, REQUEST),
        (9, 4, 1, b""),
        (1, 4, 1, SOCKET),
        (0, 0, 1, b"ab"),
        (0, 1, 1, b"abc"),
        (0, 0, 1, b"abcdef"),
        (0, 9, 1, b"\1x\0"),
        (3, 0, 1, b"\0\0\0\1"),
        (3, 0, 1, b"\0\0\0\7"),
        (4, 0, 0, b"\0\4\0\0\0\0"),
        (7, 0, 0, bytes(8)),
        (8, 0, 1, b"\0\0\1\0"),
    ]
)
FRAMES = st.one_of(SENSIBLE, SENSIBLE, SENSIBLE, ANY)
OPENING = st.sampled_from([[], [(1, 4, 1, REQUEST)], [(1, 4, 1, REQUEST)], [(1, 4, 1, SOCKET)]])
ANSWER = st.sampled_from([[], [(1, 4, 1, RESPONSE)], [(1, 4, 1, RESPONSE)]])


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(OPENING, st.lists(FRAMES, max_size=12), st.booleans())
def test_a_client_may_send_what_it_likes(opening: list[Any], frames: list[Any], at_once: bool) -> None:
    with World(SERVICE) as world:
        client = world.client()
        client.send(PREFACE)
        pieces = [frame(*each) for each in opening + frames]
        if at_once:
            client.send(b"".join(pieces))
        else:
            client.send(*pieces)
        client.leave()
        world.advance(2)
        assert (world.stats.downstream_rq_active, world.stats.downstream_cx_active) == (0, 0)
        assert world.cluster().stats.upstream_rq_active == 0


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANSWER, st.lists(FRAMES, max_size=12))
def test_an_upstream_may_send_what_it_likes(opening: list[Any], frames: list[Any]) -> None:
    def answer(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
        end.transport.deliver(b"".join(frame(*each) for each in opening + frames))

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
