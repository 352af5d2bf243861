"""The common frames leave everything as h2 would: the same bytes, the same events, the same state when it does."""

from __future__ import annotations

from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset, WindowUpdated
from h2.exceptions import InvalidBodyLengthError, ProtocolError
from h2.stream import StreamState
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.wire.http2_engine import Engine, LengthBroken
from pyproxy.wire.http2_frames import Frames

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/"), (b"x", b"y" * 40)]
RESPONSE = [(b":status", b"200"), (b"content-type", b"text/plain")]
SIZED = [*REQUEST, (b"content-length", b"3")]
SIZED_RESPONSE = [*RESPONSE, (b"content-length", b"3")]
SETTINGS = st.sampled_from([b"\0\4\0\0\0\x64", b"\0\4\0\1\0\0", b"\0\5\0\0\x50\0", b"\0\4\x7f\xff\xff\xff"])
PADDED = st.sampled_from([b"\1x\0", b"\2xyz\0\0", b"\0", b"\7"])
TRAILERS = [(b"grpc-status", b"0"), (b"grpc-message", b"fine")]
LONG = [(b":status", b"200"), *[(b"x-%d" % number, b"z" * 900) for number in range(60)]]


class Side:
    """One end. `short`: it knows the common frames itself; else h2 does everything."""

    def __init__(self, *, client: bool, short: bool) -> None:
        self.short = short
        self.client = client
        self.engine = Engine(client=client, max_streams=100)
        self.frames = Frames(self.engine)
        self.heard: list[Any] = []
        self.engine.initiate_connection()

    def head(self, stream: int, lines: Headers, *, end: bool) -> None:
        if not self.short:
            self.engine.send_headers(stream, lines, end_stream=end)
        elif self.client:
            self.frames.put_request(stream, lines, end=end)
        else:
            self.frames.put_response(stream, lines, end=end)

    def data(self, stream: int, data: bytes, *, end: bool) -> None:
        if self.short:
            self.frames.put_data(stream, data, end=end)
        else:
            self.engine.send_data(stream, data, end_stream=end)

    def trailers(self, stream: int, lines: Headers) -> None:
        if self.short:
            self.frames.put_trailers(stream, lines)
        else:
            self.engine.send_headers(stream, lines, end_stream=True)

    def acknowledge(self, stream: int, size: int) -> None:
        if self.short:
            self.frames.acknowledge(stream, size)
        else:
            self.engine.acknowledge_received_data(size, stream)

    def reset(self, stream: int, code: int) -> None:
        if self.short:
            self.frames.put_reset(stream, ErrorCodes(code))
        else:
            try:
                self.engine.reset_stream(stream, code)
            except ProtocolError:
                pass

    def take(self, frame: bytes) -> None:
        """One whole frame."""
        kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9], "big")
        if not self.short or not self._take_common(kind, flags, stream, frame[9:]):
            self.engine.hand_over(stream)
            for event in self.engine.receive_data(frame):
                self._hear(event, stream)
        self.frames.forget(stream)

    def _take_common(self, kind: int, flags: int, stream: int, payload: bytes) -> bool:
        end, number = bool(flags & 1), int.from_bytes(payload, "big")
        frames = self.frames
        if kind == 0 and not flags & 8 and self._take_data(stream, payload, end=end):
            pass
        elif kind == 3 and frames.take_reset(stream):
            self.heard.append((stream, "reset", number))
        elif kind == 8 and frames.take_window(stream, number):
            self.heard.append((stream, "window", number))
        elif kind == 1 and flags & 4:
            take = frames.take_response if self.client else frames.take_request
            lines = take(stream, payload, end=end)
            if lines is None and end:
                lines = frames.take_trailers(stream, payload)
            if lines is None:
                return False
            self.heard.append((stream, lines, end))
        else:
            return False
        return True

    def _take_data(self, stream: int, payload: bytes, *, end: bool) -> bool:
        try:
            if not self.frames.take_data(stream, len(payload), end=end):
                return False
        except InvalidBodyLengthError:
            self.frames.put_reset(stream, ErrorCodes.PROTOCOL_ERROR)
            self.heard.append((stream, "broken"))
        else:
            self.heard.append((stream, payload, end))
        return True

    def _hear(self, event: Any, stream: int) -> None:
        if isinstance(event, WindowUpdated):
            self.heard.append((stream, "window", event.delta))
        elif isinstance(event, StreamReset):
            self.heard.append((stream, "reset", event.error_code))
        elif isinstance(event, LengthBroken):
            self.heard.append((stream, "broken"))
        elif hasattr(event, "headers"):
            self.heard.append((stream, event.headers, getattr(event, "stream_ended", None) is not None))
        elif hasattr(event, "flow_controlled_length"):
            self.heard.append((stream, event.data, event.stream_ended is not None))

    @property
    def state(self) -> list[Any]:
        """All that it knows, once h2 knows of everything."""
        engine = self.engine
        for identifier in list(engine.own):
            engine.hand_over(identifier)
        whole = engine._inbound_flow_control_window_manager
        found: list[Any] = [engine.state_machine.state, engine.highest_inbound_stream_id]
        found += [engine.highest_outbound_stream_id, dict(engine._closed_streams)]
        found += [engine.outbound_flow_control_window, whole.current_window_size, whole._bytes_processed]
        for identifier, stream in sorted(engine.streams.items()):
            inbound = stream._inbound_window_manager
            machine = dict(vars(stream.state_machine))
            machine.pop("trailers_sent"), machine.pop("trailers_received")  # behind the end of a stream is nothing
            if stream.state_machine.state is not StreamState.HALF_CLOSED_REMOTE:  # else no more comes to be counted
                found += [stream._expected_content_length, stream._actual_content_length]
            found += [identifier, machine]
            found += [stream.outbound_flow_control_window, inbound.current_window_size, inbound._bytes_processed]
        return found


