"""h2's connection as the proxy has it: streams that it takes over, and what h2 itself would answer too hard."""

from __future__ import annotations

import gc
import weakref

import pytest
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated
from h2.exceptions import ProtocolError
from h2.stream import StreamClosedBy
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from pyproxy.wire.hpack import Encoder
from pyproxy.wire.http1 import HTTP2_PREFACE
from pyproxy.wire.http2_engine import Engine, LengthBroken
from pyproxy.wire.http2_stream import Stream

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
SETTINGS = b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def engine() -> Engine:
    """A server's."""
    made = Engine(client=False, max_streams=100)
    made.initiate_connection()
    made.receive_data(HTTP2_PREFACE + SETTINGS)
    made.data_to_send()
    return made


def owned(*, sent_end: bool, received_end: bool) -> Stream:
    stream = Stream(65535, client=False)
    stream.head_received = True
    stream.sent_end, stream.received_end = sent_end, received_end
    return stream


@pytest.mark.parametrize(("sent_end", "received_end"), [(False, False), (True, False), (False, True)])
def test_h2_knows_what_may_still_come_and_go(engine: Engine, sent_end: bool, received_end: bool) -> None:
    assert engine.serves()
    engine.own[1] = owned(sent_end=sent_end, received_end=received_end)
    engine.highest_inbound_stream_id = 1
    engine.hand_over(1)
    assert not engine.own
    events = engine.receive_data(b"\0\0\1\0\0\0\0\0\1x")
    assert [type(event).__name__ for event in events] == ["StreamReset" if received_end else "DataReceived"]
    if received_end:
        return
    if sent_end:
        with pytest.raises(ProtocolError):
            engine.send_headers(1, [(b":status", b"200")])
    else:
        engine.send_headers(1, [(b":status", b"200")])


def test_it_becomes_a_server_once_and_never_a_client(engine: Engine) -> None:
    assert not engine.asks()
    assert engine.serves() and engine.serves()
    assert not engine.asks()


def test_a_padded_body_of_another_length_than_announced_resets_its_stream_alone(engine: Engine) -> None:
    head = HeadersFrame(1, Encoder().encode([*REQUEST, (b"content-length", b"9")]), flags=["END_HEADERS"])
    engine.receive_data(head.serialize())
    events = engine.receive_data(DataFrame(1, b"hello", pad_length=3, flags=["END_STREAM", "PADDED"]).serialize())
    assert [(type(event), event.stream_id) for event in events] == [(LengthBroken, 1)]
    assert engine.data_to_send() == b"\0\0\4\3\0\0\0\0\1\0\0\0" + bytes((ErrorCodes.PROTOCOL_ERROR,))
    assert not engine.told


def test_late_frames_are_no_error_where_the_stream_was_reset(engine: Engine) -> None:
    assert engine.serves()
    engine.highest_inbound_stream_id = 1
    engine.note_reset(1, StreamClosedBy.SEND_RST_STREAM)
    engine.receive_data(b"\0\0\1\0\1\0\0\0\1x")
    assert not engine.told


def test_new_windows_are_those_that_the_peer_gives(engine: Engine) -> None:
    engine.own[1] = stream = owned(sent_end=False, received_end=False)
    stream.room = 65000
    engine.receive_data(b"\0\0\6\4\0\0\0\0\0" + b"\0\4\0\0\0\x64")
    assert (stream.room, engine.room) == (65000 - 65535 + 100, 100)


def test_a_goaway_ends_nothing(engine: Engine) -> None:
    (event,) = engine.receive_data(GoAwayFrame(0, last_stream_id=7).serialize())
    assert isinstance(event, ConnectionTerminated) and event.last_stream_id == 7
    assert engine.serves()


def test_once_ended_it_waits_for_no_collector() -> None:
    made = Engine(client=True, max_streams=100)
    made.initiate_connection()
    seen = weakref.ref(made)
    gc.disable()
    try:
        made.end()
        del made
        assert seen() is None
    finally:
        gc.enable()
