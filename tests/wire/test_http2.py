"""A session by itself: what it writes, and when."""

from __future__ import annotations

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, PriorityFrame, WindowUpdateFrame

from pyproxy.wire.http2 import Flood, Guard


def test_an_end_of_stream_makes_an_empty_frame_welcome() -> None:
    guard = Guard()
    for _ in range(10):
        guard.watch(received(DataFrame(1, flags=["END_STREAM"])))


@pytest.mark.parametrize(
    ("frame", "allowed"),
    [
        (HeadersFrame(1, flags=["END_HEADERS"]), 1),
        (DataFrame(1), 1),
        (PriorityFrame(1), 100),
        (WindowUpdateFrame(0, window_increment=1), 5),
        (PingFrame(0), 1000),
    ],
)
def test_what_a_peer_may_send_for_nothing(frame: HeadersFrame, allowed: int) -> None:
    guard = Guard()
    for _ in range(allowed):
        guard.watch(received(frame))
    with pytest.raises(Flood):
        guard.watch(received(frame))


def test_data_that_was_sent_allows_more_window_updates() -> None:
    guard = Guard()
    guard.data_sent = 1
    for _ in range(25):
        guard.watch(received(WindowUpdateFrame(0, window_increment=1)))


def received(frame: HeadersFrame) -> HeadersFrame:
    """As the parser makes it."""
    raw = frame.serialize()
    parsed, _ = type(frame).parse_frame_header(memoryview(raw[:9]))
    parsed.parse_body(memoryview(raw[9:]))
    return parsed  # type: ignore[return-value]