class Pair:
    """A server and a client."""

    def __init__(self, *, short: bool) -> None:
        self.client = Side(client=True, short=short)
        self.server = Side(client=False, short=short)
        self.wrote: list[bytes] = []
        for here, there in ((self.client, self.server), (self.server, self.client), (self.client, self.server)):
            there.engine.receive_data(here.frames.drain())

    def request(self, stream: int, *, end: bool, lines: Headers = REQUEST) -> None:
        self.client.head(stream, lines, end=end)
        self._carry(self.client, self.server)

    def respond(self, stream: int, lines: Headers, *, end: bool) -> None:
        if self.server.frames.knows(stream):
            self.server.head(stream, lines, end=end)
        self._carry(self.server, self.client)

    def data(self, stream: int, data: bytes, *, end: bool, up: bool) -> None:
        here, there = self._ends(up=up)
        if here.frames.knows(stream):  # as the session asks first
            here.data(stream, data, end=end)
        self._carry(here, there)

    def trailers(self, stream: int, lines: Headers, *, up: bool) -> None:
        here, there = self._ends(up=up)
        if here.frames.knows(stream):
            here.trailers(stream, lines)
        self._carry(here, there)

    def acknowledge(self, stream: int, size: int, *, up: bool) -> None:
        """Whoever receives passed so many bytes on."""
        there, here = self._ends(up=up)
        here.acknowledge(stream, size)
        self._carry(here, there)

    def reset(self, stream: int, code: int, *, up: bool) -> None:
        here, there = self._ends(up=up)
        here.reset(stream, code)
        here.frames.forget(stream)
        self._carry(here, there)

    def frame(self, kind: int, flags: int, stream: int, payload: bytes, *, up: bool) -> None:
        """What the other side's h2 would not have sent."""
        frame = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
        here, there = self._ends(up=up)
        there.take(frame)
        self._carry(there, here)

    @property
    def state(self) -> list[Any]:
        return self.client.state + self.server.state

    def _ends(self, *, up: bool) -> tuple[Side, Side]:
        return (self.client, self.server) if up else (self.server, self.client)

    def _carry(self, here: Side, there: Side) -> None:
        data = here.frames.drain()
        self.wrote.append(data)
        while data:
            size = 9 + int.from_bytes(data[:3], "big")
            here.frames.forget(int.from_bytes(data[5:9], "big"))
            there.take(data[:size])
            data = data[size:]


Step = tuple[str, dict[str, Any]]


def play(pair: Pair, steps: list[Step]) -> tuple[Any, ...]:
    """What came of some steps; a step that h2 refuses is the last."""
    refused: Any = ""
    for name, arguments in steps:
        try:
            getattr(pair, name)(**arguments)
        except ProtocolError as error:
            refused = error.error_code
            break
    heard = pair.client.heard, pair.server.heard
    return pair.wrote, heard, refused, pair.state if refused == "" else None


