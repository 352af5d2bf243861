"""Ends a connection with a reset, so that the client cannot take what it has for everything."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Cut it: the client sees a reset, not an end (socket(7), SO_LINGER with no time to linger)."""
    wrapped = transport.get_extra_info("socket")
    if wrapped is not None:
        wrapped.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
