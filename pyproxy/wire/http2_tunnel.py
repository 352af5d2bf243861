"""One stream of an HTTP/2 connection as a transport: what an extended CONNECT becomes. Source: RFC 8441."""

from __future__ import annotations

import asyncio
from typing import Any

from h2.errors import ErrorCodes

from pyproxy.wire.http2 import Session


class StreamTransport(asyncio.Transport):
    """For the protocol above it a connection, for the session below a stream."""

    def __init__(self, session: Session, stream: int) -> None:
        super().__init__()
        self._session = session
        self._stream = stream
        self._protocol: Any = None
        self._paused = False
        self._held: list[bytes] = []
        self._held_size = 0
        self._closing = False
        self._end_sent = False
        self._end_came = False
        self._end_told = False
        self._lost = False

    # What a protocol may ask

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._end_sent:
            self._session.send_data(self._stream, bytes(data), end=False)

    def write_eof(self) -> None:
        if not self._end_sent:
            self._end_sent = True
            self._session.send_data(self._stream, b"", end=True)

    def can_write_eof(self) -> bool:
        return True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        held, self._held = self._held, []
        size, self._held_size = self._held_size, 0
        for data in held:
            self._protocol.data_received(data)
        self._session.acknowledge(self._stream, size)
        self._tell_end()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.write_eof()
            if not self._end_came:
                self._session.reset_when_sent(self._stream, ErrorCodes.NO_ERROR)
            self._lose_soon()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._session.reset(self._stream, ErrorCodes.INTERNAL_ERROR)
            self._lose_soon()

    # From the owner of the session

    def received(self, data: bytes, size: int) -> None:
        """Bytes of the stream; `size` is what is to be acknowledged."""
        if self._closing:
            self._session.acknowledge(self._stream, size)
        elif self._paused or self._held:
            self._held.append(data)
            self._held_size += size
        else:
            self._protocol.data_received(data)
            self._session.acknowledge(self._stream, size)

    def ended(self) -> None:
        """The peer sends no more on the stream."""
        self._end_came = True
        self._tell_end()

    def writable(self, writable: bool) -> None:
        """The peer reads slower, or again."""
        if writable:
            self._protocol.resume_writing()
        else:
            self._protocol.pause_writing()

    def lost(self) -> None:
        """The stream is no more."""
        self._closing = self._end_sent = True
        self._lose()

    # For itself

    def _tell_end(self) -> None:
        if self._end_came and not self._end_told and not self._held and not self._closing:
            self._end_told = True
            if not self._protocol.eof_received():
                self.close()

    def _lose_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            self._held.clear()
            size, self._held_size = self._held_size, 0
            self._session.acknowledge(self._stream, size)  # the connection's window must not shrink
            self._protocol.connection_lost(None)
