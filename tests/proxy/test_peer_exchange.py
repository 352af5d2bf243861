"""Who stands before a tunnel. Two proxies that introduce themselves: tests/integration/test_peer_exchange.py."""

from __future__ import annotations

import pytest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.proxy.peer_exchange import Introduction, record_peer
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.snapshot.model import Identity
from pyproxy.telemetry.peer_metadata import own_frame, own_metadata
from pyproxy.wire.peer_exchange import FrameReader
from tests.fakes import FakeTransport

REVIEWS = own_metadata(Identity(workload="reviews-v1"))
FRAME = own_frame(REVIEWS)


class Joined:
    def __init__(self) -> None:
        self.client, self.upstream = FakeTransport(), FakeTransport()
        self.over = 0
        self.frame = FrameReader()
        tunnel = Tunnel(self.client, self.upstream, lambda received, sent: None)
        tunnel.start()
        self.side = tunnel.client
        self.introduction = Introduction(self.frame, self.side, self.count)

    def count(self) -> None:
        self.over += 1
        assert self.upstream.written == b""  # who it is is known before its first byte passes

    @property
    def stands_aside(self) -> bool:
        return self.client.get_protocol() is self.side


@pytest.fixture
def joined() -> Joined:
    return Joined()


def test_a_frame_does_not_pass_through_the_tunnel(joined: Joined) -> None:
    joined.introduction.data_received(FRAME[:30])
    assert not joined.stands_aside
    joined.introduction.data_received(FRAME[30:] + b"bytes")
    assert joined.stands_aside
    assert joined.upstream.written == b"bytes"
    assert (joined.side.received, joined.over) == (5, 1)


def test_something_else_does(joined: Joined) -> None:
    joined.introduction.data_received(b"SELECT 1")
    assert joined.stands_aside
    assert (joined.upstream.written, joined.over) == (b"SELECT 1", 1)


def test_who_ends_before_that_is_unknown_and_ends_the_tunnel(joined: Joined) -> None:
    joined.introduction.data_received(FRAME[:3])
    assert joined.introduction.eof_received()
    assert joined.stands_aside
    assert (joined.upstream.written, joined.over) == (FRAME[:3], 1)
    assert joined.side.ended


async def test_the_tunnel_sees_its_side_come_and_go(joined: Joined) -> None:
    joined.introduction.pause_writing()
    assert joined.side.peer.paused == 1
    joined.introduction.resume_writing()
    joined.introduction.connection_lost(None)
    assert joined.side.lost
    assert joined.upstream.is_closing()


def test_what_a_frame_says_is_kept_as_the_header_would_have_it() -> None:
    ctx = RequestContext(RequestHead(b"", b"", b"", []), 0.0, 0.0)
    frame = FrameReader()
    for each in (None, frame):
        record_peer(ctx, each)
        assert ctx.peer_metadata is None
    frame.feed(FRAME)
    record_peer(ctx, frame)
    assert ctx.peer_metadata == REVIEWS[1]
