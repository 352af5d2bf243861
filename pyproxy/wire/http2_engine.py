"""h2's connection, without what a proxy does itself, and with a GOAWAY that lets streams end.

Streams whose frames are the common ones are not known to h2 (`http2_frames`); `hand_over` makes them known.
"""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import InvalidBodyLengthError
from h2.settings import SettingCodes, Settings
from h2.stream import H2Stream, StreamClosedBy, StreamState
from h2.utilities import guard_increment_window
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

from pyproxy.wire.hpack import Decoder, Encoder
from pyproxy.wire.http2_stream import STREAM_WINDOW, Stream

CONNECTION_WINDOW: Final = 24 * 1024 * 1024
MAX_BLOCK: Final = 256 * 1024
"""Bytes of a decoded header list, as RFC 9113 counts them, past which the connection ends: a bomb, not a head."""

_ENDED: Final = (StreamClosedBy.RECV_END_STREAM, StreamClosedBy.SEND_END_STREAM)
_STATES: Final = {
    (False, False): StreamState.OPEN,
    (False, True): StreamState.HALF_CLOSED_REMOTE,
    (True, False): StreamState.HALF_CLOSED_LOCAL,
}
"""Of a stream, by whether we sent the end, and received it."""


class LengthBroken(Event):
    """A body is longer or shorter than its content-length; the stream is reset."""

    def __init__(self, stream: int) -> None:
        self.stream_id = stream


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
        self.own: dict[int, Stream] = {}
        """Streams that h2 does not know of."""
        self.room = self.remote_settings.initial_window_size
        """Bytes that we may send on a new stream."""

    @property
    def open_inbound_streams(self) -> int:
        """h2 would look at every stream for each that begins; the session refuses what is too many."""
        return 0

    @property
    def open_outbound_streams(self) -> int:
        """As above: a pool knows what the peer takes."""
        return 0

    def end(self) -> None:
        """Nothing comes any more: break h2's circle of connection and methods."""
        self._frame_dispatch_table.clear()

    def forget(self, identifier: int) -> None:
        """Keep no more of a stream, if it is closed, than that it was reset: then late frames are no error."""
        stream = self.streams.get(identifier)
        if stream is not None and stream.state_machine.state is StreamState.CLOSED:
            del self.streams[identifier]
            by = stream.state_machine.stream_closed_by
            if by not in _ENDED:
                self._closed_streams[identifier] = by

    def window(self, identifier: int) -> int:
        """Bytes that may be sent on a stream now."""
        return min(self.outbound_flow_control_window, self.streams[identifier].outbound_flow_control_window)

    @property
    def told(self) -> bool:
        """h2 has put a GOAWAY in line, because the peer broke the protocol."""
        return self.state_machine.state is ConnectionState.CLOSED

    def serves(self) -> bool:
        """It may have requests; the first makes it a server's connection."""
        machine = self.state_machine
        if machine.state is ConnectionState.IDLE and not self.config.client_side:
            machine.process_input(ConnectionInputs.RECV_HEADERS)
        return machine.state is ConnectionState.SERVER_OPEN

    def asks(self) -> bool:
        """It may send requests; the first makes it a client's connection."""
        machine = self.state_machine
        if machine.state is ConnectionState.IDLE and self.config.client_side:
            machine.process_input(ConnectionInputs.SEND_HEADERS)
        return machine.state is ConnectionState.CLIENT_OPEN

    def hand_over(self, identifier: int) -> None:
        """A stream of ours is h2's from now on; nothing happens when it is none of ours."""
        one = self.own.pop(identifier, None)
        if one is None:
            return
        stream = H2Stream(identifier, self.config, STREAM_WINDOW, one.room)
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        stream.request_method = one.method or None
        stream._expected_content_length = one.announced if one.announced >= 0 else None
        stream._actual_content_length = one.received
        stream._inbound_window_manager.current_window_size = one.given
        stream._inbound_window_manager._bytes_processed = one.passed
        machine = stream.state_machine
        machine.client = one.client
        machine.headers_sent = one.head_sent or None
        machine.headers_received = one.head_received or None
        machine.state = _STATES[one.sent_end, one.received_end]
        self.streams[identifier] = stream

    def note_reset(self, identifier: int, by: StreamClosedBy) -> None:
        """A stream of ours was reset: late frames are no error."""
        self._closed_streams[identifier] = by

    def _flow_control_change_from_settings(self, old_value: int | None, new_value: int) -> None:
        """Source: RFC 9113 section 6.9.2. Raises FlowControlError."""
        super()._flow_control_change_from_settings(old_value, new_value)
        for stream in self.own.values():
            stream.room = guard_increment_window(stream.room, new_value - self.room)
        self.room = new_value

    def _receive_data_frame(self, frame: DataFrame) -> tuple[list[Frame], list[Event]]:
        try:
            return super()._receive_data_frame(frame)
        except InvalidBodyLengthError:  # for h2 the connection's end
            stream = self.streams[frame.stream_id]
            return stream.reset_stream(ErrorCodes.PROTOCOL_ERROR), [LengthBroken(frame.stream_id)]

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]
