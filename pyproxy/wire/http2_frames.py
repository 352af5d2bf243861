"""The frames that come and go with every message, on streams that h2 does not know of.

h2 costs 60 µs for a request and its response, most of it in asking tables what may happen next. The few frames that
nearly all are do here, compiled, what h2 would do for them: HEADERS that begin or end a message, DATA without padding,
WINDOW_UPDATE, RST_STREAM. Their streams are ours until one has a frame of another kind, or one that is not as it should
be: then it is handed over, and h2's from then on. What a connection has but once is h2's always: its windows, settings
and numbers of streams. Each `take_` function gives up, before it has changed anything, by giving None or False.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, FlowControlError, InvalidBodyLengthError, ProtocolError
from h2.stream import StreamClosedBy
from hpack.exceptions import OversizedHeaderListError

from pyproxy.core.http import Headers
from pyproxy.wire.hpack import Decoder, Encoder
from pyproxy.wire.http2_engine import Engine
from pyproxy.wire.http2_stream import STREAM_WINDOW, Stream

DATA: Final = 0
HEADERS: Final = 1
RST_STREAM: Final = 3
WINDOW_UPDATE: Final = 8
_CONTINUATION: Final = 9
END_STREAM: Final = 1
END_HEADERS: Final = 4
_LARGEST_WINDOW: Final = 2**31 - 1
_SMALL_CHANGE: Final = 1024
"""Bytes of an empty window that h2 gives back at once."""
_RESET_BY_PEER: Final = StreamClosedBy.RECV_RST_STREAM
_RESET_BY_US: Final = StreamClosedBy.SEND_RST_STREAM
_header: Final = Struct(">BHBBL").pack
_with_number: Final = Struct(">BHBBLL").pack


class Frames:
    """One side of a connection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._own: dict[int, Stream] = engine.own
        self._whole = engine._inbound_flow_control_window_manager
        self._encoder: Encoder = engine.encoder  # type: ignore[assignment]  # in the shape of hpack's
        self._decoder: Decoder = engine.decoder  # type: ignore[assignment]

    def knows(self, identifier: int) -> bool:
        """Whether a stream is there, and not forgotten."""
        return identifier in self._own or identifier in self._engine.streams

    @property
    def count(self) -> int:
        """Streams that are there."""
        return len(self._own) + len(self._engine.streams)

    @property
    def unsent(self) -> int:
        """Bytes that wait in `drain`."""
        return len(self._engine._data_to_send)

    def drain(self) -> bytes:
        """What is to be sent now."""
        out: bytearray = self._engine._data_to_send
        data = bytes(out)
        out.clear()
        return data

    def forget(self, identifier: int) -> None:
        """Keep no more of a stream that is closed than h2 needs."""
        if identifier in self._engine.streams:
            self._engine.forget(identifier)

    def window(self, identifier: int) -> int:
        """Bytes that may be sent on a stream now."""
        one = self._own.get(identifier)
        if one is None:
            return self._engine.window(identifier)
        return min(self._engine.outbound_flow_control_window, one.room)

    # What comes

    def take_request(self, identifier: int, block: bytes, *, end: bool) -> Headers | None:
        """HEADERS that begins a request, whole and unpadded; gives its fields. Raises ProtocolError."""
        engine = self._engine
        if identifier <= engine.highest_inbound_stream_id or not identifier & 1 or not engine.serves():
            return None
        lines = self._decode(block)
        engine.highest_inbound_stream_id = identifier
        self._own[identifier] = one = Stream(engine.room, client=False)
        one.head_received = True
        one.received_end = end
        if not end:
            one.announced = announced(lines)
        return lines

    def take_response(self, identifier: int, block: bytes, *, end: bool) -> Headers | None:
        """HEADERS that begins a response, or is a 1xx; gives its fields. Raises ProtocolError."""
        one = self._own.get(identifier)
        if one is None or one.head_received or one.received_end:
            return None
        lines = self._decode(block)
        if lines and lines[0][1][:1] == b"1" and lines[0][0] == b":status":
            if end:
                raise ProtocolError("a 1xx ends no stream")
            return lines
        one.head_received = True
        one.announced = 0 if one.method == b"HEAD" else announced(lines)
        if end:
            self._received_end(identifier, one)
        return lines

    def take_data(self, identifier: int, size: int, *, end: bool) -> bool:
        """Unpadded DATA of so many bytes. Raises ProtocolError."""
        one = self._own.get(identifier)
        if one is None or not one.head_received or one.received_end:
            return False
        whole = self._whole
        left = whole.current_window_size - size
        if left < 0 or size > one.given:
            raise FlowControlError("more than a window allows")
        whole.current_window_size = left
        one.given -= size
        one.received += size
        if one.announced >= 0 and (one.received > one.announced or (end and one.received < one.announced)):
            raise InvalidBodyLengthError(one.announced, one.received)
        if end:
            self._received_end(identifier, one)
        return True

    def take_trailers(self, identifier: int, block: bytes) -> Headers | None:
        """HEADERS that ends a message whose head came before; gives its fields. Raises ProtocolError."""
        one = self._own.get(identifier)
        if one is None or not one.head_received or one.received_end:
            return None
        lines = self._decode(block)
        if lines and lines[0][1][:1] == b"1" and lines[0][0] == b":status":
            raise ProtocolError("a 1xx ends no stream")
        announced(lines)
        self._received_end(identifier, one)
        return lines

    def take_window(self, identifier: int, increment: int) -> bool:
        """WINDOW_UPDATE."""
        engine = self._engine
        if increment <= 0:
            return False
        if not identifier:
            room: int = engine.outbound_flow_control_window + increment
            if room > _LARGEST_WINDOW:
                return False
            engine.outbound_flow_control_window = room
            return True
        one = self._own.get(identifier)
        if one is None or one.room + increment > _LARGEST_WINDOW:
            return False
        one.room += increment
        return True

    def take_reset(self, identifier: int) -> bool:
        """RST_STREAM."""
        if identifier not in self._own:
            return False
        del self._own[identifier]
        self._engine.note_reset(identifier, _RESET_BY_PEER)
        return True

    def acknowledge(self, identifier: int, size: int) -> None:
        """So many bytes of a stream were passed on; the peer is told when they are half of a window."""
        engine = self._engine
        if identifier in engine.streams:
            engine.acknowledge_received_data(size, identifier)
            return
        whole = self._whole
        passed: int = whole._bytes_processed + size
        if passed >= whole.max_window_size // 2 or whole.current_window_size <= 0:
            self._put_window(0, whole.process_bytes(size) or 0)
        else:
            whole._bytes_processed = passed
        one = self._own.get(identifier)
        if one is not None:
            one.passed += size
            if one.passed >= STREAM_WINDOW // 2 or (one.given == 0 and one.passed > _SMALL_CHANGE):
                increment = min(one.passed, STREAM_WINDOW - one.given)
                one.passed = 0
                one.given += increment
                self._put_window(identifier, increment)

    # What goes

    def put_request(self, identifier: int, lines: Headers, *, end: bool) -> None:
        """The head of a request, on a new stream."""
        engine = self._engine
        if identifier <= engine.highest_outbound_stream_id or not engine.asks():
            engine.hand_over(identifier)
            engine.send_headers(identifier, lines, end_stream=end)
            return
        engine.highest_outbound_stream_id = identifier
        self._own[identifier] = one = Stream(engine.room, client=True)
        one.head_sent = True
        one.sent_end = end
        one.method = lines[0][1]
        self._put_block(identifier, lines, end=end)

    def put_response(self, identifier: int, lines: Headers, *, end: bool) -> None:
        """The final head of a response."""
        one = self._own.get(identifier)
        if one is None or one.head_sent or one.client:
            self._engine.hand_over(identifier)
            self._engine.send_headers(identifier, lines, end_stream=end)
            return
        one.head_sent = True
        self._put_block(identifier, lines, end=end)
        if end:
            self._sent_end(identifier, one)

    def put_informational(self, identifier: int, lines: Headers) -> None:
        """A 1xx."""
        self._engine.hand_over(identifier)
        self._engine.send_headers(identifier, lines)

    def put_data(self, identifier: int, data: bytes, *, end: bool) -> None:
        """DATA that fits the window and a frame."""
        engine = self._engine
        one = self._own.get(identifier)
        if one is None or not one.head_sent or one.sent_end:
            engine.hand_over(identifier)
            engine.send_data(identifier, data, end_stream=end)
            return
        size = len(data)
        out: bytearray = engine._data_to_send
        out += _header(size >> 16, size & 0xFFFF, DATA, END_STREAM if end else 0, identifier)
        out += data
        engine.outbound_flow_control_window -= size
        one.room -= size
        if end:
            self._sent_end(identifier, one)

    def put_trailers(self, identifier: int, lines: Headers) -> None:
        """Header lines that end a message."""
        one = self._own.get(identifier)
        if one is None or not one.head_sent or one.sent_end:
            self._engine.hand_over(identifier)
            self._engine.send_headers(identifier, lines, end_stream=True)
            return
        self._put_block(identifier, lines, end=True)
        self._sent_end(identifier, one)

    def put_reset(self, identifier: int, code: ErrorCodes) -> bool:
        """RST_STREAM, and nothing more of a stream; False: it is closed already."""
        engine = self._engine
        if identifier in self._own:
            del self._own[identifier]
            out: bytearray = engine._data_to_send
            out += _with_number(0, 4, RST_STREAM, 0, identifier, code)
            engine.note_reset(identifier, _RESET_BY_US)
            return True
        try:
            engine.reset_stream(identifier, code)
        except ProtocolError:
            return False
        finally:
            engine.forget(identifier)
        return True

    # For itself

    def _decode(self, block: bytes) -> Headers:
        try:
            return self._decoder.decode(block)
        except OversizedHeaderListError as error:
            raise DenialOfServiceError(str(error)) from error

    def _put_block(self, identifier: int, lines: Headers, *, end: bool) -> None:
        block = self._encoder.encode(lines)
        most: int = self._engine.max_outbound_frame_size
        size = len(block)
        out: bytearray = self._engine._data_to_send
        flags = END_STREAM if end else 0
        if size <= most:
            out += _header(size >> 16, size & 0xFFFF, HEADERS, END_HEADERS | flags, identifier)
            out += block
            return
        kind = HEADERS
        for start in range(0, size, most):
            piece = block[start : start + most]
            if start + most >= size:
                flags |= END_HEADERS
            out += _header(len(piece) >> 16, len(piece) & 0xFFFF, kind, flags, identifier)
            out += piece
            kind, flags = _CONTINUATION, 0

    def _put_window(self, identifier: int, increment: int) -> None:
        if increment:
            out: bytearray = self._engine._data_to_send
            out += _with_number(0, 4, WINDOW_UPDATE, 0, identifier, increment)

    def _received_end(self, identifier: int, one: Stream) -> None:
        one.received_end = True
        if one.sent_end:
            del self._own[identifier]

    def _sent_end(self, identifier: int, one: Stream) -> None:
        one.sent_end = True
        if one.received_end:
            del self._own[identifier]


def announced(lines: Headers) -> int:
    """The content-length; -1 where there is none. Raises ProtocolError: no number, or two."""
    found = -1
    for name, value in lines:
        if name == b"content-length":
            if not value.isdigit():
                raise ProtocolError(f"a content-length that is no number: {value!r}")
            length = int(value)
            if found >= 0 and length != found:
                raise ProtocolError(f"two content-lengths: {found} and {length}")
            found = length
    return found
