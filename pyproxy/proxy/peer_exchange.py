"""An end of a tunnel whose proxy has not yet said who it is: keeps its frame from what passes through the tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pyproxy.core.context import RequestContext
from pyproxy.proxy.tunnel import TunnelSide
from pyproxy.telemetry.peer_metadata import metadata_in
from pyproxy.wire.peer_exchange import FrameReader


def record_peer(ctx: RequestContext, frame: FrameReader | None) -> None:
    """Take what a frame says of its sender, if it has come."""
    if frame is not None and frame.fields is not None:
        ctx.peer_metadata = metadata_in(frame.fields)


class Introduction(asyncio.Protocol):
    """Stands before one side of a tunnel that has started, until the frame is whole or known to be none."""

    def __init__(self, frame: FrameReader, side: TunnelSide, over: Callable[[], None]) -> None:
        """`over` is called with the last bytes of the frame, before what follows them passes on."""
        self._frame = frame
        self._side = side
        self._over = over
        side.transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        rest = self._frame.feed(data)
        if self._frame.done:
            self._step_aside(rest)

    def eof_received(self) -> bool:
        self._step_aside(self._frame.end())
        return self._side.eof_received()

    def pause_writing(self) -> None:
        self._side.pause_writing()

    def resume_writing(self) -> None:
        self._side.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._side.connection_lost(exc)

    def _step_aside(self, rest: bytes) -> None:
        self._side.transport.set_protocol(self._side)
        self._over()
        if rest:
            self._side.data_received(rest)