def step(name: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


STREAMS = st.sampled_from([3, 3, 3, 5, 7])
NUMBERS = st.sampled_from([0, 1, 8, 99, 65535, 2**31 - 1, 2**31 - 65535]).map(lambda number: number.to_bytes(4, "big"))
ENDS = st.booleans()
STEPS = st.one_of(
    step("request", stream=STREAMS, end=ENDS, lines=st.sampled_from([REQUEST, SIZED])),
    step("respond", stream=STREAMS, lines=st.sampled_from([RESPONSE, RESPONSE, SIZED_RESPONSE, LONG]), end=ENDS),
    step("data", stream=STREAMS, data=st.binary(max_size=30) | st.just(b"abc"), end=ENDS, up=ENDS),
    step("trailers", stream=STREAMS, lines=st.sampled_from([TRAILERS, LONG[1:]]), up=ENDS),
    step("acknowledge", stream=STREAMS, size=st.sampled_from([1, 30, 9 << 20]), up=ENDS),
    step("reset", stream=STREAMS, code=st.sampled_from([0, 5, 8]), up=ENDS),
    step("frame", kind=st.sampled_from([3, 8]), flags=st.just(0), stream=STREAMS, payload=NUMBERS, up=ENDS),
    step("frame", kind=st.just(8), flags=st.just(0), stream=st.just(0), payload=NUMBERS, up=ENDS),
    step("frame", kind=st.just(0), flags=st.sampled_from([8, 9]), stream=STREAMS, payload=PADDED, up=ENDS),
    step("frame", kind=st.just(4), flags=st.just(0), stream=st.just(0), payload=SETTINGS, up=ENDS),
)


def fits(steps: list[Step]) -> list[Step]:
    """The steps but for those on streams that nobody opened: the session sends nothing there."""
    opened: set[int] = set()
    found = []
    for name, arguments in steps:
        if name == "request":
            opened.add(arguments["stream"])
        if arguments["stream"] in opened or name == "frame":
            found.append((name, arguments))
    return found


@given(st.lists(STEPS, max_size=12).map(fits))
def test_whatever_happens(steps: list[Step]) -> None:
    assert play(Pair(short=True), steps) == play(Pair(short=False), steps)


CALL: list[Step] = [
    ("request", {"stream": 3, "end": False}),
    ("data", {"stream": 3, "data": b"hello", "end": True, "up": True}),
    ("acknowledge", {"stream": 3, "size": 5, "up": True}),
    ("respond", {"stream": 3, "lines": LONG, "end": False}),
    ("data", {"stream": 3, "data": b"answer", "end": False, "up": False}),
    ("trailers", {"stream": 3, "lines": TRAILERS, "up": False}),
]


def test_a_call_from_beginning_to_end() -> None:
    pair = Pair(short=True)
    short, long = play(pair, CALL), play(Pair(short=False), CALL)
    assert short == long
    assert short[2] == ""
    assert [len(heard) for heard in short[1]] == [3, 2]
    assert not pair.client.frames.knows(3) and not pair.server.frames.knows(3)


@pytest.mark.parametrize("steps", range(len(CALL)))
def test_h2_goes_on_where_it_takes_over(steps: int) -> None:
    pair = Pair(short=True)
    play(pair, CALL[:steps])
    assert pair.state  # hands all over
    rest = play(pair, CALL[steps:])
    assert rest == play(Pair(short=False), CALL)


def test_a_stream_is_ours_while_its_frames_are_common_ones() -> None:
    pair = Pair(short=True)
    for name, arguments in CALL[:-1]:
        getattr(pair, name)(**arguments)
    assert 3 in pair.server.engine.own and 3 not in pair.server.engine.streams
    pair.frame(8, 0, 3, b"\x7f\xff\xff\xff", up=True)  # more than a window may be
    assert 3 not in pair.server.engine.own


def test_a_stream_that_is_closed_is_forgotten_but_not_open_again() -> None:
    pair = Pair(short=True)
    pair.request(3, end=True)
    assert pair.server.frames.knows(3)
    pair.respond(3, RESPONSE, end=True)
    assert not pair.server.frames.knows(3)
    with pytest.raises(ProtocolError):
        pair.frame(1, 5, 3, b"\x88", up=True)


def test_late_frames_of_a_stream_that_was_reset_are_no_error() -> None:
    pair = Pair(short=True)
    pair.request(3, end=False)
    pair.server.reset(3, 8)
    assert not pair.server.frames.knows(3)
    pair.frame(0, 1, 3, b"x", up=True)


def test_a_body_of_another_length_than_announced_is_refused() -> None:
    pair = Pair(short=True)
    pair.request(3, end=False, lines=SIZED)
    pair.data(3, b"four", end=True, up=True)
    assert pair.server.heard[-1] == (3, "broken")
    assert pair.server.frames.drain() == b"\0\0\4\3\0\0\0\0\3\0\0\0\1"


def test_a_window_that_the_peer_gave_before_is_counted_from_its_new_beginning() -> None:
    pair = Pair(short=True)
    pair.request(3, end=False)
    pair.data(3, b"12345", end=False, up=True)
    pair.frame(4, 0, 0, b"\0\4\0\0\0\x64", up=False)
    assert pair.client.frames.window(3) == 95
    pair.request(5, end=False)
    assert pair.client.frames.window(5) == 100
