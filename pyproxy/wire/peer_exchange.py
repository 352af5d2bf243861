"""The frame in which Istio's proxies say who they are before bytes that are not HTTP: written, and read as it comes.

Eight bytes (a magic number and a length, big-endian), then a google.protobuf.Any of a google.protobuf.Struct. Each side
sends it once, where both agreed on the application protocol PEER_EXCHANGE. Source: Envoy
contrib/istio/filters/network/metadata_exchange/source/metadata_exchange.cc and metadata_exchange_initial_header.h.
"""

from __future__ import annotations

import struct
from typing import Final

from pyproxy.wire.protobuf import decode_any, encode_any

PEER_EXCHANGE: Final = "istio-peer-exchange"
MAX_FRAME: Final = 8192
"""Bytes of an Any. A longer one is read to its end and forgotten."""
_MAGIC: Final = b"\x3d\x23\x04\x67"
_HEADER: Final = struct.Struct("!4sI")
_TYPE: Final = "type.googleapis.com/google.protobuf.Struct"


def encode_frame(fields: bytes) -> bytes:
    """The frame of an encoded Struct."""
    message = encode_any(_TYPE, fields)
    return _HEADER.pack(_MAGIC, len(message)) + message


class FrameReader:
    """Takes the peer's frame off what it sends. Never raises: a peer without a good frame is an unknown one."""

    def __init__(self) -> None:
        self.done = False
        """Whatever still comes is not the frame's."""
        self.fields: bytes | None = None
        """The encoded Struct, once done; None: there was none."""
        self._held = bytearray()
        self._missing = -1
        """Bytes of the message that have not come; below 0 while the header is not whole."""
        self._kept = False

    def feed(self, data: bytes) -> bytes:
        """What is not the frame's: nothing before it is whole, and everything if it begins with something else."""
        if self.done:
            return data
        if self._missing < 0:
            self._held += data
            if not _MAGIC.startswith(self._held[:4]):
                return self.end()
            if len(self._held) < _HEADER.size:
                return b""
            data = bytes(self._held[_HEADER.size :])
            _, self._missing = _HEADER.unpack_from(self._held)
            self._held.clear()
            self._kept = self._missing <= MAX_FRAME
        message, rest = data[: self._missing], data[self._missing :]
        self._missing -= len(message)
        if self._kept:
            self._held += message
        if not self._missing:
            self.done = True
            self.fields = _fields_in(bytes(self._held))
        return rest

    def end(self) -> bytes:
        """There will be no frame: what was held back for one. Of a frame that breaks off, nothing."""
        self.done = True
        return b"" if self._missing >= 0 else bytes(self._held)


def _fields_in(message: bytes) -> bytes | None:
    try:
        kind, value = decode_any(message)
    except ValueError:
        return None
    return value if kind == _TYPE else None
