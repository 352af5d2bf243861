"""The short way through h2 leaves everything as the long way does: the same bytes, the same state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from h2.events import StreamReset, WindowUpdated
from h2.exceptions import ProtocolError
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.wire.http2_engine import Engine

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"), (b"x", b"y" * 40)]
RESPONSE = [(b":status", b"200"), (b"content-type", b"text/plain")]
TRAILERS = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
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

    def trailers(self, stream: int, lines: Headers, *, up: bool) -> None:
        here, there = (self.client, self.server) if up else (self.server, self.client)
        if not self.short or not here.put_trailers(stream, lines):
            here.send_headers(stream, lines, end_stream=True)
        self._carry(here, there)

    def acknowledge(self, stream: int, size: int, *, up: bool) -> None:
        """Whoever receives passed so many bytes on."""
        here = self.server if up else self.client
        (here.acknowledge if self.short else self._acknowledge_long(here))(stream, size)
        self._carry(here, self.client if up else self.server)

    def window(self, stream: int, increment: int, *, up: bool) -> None:
        """A client or a server that gives more room than was taken."""
        frame = b"\0\0\4\x08\0" + stream.to_bytes(4, "big") + increment.to_bytes(4, "big")
        self._take(self.server if up else self.client, frame)

    def reset(self, stream: int, code: int, *, up: bool) -> None:
        frame = b"\0\0\4\3\0" + stream.to_bytes(4, "big") + code.to_bytes(4, "big")
        self._take(self.server if up else self.client, frame)

    def _acknowledge_long(self, here: Engine) -> Callable[[int, int], None]:
        return lambda stream, size: here.acknowledge_received_data(size, stream)

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
            if lines is None and end:
                lines = there.take_trailers(stream, frame[9:])
            if lines is not None:
                self.heard.append((stream, lines, end))
                return
        number = int.from_bytes(frame[9:], "big")
        if self.short and kind == 8 and there.take_window(stream, number):
            self.heard.append((stream, "window", number))
            return
        if self.short and kind == 3 and there.take_reset(stream):
            self.heard.append((stream, "reset", number))
            return
        for event in there.receive_data(frame):
            if isinstance(event, WindowUpdated):
                self.heard.append((stream, "window", event.delta))
            elif isinstance(event, StreamReset):
                self.heard.append((stream, "reset", event.error_code))
            elif hasattr(event, "headers"):
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
            found.append((side.outbound_flow_control_window, manager.current_window_size, manager._bytes_processed))
            for identifier, stream in sorted(side.streams.items()):
                inbound = stream._inbound_window_manager
                windows = stream.outbound_flow_control_window, inbound.current_window_size, inbound._bytes_processed
                sizes = stream._expected_content_length, stream._actual_content_length
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
    st.tuples(
        st.just("trailers"),
        st.fixed_dictionaries({"stream": STREAMS, "lines": st.sampled_from([TRAILERS, LONG[1:]]), "up": st.booleans()}),
    ),
    st.tuples(
        st.just("acknowledge"),
        st.fixed_dictionaries({"stream": STREAMS, "size": st.sampled_from([1, 30, 9 << 20]), "up": st.booleans()}),
    ),
    st.tuples(
        st.just("window"),
        st.fixed_dictionaries(
            {
                "stream": st.sampled_from([0, 3, 3, 5]),
                "increment": st.sampled_from([0, 1, 65535, 2**31 - 1, 2**31 - 65535]),
                "up": st.booleans(),
            }
        ),
    ),
    st.tuples(
        st.just("reset"),
        st.fixed_dictionaries({"stream": STREAMS, "code": st.sampled_from([0, 8, 99]), "up": st.booleans()}),
    ),
)


def fits(steps: list[Step]) -> list[Step]:
    """The steps but for DATA on streams that nobody opened: the session never sends that."""
    opened: set[int] = set()
    found = []
    for name, arguments in steps:
        if name == "request":
            opened.add(arguments["stream"])
        if arguments["stream"] in opened or name in ("window", "reset"):
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
