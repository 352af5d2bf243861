"""One HTTP/2 connection, either side: bytes to calls and calls to bytes. Framing, HPACK and windows are h2's.

What h2 has not is here: bodies that wait for a window, a GOAWAY that lets streams end, bounds on what a peer may send
for nothing. Source: RFC 9113; the bounds are Envoy's (http2/protocol_constraints.cc).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import InvalidBodyLengthError, ProtocolError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import GoAwayFrame

from pyproxy.core.http import Headers
from pyproxy.wire.http1 import HTTP2_PREFACE
from pyproxy.wire.http2_engine import CONNECTION_WINDOW, Engine, LengthBroken
from pyproxy.wire.http2_frames import DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WINDOW_UPDATE, Frames
from pyproxy.wire.http2_stats import Http2Stats

MAX_STREAMS: Final = 1024
HIGHEST_STREAM: Final = 2**31 - 1
BACKLOG: Final = 64 * 1024
"""Bytes of one stream that wait for the peer to read, over which its source is told to pause; half lets it go on."""

_MAX_REPLIES: Final = 1000
_MAX_EMPTY: Final = 1
_MAX_PRIORITIES: Final = 100
_MAX_UPDATES: Final = 10
_START_OF_UPDATES: Final = 5

_PRIORITY: Final = 2
_SETTINGS: Final = 4
_PING: Final = 6
_CONTINUATION: Final = 9
_ACK: Final = 0x1
_PADDED: Final = 0x8
_PRIORITIZED: Final = 0x20


class Flood(Exception):
    """A peer sends what costs us and it nothing. `details` are Envoy's."""

    def __init__(self, details: str) -> None:
        super().__init__(details)
        self.details = details


class Guard:
    """Counts the frames that a peer may send for nothing. Source: Envoy protocol_constraints.cc."""

    def __init__(self) -> None:
        self.data_sent = 0
        self.replies = 0
        """Frames that we owe the peer, since it last read all that was written."""
        self._streams = 0
        self._empty = 0
        self._priorities = 0
        self._updates = 0

    def watch(self, kind: int, flags: int, size: int) -> None:
        """Called with every frame that arrives; `size` is its payload's. Raises Flood."""
        if kind in (HEADERS, DATA, _CONTINUATION):
            if kind != DATA:
                self._streams += 1
            if size == 0 and not flags & END_STREAM:
                self._empty += 1
                if self._empty > _MAX_EMPTY:
                    raise Flood("http2.inbound_empty_frames_flood")
            else:
                self._empty = 0
        elif kind == WINDOW_UPDATE:
            self._updates += 1
            if self._updates > _START_OF_UPDATES + 2 * (self._streams + _MAX_UPDATES * self.data_sent):
                raise Flood("http2.inbound_window_update_frames_flood")
        elif kind == _PRIORITY:
            self._priorities += 1
            if self._priorities > _MAX_PRIORITIES * (1 + self._streams):
                raise Flood("http2.inbound_priority_frames_flood")
        elif kind in (_PING, _SETTINGS):
            self.replies += 1
            if self.replies > _MAX_REPLIES:
                raise Flood("http2.outbound_frames_flood")


class Outbox:
    """What one stream has still to send, because the peer gives it no window or reads too slowly."""

    __slots__ = ("chunks", "ended", "full", "size", "trailers")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.trailers: Headers | None = None
        self.full = False
        """Its source was told to pause."""


