"""The short way through h2 leaves everything as the long way does: the same bytes, the same state."""

from __future__ import annotations

from typing import Any

import pytest
from h2.exceptions import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.wire.http2_engine import Engine

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"), (b"x", b"y" * 40)]
RESPONSE = [(b":status", b"200"), (b"content-type", b"text/plain")]
LONG = [(b":status", b"200"), *[(b"x-%d" % number, b"z" * 900) for number in range(60)]]


class Pair:
    """A server and a client; `short` says which way each takes."""

    def __init__(self, *, short: bool) -> None:
        self.short = short
        self.client = Engine(client=True, max_streams=100)
        self.server = Engine(client=False, max_streams=100)
        self.client.initiate_connection()
        self.server.initiate_connection()
        self.server.receive_data(self.client.data_to_send())
        self.client.receive_data(self.server.data_to_send())
        self.server.receive_data(self.client.data_to_send())
        self.client.send_headers(1, REQUEST, end_stream=True)
        self.server.receive_data(self.client.data_to_send())
        self.wrote: list[bytes] = []
        self.heard: list[Any] = []

    def request(self, stream: int, *, end: bool) -> None:
        if not self.short or not self.client.put_request(stream, REQUEST, end=end):
            self.client.send_headers(stream, REQUEST, end_stream=end)
        self._carry(self.client, self.server)

    def respond(self, stream: int, lines: Headers, *, end: bool) -> None:
        if not self.short or not self.server.put_response(stream, lines, end=end):
            self.server.send_headers(stream, lines, end_stream=end)
        self._carry(self.server, self.client)

    def data(self, stream: int, data: bytes, *, end: bool, up: bool) -> None:
        here, there = (self.client, self.server) if up else (self.server, self.client)
        if not self.short or not here.put_data(stream, data, end=end):
            here.send_data(stream, data, end_stream=end)
        self._carry(here, there)

    def _carry(self, here: Engine, there: Engine) -> None:
        data = here.data_to_send()
        self.wrote.append(data)
        while data:
            size = 9 + int.from_bytes(data[:3], "big")
            self._take(there, data[:size])
            data = data[size:]

    def _take(self, there: Engine, frame: bytes) -> None:
        kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9], "big")
        end = bool(flags & 1)
        if self.short and kind == 0 and there.take_data(stream, len(frame) - 9, end=end):
            self.heard.append((stream, frame[9:], end))
            return
        if self.short and kind == 1 and flags & 4:
            take = there.take_response if there is self.client else there.take_request
            lines = take(stream, frame[9:], end=end)
            if lines is not None:
                self.heard.append((stream, lines, end))
                return
        for event in there.receive_data(frame):
            if hasattr(event, "headers"):
                self.heard.append((stream, event.headers, getattr(event, "stream_ended", None) is not None))
            elif hasattr(event, "flow_controlled_length"):
                self.heard.append((stream, event.data, event.stream_ended is not None))

    @property
    def state(self) -> list[Any]:
        """All that either side knows."""
        found: list[Any] = []
        for side in (self.client, self.server):
            manager = side._inbound_flow_control_window_manager
            found.append((side.state_machine.state, side.highest_inbound_stream_id, side.highest_outbound_stream_id))
            found.append((side.outbound_flow_control_window, manager.current_window_size))
            for identifier, stream in sorted(side.streams.items()):
                windows = stream.outbound_flow_control_window, stream._inbound_window_manager.current_window_size
                sizes = stream._expected_content_length, stream._actual_content_length, stream.request_method
                found.append((identifier, vars(stream.state_machine), windows, sizes))
        return found


Step = tuple[str, dict[str, Any]]


def play(pair: Pair, steps: list[Step]) -> tuple[Any, ...]:
    """What came of some steps; a step that h2 refuses is the last."""
    refused = ""
    for name, arguments in steps:
        try:
            getattr(pair, name)(**arguments)
        except ProtocolError as error:
            refused = type(error).__name__
            break
    return pair.wrote, pair.heard, refused, pair.state if not refused else None


STREAMS = st.sampled_from([3, 3, 3, 5, 7])
STEPS = st.one_of(
    st.tuples(st.just("request"), st.fixed_dictionaries({"stream": STREAMS, "end": st.booleans()})),
    st.tuples(
        st.just("respond"),
        st.fixed_dictionaries({"stream": STREAMS, "lines": st.sampled_from([RESPONSE, LONG]), "end": st.booleans()}),
    ),
    st.tuples(
        st.just("data"),
        st.fixed_dictionaries(
            {"stream": STREAMS, "data": st.binary(max_size=30), "end": st.booleans(), "up": st.booleans()}
        ),
    ),
)


def fits(steps: list[Step]) -> list[Step]:
    """The steps but for DATA on streams that nobody opened: the session never sends that."""
    opened: set[int] = set()
    found = []
    for name, arguments in steps:
        if name == "request":
            opened.add(arguments["stream"])
        if arguments["stream"] in opened:
            found.append((name, arguments))
    return found


@given(st.lists(STEPS, max_size=12).map(fits))
def test_whatever_happens(steps: list[Step]) -> None:
    assert play(Pair(short=True), steps) == play(Pair(short=False), steps)


def test_a_call_from_beginning_to_end() -> None:
    steps: list[Step] = [
        ("request", {"stream": 3, "end": False}),
        ("data", {"stream": 3, "data": b"hello", "end": True, "up": True}),
        ("respond", {"stream": 3, "lines": LONG, "end": False}),
        ("data", {"stream": 3, "data": b"answer", "end": True, "up": False}),
    ]
    short, long = play(Pair(short=True), steps), play(Pair(short=False), steps)
    assert short == long
    assert short[2] == ""
    assert len(short[1]) == 4


def test_a_stream_that_is_closed_is_forgotten_but_not_open_again() -> None:
    pair = Pair(short=True)
    pair.request(3, end=True)
    pair.server.forget(3)
    assert 3 in pair.server.streams
    pair.respond(3, RESPONSE, end=True)
    pair.server.forget(3)
    assert 3 not in pair.server.streams
    with pytest.raises(ProtocolError):
        pair.server.receive_data(b"\0\0\x01\1\5\0\0\0\3\x88")


def test_late_frames_of_a_stream_that_was_reset_are_no_error() -> None:
    pair = Pair(short=True)
    pair.request(3, end=False)
    pair.server.reset_stream(3)
    pair.server.forget(3)
    assert 3 not in pair.server.streams
    pair.server.receive_data(b"\0\0\x01\0\1\0\0\0\3x")


def test_a_body_of_another_length_than_announced_is_refused() -> None:
    pair = Pair(short=True)
    pair.client.put_request(3, [*REQUEST, (b"content-length", b"3")], end=False)
    pair._carry(pair.client, pair.server)
    with pytest.raises(ProtocolError):
        pair.data(3, b"four", end=True, up=True)
