"""Two connections joined: bytes pass both ways, a half-close passes on, the slower side sets the pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

PATIENCE = 30.0
"""Seconds that one side has to read what is left, once the other is gone."""
Ended = Callable[[int, int], None]
"""Called once with the bytes that came from each side: (first, second)."""


class Tunnel:
    """Owns both sides; made once both connections are there."""

    def __init__(self, client: asyncio.Transport, upstream: asyncio.Transport, ended: Ended) -> None:
        self._ended: Ended | None = ended
        self._patience: asyncio.TimerHandle | None = None
        self.moved = False
        """Bytes passed since somebody put this to False."""
        self.ended_by: TunnelSide | None = None
        """The side that sent its end first."""
        self.lost_by: TunnelSide | None = None
        """The side whose connection was gone first."""
        self.reset_by: TunnelSide | None = None
        """The side that was cut from its other end."""
        self.client = TunnelSide(self, client)
        self.upstream = TunnelSide(self, upstream)
        self.client.peer = self.upstream
        self.upstream.peer = self.client

    def start(self, from_client: bytes = b"", from_upstream: bytes = b"") -> None:
        """Take both transports over; the arguments are what was read before."""
        for side in (self.client, self.upstream):
            side.transport.set_protocol(side)
        if from_client:
            self.client.data_received(from_client)
        if from_upstream:
            self.upstream.data_received(from_upstream)
        for side in (self.client, self.upstream):
            if side.transport.is_closing():
                side.connection_lost(None)
            else:
                side.transport.resume_reading()

    def side_ended(self, side: TunnelSide) -> None:
        """Nothing more will come from a side."""
        if self.ended_by is None:
            self.ended_by = side

    def side_lost(self, side: TunnelSide, *, reset: bool) -> None:
        """One side is gone for good: so is the other, once it has what was meant for it."""
        if self.lost_by is None:
            self.lost_by = side
            if reset:
                self.reset_by = side
        self.client.transport.close()
        self.upstream.transport.close()
        if self._ended is None:
            return
        if not (self.client.lost and self.upstream.lost):
            self._patience = asyncio.get_running_loop().call_later(PATIENCE, self.cut)
            return
        if self._patience is not None:
            self._patience.cancel()
        ended, self._ended = self._ended, None
        ended(self.client.received, self.upstream.received)

    def cut(self) -> None:
        """End both sides at once, whatever is still to be sent."""
        self.client.transport.abort()
        self.upstream.transport.abort()


class TunnelSide(asyncio.Protocol):
    """One end of a tunnel."""

    peer: TunnelSide

    def __init__(self, tunnel: Tunnel, transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.received = 0
        self.paused = 0
        """How often the other side was too slow for this one."""
        self.ended = False
        """The other end sent all it had."""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._tunnel.moved = True
        self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        self._tunnel.side_ended(self)
        if self.peer.ended or self.peer.lost:
            self.transport.close()
            self.peer.transport.close()
            return False
        if self.peer.transport.can_write_eof() and not self.peer.transport.is_closing():
            self.peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.peer.paused += 1
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self._tunnel.moved = True
        if not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._tunnel.side_ended(self)
        self._tunnel.side_lost(self, reset=isinstance(exc, ConnectionResetError))
