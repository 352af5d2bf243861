"""HTTP/2 for the scripted hosts and for their clients: the two ends of a connection, on h2."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from h2.events import DataReceived, Event, RequestReceived, WindowUpdated
from hyperframe.frame import GoAwayFrame

from tests.http2_peers import Message, configured, split_goaway
from tests.peers import Headers

_PREFACE_END = b"SM\r\n\r\n"


@dataclass
class Stream(Message):
    """What came on one stream, and when."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """It has ended, was reset, or lost its connection."""


class Http2End:
    """One end. `run` reads until there is no more."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_request: Callable[[int, Stream], None] | None = None,
    ) -> None:
        self.h2 = configured(client=on_request is None)
        self.streams: dict[int, Stream] = {}
        self.goaways: list[tuple[int, int]] = []
        self._on_request = on_request
        self._reader = reader
        self.writer = writer
        self._window = asyncio.Event()
        self.h2.initiate_connection()

    async def run(self, *, after_preface: bool = False) -> None:
        """`after_preface`: its first line was read by somebody else."""
        if after_preface:
            await self._reader.readexactly(len(_PREFACE_END))
            self.h2.receive_data(b"PRI * HTTP/2.0\r\n\r\n" + _PREFACE_END)
        self.flush()
        rest = b""
        try:
            while data := await self._reader.read(65536):
                rest += data
                whole = _whole_frames(rest)
                for piece in split_goaway(rest[:whole], self.goaways):
                    for event in self.h2.receive_data(piece):
                        self._take(event)
                rest = rest[whole:]
                self.flush()
        finally:
            for stream in self.streams.values():
                stream.begun.set()
                stream.over.set()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    def open(self, lines: Headers, *, end: bool) -> int:
        """Begin a request. It goes out with what follows, or by `flush`."""
        stream = self.h2.get_next_available_stream_id()
        self.streams[stream] = Stream()
        self.h2.send_headers(stream, lines, end_stream=end)
        return stream

    def send_headers(self, stream: int, lines: Headers, *, end: bool = False) -> None:
        self.h2.send_headers(stream, lines, end_stream=end)
        self.flush()

    async def send_data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """As the peer's window allows."""
        while True:
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            piece, data = data[:size], data[size:]
            if piece or not data:
                self.h2.send_data(stream, piece, end_stream=end and not data)
                self.flush()
            if not data:
                return
            self._window.clear()
            if not piece:
                await self._window.wait()

    def reset_stream(self, stream: int, code: int) -> None:
        self.h2.reset_stream(stream, code)
        self.flush()

    def send_goaway(self, last: int, code: int = 0) -> None:
        """Past h2, which would take it for the end of everything."""
        self.flush()
        frame = GoAwayFrame(0)
        frame.last_stream_id, frame.error_code = last, code
        self.writer.write(frame.serialize())

    def abort(self) -> None:
        """So that the other end sees a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def _take(self, event: Event) -> None:
        number: int = getattr(event, "stream_id", None) or 0
        if isinstance(event, WindowUpdated):
            self._window.set()
        begins = isinstance(event, RequestReceived)
        if begins:
            self.streams[number] = Stream()
        stream = self.streams.get(number)
        if stream is None:
            return
        stream.take(event)
        if isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        if stream.headers:
            stream.begun.set()
        if stream.ended or stream.reset is not None:
            stream.begun.set()
            stream.over.set()
        if begins and self._on_request is not None:
            self._on_request(number, stream)


def _whole_frames(data: bytes) -> int:
    """Bytes of the frames that are whole."""
    position = 0
    while position + 9 <= len(data):
        end = position + 9 + int.from_bytes(data[position : position + 3], "big")
        if end > len(data):
            break
        position = end
    return position
