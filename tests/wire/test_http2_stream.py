"""What a new stream may do."""

from __future__ import annotations

from pyproxy.wire.http2_stream import STREAM_WINDOW, Stream


def test_nothing_has_happened_yet() -> None:
    stream = Stream(100, client=True)
    assert (stream.room, stream.given, stream.passed, stream.received) == (100, STREAM_WINDOW, 0, 0)
    assert not (stream.head_sent or stream.head_received or stream.sent_end or stream.received_end)
    assert stream.announced < 0
