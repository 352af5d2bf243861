"""A session by itself: what a peer may send for nothing."""

from __future__ import annotations

import pytest

from pyproxy.wire.http2 import Flood, Guard

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (HEADERS, 1),
        (CONTINUATION, 1),
        (DATA, 1),
        (PRIORITY, 100),
        (WINDOW_UPDATE, 5),
        (PING, 1000),
        (SETTINGS, 1000),
    ],
)
def test_what_a_peer_may_send_for_nothing(kind: int, allowed: int) -> None:
    guard = Guard()
    for _ in range(allowed):
        guard.watch(kind, 0, 0)
    with pytest.raises(Flood):
        guard.watch(kind, 0, 0)


def test_an_end_of_stream_makes_an_empty_frame_welcome() -> None:
    guard = Guard()
    for _ in range(10):
        guard.watch(DATA, 1, 0)


def test_many_streams_may_be_given_up_at_once() -> None:
    guard = Guard()
    for _ in range(5000):
        guard.watch(RST_STREAM, 0, 4)


def test_streams_and_data_that_was_sent_allow_more() -> None:
    guard = Guard()
    guard.data_sent = 1
    for _ in range(25):
        guard.watch(WINDOW_UPDATE, 0, 4)
    guard.watch(HEADERS, 4, 10)
    for _ in range(200):
        guard.watch(PRIORITY, 0, 5)