class Session:
    """What server and client side have in common: an asyncio.Protocol in all but its base."""

    def __init__(self, stats: Http2Stats, *, client: bool, max_streams: int = MAX_STREAMS) -> None:
        self.codec_stats = stats
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use, in connection_made
        self.engine = Engine(client=client, max_streams=max_streams)
        self.frames = Frames(self.engine)
        self._client = client
        self._rest = b""
        """Of a frame that is not whole yet."""
        self._awaits_preface = not client
        self.in_block = False
        """The header block of the last frame goes on in the next."""
        self.guard = Guard()
        self._outboxes: dict[int, Outbox] = {}
        self._resets_due: dict[int, ErrorCodes] = {}
        """Streams to reset once what waits for the peer is sent."""
        self._peer_full = False
        """The transport holds much that the peer has not read."""
        self._receiving = False
        self._write_due = False
        self.closing = False

    # What its owner does about a stream

    def send_head(self, stream: int, lines: Headers, *, end: bool) -> int:
        """A response's final head; gives the bytes of its frames."""
        frames = self.frames
        if not frames.knows(stream):  # reset in this very read
            return 0
        before = frames.unsent
        frames.put_response(stream, lines, end=end)
        size = frames.unsent - before
        if end:
            self._sent_all(stream)
        self._want_write()
        return size

    def send_informational(self, stream: int, lines: Headers) -> None:
        """A 1xx."""
        self.frames.put_informational(stream, lines)
        self._want_write()

    def send_request(self, stream: int, lines: Headers, *, end: bool) -> None:
        """A request's head, on a new stream."""
        self.frames.put_request(stream, lines, end=end)
        self._want_write()

    def send_data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Body bytes, now or when there is a window for them."""
        if stream not in self._outboxes and not self._peer_full:
            rest = self._send_now(stream, data, end=end)
            if rest is None:
                return
            data = rest
        self._queue(stream, data, end=end)

    def send_trailers(self, stream: int, lines: Headers) -> None:
        """The end of a body, with header lines."""
        box = self._outboxes.get(stream)
        if box is not None:
            box.trailers = lines
            box.ended = True
            return
        if self.frames.knows(stream):
            self.frames.put_trailers(stream, lines)
            self._sent_all(stream)
            self._want_write()

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """Nothing more of a stream, in either direction."""
        self._outboxes.pop(stream, None)
        self._resets_due.pop(stream, None)
        if self.frames.put_reset(stream, code):
            self.codec_stats.tx_reset += 1
        self._want_write()

    def reset_when_sent(self, stream: int, code: ErrorCodes) -> None:
        """Likewise, once the peer has all that was sent; nothing for a stream that is over."""
        if stream in self._outboxes:
            self._resets_due[stream] = code
        elif self.frames.knows(stream):
            self.reset(stream, code)

    def acknowledge(self, stream: int, size: int) -> None:
        """So many bytes of a stream were passed on: the peer may send as many more."""
        if size and not self.closing:
            self.frames.acknowledge(stream, size)
            if self.frames.unsent:
                self._want_write()

    def send_goaway(self, last: int, code: int = 0) -> None:
        """No streams past `last` will be served; those up to it go on."""
        frame = GoAwayFrame(0)
        frame.last_stream_id = last
        frame.error_code = code
        self.codec_stats.goaway_sent += 1
        self._write_frame(frame)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.engine.ping(b"pyproxy\0")
        self._want_write()

    # Protocol interface

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.engine.initiate_connection()
        self.engine.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self.write_out()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self._receiving = True
        try:
            self._take_frames(data)
        except Flood as flood:
            self.codec_stats.count_refused(flood.details)
            self.fail(ErrorCodes.ENHANCE_YOUR_CALM, flood.details)
        except ProtocolError as error:
            self.fail(error.error_code, "http2.violation.of.messaging.rule")
        except HyperframeError:
            self.fail(ErrorCodes.PROTOCOL_ERROR, "http2.unknown.nghttp2.error")
        finally:
            self._receiving = False
        if not self.closing:
            self.read_ended()
        self.write_out()

    def pause_writing(self) -> None:
        self._peer_full = True

    def resume_writing(self) -> None:
        self._peer_full = False
        self.guard.replies = 0
        self._flush_outboxes()
        self.write_out()

    # What its owner is told

    def head_received(self, stream: int, lines: Headers, *, end: bool) -> None:
        """A request's or a response's head, or a 1xx."""
        raise NotImplementedError

    def data_came(self, stream: int, data: bytes, size: int, *, end: bool) -> None:
        """Body bytes. `size` is to be acknowledged: with it counts padding."""
        raise NotImplementedError

    def trailers_received(self, stream: int, lines: Headers) -> None:
        """The end of a body, with header lines."""
        raise NotImplementedError

    def reset_received(self, stream: int, code: int) -> None:
        """The peer wants no more of a stream; or h2 found it broken, and said so to the peer."""
        raise NotImplementedError

    def length_broken(self, stream: int) -> None:
        """A body is longer or shorter than its content-length; the peer was told."""
        raise NotImplementedError

    def stream_writable(self, stream: int, writable: bool) -> None:
        """The peer reads a stream slower than it is sent (False), or again (True)."""
        raise NotImplementedError

    def goaway_received(self, last: int, code: int) -> None:
        """The peer serves no streams past `last`."""

    def settings_changed(self) -> None:
        """The peer's settings are others."""

    def pong_received(self) -> None:
        """The peer answered a ping."""

    def all_sent(self, stream: int) -> None:
        """Our side of a stream is at its end."""

    def read_ended(self) -> None:
        """All that came with one read was told."""

    def failed(self, details: str) -> None:
        """The peer broke the protocol: a GOAWAY is written, the connection is to be closed."""
        raise NotImplementedError

    # For itself

    def fail(self, code: int, details: str) -> None:
        """The connection cannot go on."""
        if not self.closing:
            if self.engine.told:
                self.codec_stats.goaway_sent += 1
            else:
                self.send_goaway(self.engine.highest_inbound_stream_id, code)
            self.closing = True
            self.failed(details)

    def lost(self) -> None:
        """The connection is no more: keep nothing that would wait for the collector."""
        self.closing = True
        self.engine.end()

    def write_out(self) -> None:
        """Everything that is due, in one call."""
        self._write_due = False
        data = self.frames.drain()
        if data and not self.transport.is_closing():
            self.transport.write(data)
        if not self._peer_full:
            self.guard.replies = 0

    def _want_write(self) -> None:
        """Who sends from outside a read is followed by others in the same turn of the loop: they share one call."""
        if not self._write_due and not self._receiving:
            self._write_due = True
            asyncio.get_running_loop().call_soon(self._write_if_due)

    def _write_if_due(self) -> None:
        if self._write_due:
            self.write_out()

    def _write_frame(self, frame: GoAwayFrame) -> None:
        self.write_out()
        if not self.transport.is_closing():
            self.transport.write(frame.serialize())

    def _take_frames(self, data: bytes) -> None:
        """All that are whole."""
        if self._rest:
            data = self._rest + data
        if self._awaits_preface:
            if len(data) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(data):
                self._rest = data
                return
            self.engine.receive_data(data[: len(HTTP2_PREFACE)])  # raises, if it is another
            self._awaits_preface = False
            data = data[len(HTTP2_PREFACE) :]
        guard = self.guard
        longest: int = self.engine.max_inbound_frame_size
        position, size = 0, len(data)
        while size - position >= 9:
            length = data[position] << 16 | data[position + 1] << 8 | data[position + 2]
            if length > longest:
                self.fail(ErrorCodes.FRAME_SIZE_ERROR, "http2.unknown.nghttp2.error")
                return
            end = position + 9 + length
            if end > size:
                break
            kind, flags = data[position + 3], data[position + 4]
            guard.watch(kind, flags, length)
            if not self._take_common(data, position + 9, end, kind, flags):
                self._take_any(data[position:end], kind, flags)
            if self.closing:
                return
            position = end
        self._rest = data[position:]

    def _take_common(self, data: bytes, start: int, end: int, kind: int, flags: int) -> bool:
        """The frames of nearly every message; False: this one is another."""
        if self.in_block:
            return False
        stream = (data[start - 4] & 0x7F) << 24 | data[start - 3] << 16 | data[start - 2] << 8 | data[start - 1]
        if kind == DATA:
            return not flags & _PADDED and self._take_data(stream, data[start:end], end=bool(flags & END_STREAM))
        if kind == HEADERS:
            if flags & (_PADDED | END_HEADERS) != END_HEADERS:
                return False
            if flags & _PRIORITIZED:
                if end - start < 5 or data[start + 3] == data[start - 1]:  # too short, or perhaps behind itself
                    return False
                start += 5
            return self._take_head(stream, data[start:end], end=bool(flags & END_STREAM))
        if end - start != 4:
            return False
        number = data[start] << 24 | data[start + 1] << 16 | data[start + 2] << 8 | data[start + 3]
        if kind == WINDOW_UPDATE:
            return self._take_window(stream, number & 0x7FFFFFFF)
        if kind == RST_STREAM and self.frames.take_reset(stream):
            self.codec_stats.rx_reset += 1
            self._gone(stream, number)
            return True
        return False

    def _take_data(self, stream: int, data: bytes, *, end: bool) -> bool:
        size = len(data)
        try:
            if not self.frames.take_data(stream, size, end=end):
                return False
        except InvalidBodyLengthError:
            self.frames.put_reset(stream, ErrorCodes.PROTOCOL_ERROR)
            self._length_broken(stream)
            return True
        self.data_came(stream, data, size, end=end)
        return True

    def _take_head(self, stream: int, block: bytes, *, end: bool) -> bool:
        frames = self.frames
        if self._client:
            lines = frames.take_response(stream, block, end=end)
        else:
            lines = frames.take_request(stream, block, end=end)
        if lines is not None:
            self.head_received(stream, lines, end=end)
            return True
        lines = frames.take_trailers(stream, block) if end else None
        if lines is None:
            return False
        self.trailers_received(stream, lines)
        return True

    def _take_window(self, stream: int, increment: int) -> bool:
        if not self.frames.take_window(stream, increment):
            return False
        if self._outboxes:
            self._window_opened(stream)
        return True

    def _take_any(self, frame: bytes, kind: int, flags: int) -> None:
        """One whole frame, by h2."""
        if kind == _SETTINGS and flags & _ACK and len(frame) > 9:  # h2 would say PROTOCOL_ERROR. RFC 9113 section 6.5
            self.fail(ErrorCodes.FRAME_SIZE_ERROR, "http2.unknown.nghttp2.error")
            return
        if kind in (HEADERS, _CONTINUATION):
            self.in_block = not flags & END_HEADERS
        if kind != _PRIORITY:
            self.engine.hand_over(int.from_bytes(frame[5:9], "big") & HIGHEST_STREAM)
        for event in self.engine.receive_data(frame):
            react = _REACTIONS.get(event.__class__)
            if react is not None:
                react(self, event)

    def _sent_all(self, stream: int) -> None:
        self.frames.forget(stream)
        code = self._resets_due.pop(stream, None) if self._resets_due else None
        if code is not None:
            self.reset(stream, code)
        self.all_sent(stream)

    def _send_now(self, stream: int, data: bytes, *, end: bool) -> bytes | None:
        """As much as windows allow; gives the rest, None when there is none and the end, if it was one, is sent."""
        frames = self.frames
        if not frames.knows(stream):  # reset by the peer in this very read
            return None
        window = frames.window(stream)
        most: int = self.engine.max_outbound_frame_size
        size = len(data)
        sent = 0
        self._want_write()
        while True:
            piece = data if size <= window and size <= most else data[sent : sent + max(min(window, most), 0)]
            sent += len(piece)
            if sent < size and not piece:
                return data[sent:]
            if piece or end:
                window -= len(piece)
                self.guard.data_sent += 1
                last = end and sent == size
                frames.put_data(stream, piece, end=last)
            if sent == size:
                if end:
                    self._sent_all(stream)
                return None

    def _queue(self, stream: int, data: bytes, *, end: bool) -> None:
        box = self._outboxes.get(stream)
        if box is None:
            box = self._outboxes[stream] = Outbox()
        if data:
            box.chunks.append(data)
            box.size += len(data)
        box.ended = box.ended or end
        if box.size > BACKLOG and not box.full:
            box.full = True
            self.stream_writable(stream, False)

    def _flush_outboxes(self) -> None:
        for stream in list(self._outboxes):
            if self._peer_full or self.engine.outbound_flow_control_window <= 0:
                return
            self._flush_outbox(stream)

    def _flush_outbox(self, stream: int) -> None:
        """Send what a stream's window allows by now. One that is not through goes behind the others."""
        box = self._outboxes.get(stream)
        if box is None:
            return
        if not self.frames.knows(stream):
            del self._outboxes[stream]
            return
        end_is_due = box.ended and not box.chunks and box.trailers is None
        while box.chunks:
            chunk = box.chunks.popleft()
            rest = self._send_now(stream, chunk, end=box.ended and box.trailers is None and not box.chunks)
            box.size -= len(chunk) - len(rest or b"")
            if rest is not None:
                box.chunks.appendleft(rest)
                break
        if not box.chunks:
            del self._outboxes[stream]
            if box.trailers is not None:
                self.send_trailers(stream, box.trailers)
            elif end_is_due:
                self._send_now(stream, b"", end=True)
        else:
            self._outboxes[stream] = self._outboxes.pop(stream)
        if box.full and box.size <= BACKLOG // 2:
            box.full = False
            if not box.ended:
                self.stream_writable(stream, True)

    def _on_head(self, event: RequestReceived | ResponseReceived | InformationalResponseReceived) -> None:
        ended = getattr(event, "stream_ended", None) is not None
        self.head_received(event.stream_id, event.headers, end=ended)

    def _on_data(self, event: DataReceived) -> None:
        self.data_came(
            event.stream_id,
            event.data,
            event.flow_controlled_length,
            end=event.stream_ended is not None,
        )
        if event.stream_ended is not None:
            self.frames.forget(event.stream_id)

    def _on_length_broken(self, event: LengthBroken) -> None:
        self._length_broken(event.stream_id)

    def _length_broken(self, stream: int) -> None:
        self._outboxes.pop(stream, None)
        self._resets_due.pop(stream, None)
        self.frames.forget(stream)
        self.codec_stats.tx_reset += 1
        self.length_broken(stream)

    def _on_trailers(self, event: TrailersReceived) -> None:
        self.trailers_received(event.stream_id, event.headers)
        self.frames.forget(event.stream_id)

    def _on_reset(self, event: StreamReset) -> None:
        assert event.stream_id is not None
        if event.remote_reset:
            self.codec_stats.rx_reset += 1
        else:
            self.codec_stats.tx_reset += 1
        self._gone(event.stream_id, event.error_code or 0)

    def _gone(self, stream: int, code: int) -> None:
        """Nothing more of a stream comes or goes."""
        self._outboxes.pop(stream, None)
        self._resets_due.pop(stream, None)
        self.frames.forget(stream)
        self.reset_received(stream, code)

    def _on_window(self, event: WindowUpdated) -> None:
        self._window_opened(event.stream_id or 0)

    def _window_opened(self, stream: int) -> None:
        """Of a stream, or of all (0)."""
        if not stream:
            self._flush_outboxes()
        elif not self._peer_full:
            self._flush_outbox(stream)

    def _on_settings(self, event: RemoteSettingsChanged) -> None:
        self.settings_changed()
        self._flush_outboxes()

    def _on_pong(self, event: PingAckReceived) -> None:
        self.pong_received()

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        self.goaway_received(event.last_stream_id or 0, event.error_code or 0)


_REACTIONS: Final[dict[type[Event], Callable[[Session, Any], None]]] = {
    DataReceived: Session._on_data,
    RequestReceived: Session._on_head,
    ResponseReceived: Session._on_head,
    InformationalResponseReceived: Session._on_head,
    TrailersReceived: Session._on_trailers,
    StreamReset: Session._on_reset,
    WindowUpdated: Session._on_window,
    RemoteSettingsChanged: Session._on_settings,
    PingAckReceived: Session._on_pong,
    ConnectionTerminated: Session._on_goaway,
    LengthBroken: Session._on_length_broken,
}
