"""Messages between the supervisor and a worker: plain data over a socket pair, whole and in order.

marshal carries numbers, texts and containers of them and nothing else: no message can bring code along. Both ends are
forks of one process, so that they always have the same marshal. The one message with more in it, the documents, holds
bytes that only a worker unpickles, and only the supervisor sends.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
import struct
from collections.abc import Callable
from typing import Any

Message = tuple[Any, ...]
"""The name of what is said, then its values."""
_LENGTH = struct.Struct("!I")


class Channel(asyncio.Protocol):
    """One end."""

    def __init__(self, on_message: Callable[[Message], None], on_closed: Callable[[], None]) -> None:
        """`on_closed` is called once: the process at the other end is gone."""
        self._on_message = on_message
        self._on_closed = on_closed
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    async def open(self, sock: socket.socket) -> None:
        """Begin; the channel owns the socket from here."""
        await asyncio.get_running_loop().create_connection(lambda: self, sock=sock)

    def send(self, *message: object) -> None:
        """Say something; to a process that is gone, nothing."""
        if self._transport is not None and not self._transport.is_closing():
            body = marshal.dumps(message)  # type: ignore[arg-type]  # the caller's to see to
            self._transport.write(_LENGTH.pack(len(body)) + body)

    @property
    def unsent_bytes(self) -> int:
        """What the other end has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def close(self) -> None:
        """Send what is unsent, then end."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(received, at)
            end = at + _LENGTH.size + length
            if len(received) < end:
                break
            self._on_message(marshal.loads(received[at + _LENGTH.size : end]))
            at = end
        del received[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_closed()
