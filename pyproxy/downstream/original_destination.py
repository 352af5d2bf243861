"""Where a connection was going before iptables REDIRECT sent it here. Linux only. Source: Envoy original_dst.cc."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
import sys
from typing import Any, Final

_REDIRECTS: Final = sys.platform == "linux"
"""Elsewhere there is no such option, and its number may be another's."""
_SO_ORIGINAL_DST: Final = 80
"""Of IPv4; IP6T_SO_ORIGINAL_DST is 80 too."""
_ROOM: Final = 28
"""Bytes of the larger address, a sockaddr_in6."""
_address: Final = ctypes.create_string_buffer(_ROOM)
_size: Final = ctypes.c_uint(_ROOM)
_addressed: Final = ctypes.byref(_address)
_sized: Final = ctypes.byref(_size)
_getsockopt: Final[Any] = ctypes.CDLL(None).getsockopt
"""Python's raises an error where a connection was not redirected, and wants a socket object: four times the price."""


def original_destination(transport: asyncio.Transport, local: tuple[Any, ...]) -> tuple[str, int] | None:
    """IP and port; None when the connection was not redirected. `local` is the socket's own address."""
    wrapped = transport.get_extra_info("socket")
    if wrapped is None or not _REDIRECTS:
        return None
    _size.value = _ROOM
    handle: int = wrapped.fileno()
    if len(local) == 2:
        if _getsockopt(handle, socket.SOL_IP, _SO_ORIGINAL_DST, _addressed, _sized):
            return None
        port, packed = struct.unpack_from("!2xH4s", _address)
        return socket.inet_ntop(socket.AF_INET, packed), port
    if _getsockopt(handle, socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _addressed, _sized):
        return None
    port, packed = struct.unpack_from("!2xH4x16s", _address)
    return socket.inet_ntop(socket.AF_INET6, packed), port
