"""h2's connection, with a short way through it for the frames that nearly all are, and a GOAWAY that lets streams end.

h2 costs 60 µs for a request and its response, most of it in asking tables what may happen next. The few frames that
come and go with every message do here in a few lines what h2 does for them, on h2's own state: HEADERS that begin or
end a message, DATA without padding, WINDOW_UPDATE, RST_STREAM. Whatever else, and whatever is not as it should be,
takes the long way: each of the `take_` and `put_` functions gives up, before it has changed anything, by giving None or
False.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection, _decode_headers
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from h2.utilities import is_informational_response
from h2.windows import WindowManager
from hyperframe.frame import Frame, GoAwayFrame

from pyproxy.core.http import Headers
from pyproxy.wire.hpack import Decoder, Encoder

STREAM_WINDOW: Final = 16 * 1024 * 1024
"""Bytes of one stream that a peer may send before we have passed them on (Envoy initial_stream_window_size)."""
CONNECTION_WINDOW: Final = 24 * 1024 * 1024
MAX_BLOCK: Final = 256 * 1024
"""Bytes of a decoded header list, as RFC 9113 counts them, past which the connection ends: a bomb, not a head."""

HEADERS, DATA = 1, 0
_LARGEST_WINDOW: Final = 2**31 - 1
END_STREAM, END_HEADERS = 1, 4

_OPEN: Final = StreamState.OPEN
_REMOTE_DONE: Final = StreamState.HALF_CLOSED_REMOTE
_LOCAL_DONE: Final = StreamState.HALF_CLOSED_LOCAL
_CLOSED: Final = StreamState.CLOSED
_ENDED_BY_PEER: Final = StreamClosedBy.RECV_END_STREAM
_RESET_BY_PEER: Final = StreamClosedBy.RECV_RST_STREAM
_ENDED_BY_US: Final = StreamClosedBy.SEND_END_STREAM
_SERVING: Final = ConnectionState.SERVER_OPEN
_ASKING: Final = ConnectionState.CLIENT_OPEN


class Engine(H2Connection):
    """One side of a connection."""

    MAX_CLOSED_STREAMS = 1024  # of which a late frame is known to be no error; h2 would keep 65,536 a connection

    def __init__(self, *, client: bool, max_streams: int) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_inbound_headers=False,  # the reader of each head does, in one pass
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        codes = SettingCodes
        values = {codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW, codes.ENABLE_PUSH: 0}
        if not client:
            values = {
                codes.MAX_CONCURRENT_STREAMS: max_streams,
                codes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
                codes.ENABLE_CONNECT_PROTOCOL: 1,
            }
        self.local_settings = Settings(client=client, initial_values=values)
        self.encoder = Encoder()  # type: ignore[assignment]  # in the shape of hpack's
        self.decoder = Decoder()  # type: ignore[assignment]
        self.decoder.max_header_list_size = MAX_BLOCK

    @property
    def open_inbound_streams(self) -> int:
        """h2 would look at every stream for each that begins; the session refuses what is too many."""
        return 0

    @property
    def open_outbound_streams(self) -> int:
        """As above: a pool knows what the peer takes."""
        return 0

    def forget(self, identifier: int) -> None:
        """Keep no more of a stream, if it is closed, than that it was reset: then late frames are no error."""
        stream = self.streams.get(identifier)
        if stream is not None and stream.state_machine.state is _CLOSED:
            del self.streams[identifier]
            by = stream.state_machine.stream_closed_by
            if by is not _ENDED_BY_PEER and by is not _ENDED_BY_US:
                self._closed_streams[identifier] = by

    def window(self, identifier: int) -> int:
        """Bytes that may be sent on a stream now."""
        return min(self.outbound_flow_control_window, self.streams[identifier].outbound_flow_control_window)

    @property
    def told(self) -> bool:
        """h2 has put a GOAWAY in line, because the peer broke the protocol."""
        return self.state_machine.state is ConnectionState.CLOSED

    @property
    def unsent(self) -> int:
        """Bytes that wait in `data_to_send`."""
        return len(self._data_to_send)

    # What comes

    def take_request(self, identifier: int, block: bytes, *, end: bool) -> Headers | None:
        """HEADERS that begins a request, whole and unpadded; gives its fields. Raises ProtocolError."""
        if (
            identifier <= self.highest_inbound_stream_id
            or not identifier & 1
            or self.state_machine.state is not _SERVING
        ):
            return None
        lines: Headers = _decode_headers(self.decoder, block)  # type: ignore[assignment]
        stream = self._new_stream(identifier)
        self.highest_inbound_stream_id = identifier
        machine = stream.state_machine
        machine.client = False
        machine.headers_received = True
        machine.state = _REMOTE_DONE if end else _OPEN
        if not end:
            stream._initialize_content_length(lines)
        return lines

    def take_response(self, identifier: int, block: bytes, *, end: bool) -> Headers | None:
        """HEADERS that begins a response, or is a 1xx; gives its fields. Raises ProtocolError."""
        stream = self.streams.get(identifier)
        if stream is None or self.state_machine.state is not _ASKING:
            return None
        machine = stream.state_machine
        if machine.headers_received or (machine.state is not _OPEN and machine.state is not _LOCAL_DONE):
            return None
        lines: Headers = _decode_headers(self.decoder, block)  # type: ignore[assignment]
        if lines and lines[0][1][:1] == b"1" and lines[0][0] == b":status":
            if end:
                raise ProtocolError("a 1xx ends no stream")
            return lines
        machine.headers_received = True
        stream._initialize_content_length(lines)
        if end:
            self._end_received(stream)
        return lines

    def take_data(self, identifier: int, size: int, *, end: bool) -> bool:
        """Unpadded DATA of so many bytes. Raises ProtocolError."""
        stream = self.streams.get(identifier)
        if stream is None:
            return False
        machine = stream.state_machine
        if not machine.headers_received or (machine.state is not _OPEN and machine.state is not _LOCAL_DONE):
            return False
        self._inbound_flow_control_window_manager.window_consumed(size)
        stream._inbound_window_manager.window_consumed(size)
        stream._track_content_length(size, end)
        if end:
            self._end_received(stream)
        return True

    def take_trailers(self, identifier: int, block: bytes) -> Headers | None:
        """HEADERS that ends a message whose head came before; gives its fields. Raises ProtocolError."""
        stream = self.streams.get(identifier)
        if stream is None:
            return None
        machine = stream.state_machine
        if not machine.headers_received or (machine.state is not _OPEN and machine.state is not _LOCAL_DONE):
            return None
        lines: Headers = _decode_headers(self.decoder, block)  # type: ignore[assignment]
        if lines and lines[0][0][:1] == b":" and is_informational_response(lines):
            raise ProtocolError("a 1xx ends no stream")
        machine.trailers_received = True
        stream._initialize_content_length(lines)
        self._end_received(stream)
        return lines

    def take_window(self, identifier: int, increment: int) -> bool:
        """WINDOW_UPDATE."""
        if increment <= 0:
            return False
        stream = self.streams.get(identifier)
        target: Engine | H2Stream = self
        if identifier:
            if stream is None or stream.state_machine.state is _CLOSED:
                return False
            target = stream
        if target.outbound_flow_control_window + increment > _LARGEST_WINDOW:
            return False
        target.outbound_flow_control_window += increment
        return True

    def take_reset(self, identifier: int) -> bool:
        """RST_STREAM."""
        stream = self.streams.get(identifier)
        if stream is None or stream.state_machine.state is _CLOSED:
            return False
        machine = stream.state_machine
        machine.state = _CLOSED
        machine.stream_closed_by = _RESET_BY_PEER
        return True

    def acknowledge(self, identifier: int, size: int) -> None:
        """So many bytes of a stream were passed on; the peer is told when it is half of a window."""
        whole = self._inbound_flow_control_window_manager
        stream = self.streams.get(identifier)
        if _is_due(whole, size):
            self.acknowledge_received_data(size, identifier)
        elif stream is None or stream.state_machine.state is _CLOSED:
            whole._bytes_processed += size
        elif _is_due(stream._inbound_window_manager, size):
            self.acknowledge_received_data(size, identifier)
        else:
            whole._bytes_processed += size
            stream._inbound_window_manager._bytes_processed += size

    # What goes

    def put_response(self, identifier: int, lines: Headers, *, end: bool) -> bool:
        """The final head of a response."""
        stream = self.streams.get(identifier)
        if stream is None:
            return False
        machine = stream.state_machine
        if machine.headers_sent or machine.client or (machine.state is not _OPEN and machine.state is not _REMOTE_DONE):
            return False
        machine.headers_sent = True
        self._put_block(identifier, lines, end=end)
        if end:
            self._end_sent(stream)
        return True

    def put_request(self, identifier: int, lines: Headers, *, end: bool) -> bool:
        """The head of a request, on a new stream."""
        if identifier <= self.highest_outbound_stream_id or self.state_machine.state is not _ASKING:
            return False
        stream = self._new_stream(identifier)
        self.highest_outbound_stream_id = identifier
        machine = stream.state_machine
        machine.client = True
        machine.headers_sent = True
        machine.state = _LOCAL_DONE if end else _OPEN
        stream.request_method = lines[0][1]
        self._put_block(identifier, lines, end=end)
        return True

    def put_data(self, identifier: int, data: bytes, *, end: bool) -> bool:
        """DATA that fits the window and a frame."""
        stream = self.streams[identifier]
        machine = stream.state_machine
        state = machine.state
        if not machine.headers_sent or (state is not _OPEN and state is not _REMOTE_DONE):
            return False
        size = len(data)
        self._data_to_send += b"%b\0%c%b" % (size.to_bytes(3, "big"), end, identifier.to_bytes(4, "big"))
        self._data_to_send += data
        self.outbound_flow_control_window -= size
        stream.outbound_flow_control_window -= size
        if end:
            self._end_sent(stream)
        return True

    def put_trailers(self, identifier: int, lines: Headers) -> bool:
        """Header lines that end a message."""
        stream = self.streams[identifier]
        machine = stream.state_machine
        if not machine.headers_sent or (machine.state is not _OPEN and machine.state is not _REMOTE_DONE):
            return False
        machine.trailers_sent = True
        self._put_block(identifier, lines, end=True)
        self._end_sent(stream)
        return True

    # For itself

    def _new_stream(self, identifier: int) -> H2Stream:
        stream = H2Stream(
            identifier,
            config=self.config,
            inbound_window_size=self.local_settings.initial_window_size,
            outbound_window_size=self.remote_settings.initial_window_size,
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        self.streams[identifier] = stream
        return stream

    def _put_block(self, identifier: int, lines: Headers, *, end: bool) -> None:
        block = self.encoder.encode(lines)
        most = self.max_outbound_frame_size
        name = identifier.to_bytes(4, "big")
        size = len(block)
        if size <= most:
            self._data_to_send += b"%b\1%c%b" % (size.to_bytes(3, "big"), END_HEADERS | end, name)
            self._data_to_send += block
            return
        for start in range(0, size, most):
            piece = block[start : start + most]
            kind = 9 if start else HEADERS
            flags = (END_HEADERS if start + most >= size else 0) | (end and not start)
            self._data_to_send += b"%b%c%c%b" % (len(piece).to_bytes(3, "big"), kind, flags, name)
            self._data_to_send += piece

    def _end_received(self, stream: H2Stream) -> None:
        machine = stream.state_machine
        if machine.state is _OPEN:
            machine.state = _REMOTE_DONE
        else:
            machine.state = _CLOSED
            machine.stream_closed_by = _ENDED_BY_PEER

    def _end_sent(self, stream: H2Stream) -> None:
        machine = stream.state_machine
        if machine.state is _OPEN:
            machine.state = _LOCAL_DONE
        else:
            machine.state = _CLOSED
            machine.stream_closed_by = _ENDED_BY_US

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def _is_due(window: WindowManager, size: int) -> bool:
    """Whether h2 would have the peer told, with these bytes."""
    return window.current_window_size <= 0 or window._bytes_processed + size >= window.max_window_size // 2
