"""The part of WebSocket's handshake that HTTP/1.1 has and HTTP/2 has not: a key, and proof that it was read.

Source: RFC 6455 section 4; RFC 8441 section 5 leaves it out.
"""

from __future__ import annotations

import base64
import hashlib
import os
from typing import Final

from pyproxy.core.http import Headers

KEY: Final = b"sec-websocket-key"
ACCEPT: Final = b"sec-websocket-accept"
_VERSION: Final = b"sec-websocket-version"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key: bytes) -> bytes:
    """What a server answers to a key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def handshake(headers: Headers) -> tuple[bytes, bytes]:
    """Header lines that a request still needs to be an HTTP/1.1 handshake, and the answer to their key, if one is."""
    names = {name for name, _ in headers}
    if KEY in names:
        return b"", b""
    key = base64.b64encode(os.urandom(16))
    version = b"" if _VERSION in names else b"%b: 13\r\n" % _VERSION
    return b"%b: %b\r\n%b" % (KEY, key, version), accept_of(key)


def value_of(headers: Headers, name: bytes) -> bytes:
    """The first line of that name; empty: there is none."""
    for each, value in headers:
        if each == name:
            return value
    return b""
