"""Header fields as HTTP/2 allows them: names in lower case, nothing of the connection's, values without controls.

Source: RFC 9113 section 8.2; what nghttp2 refuses, and Envoy with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from pyproxy.wire.names import Fate, NameTable

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
INVALID_FIELD: Final = "http2.invalid.header.field"
BAD_MESSAGE: Final = "http2.violation.of.messaging.rule"
TOO_MANY: Final = "http2.too_many_headers"
TOO_LARGE: Final = "http2.header_list_size_too_large"

bad_value: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
"""Whether a value has a control character, and so could be two headers where it goes on as HTTP/1.1."""


class BadHead(Exception):
    """A head that cannot be served. `details` are Envoy's; `only_stream`: the connection may go on without it."""

    def __init__(self, details: str, *, only_stream: bool = False) -> None:
        super().__init__(details)
        self.details = details
        self.only_stream = only_stream


class FieldNames(NameTable):
    """Names of the fields of one kind of message. Pseudo fields are not among them."""

    __slots__ = ()

    def __init__(self, fates: Mapping[bytes, Fate]) -> None:
        super().__init__({name: fate for name, fate in fates.items() if name not in _CONNECTION_SPECIFIC})

    def learn(self, name: bytes) -> tuple[bytes, Fate]:
        """The name and its fate. Raises BadHead: no field may have it."""
        if name in _CONNECTION_SPECIFIC or not _NAME.fullmatch(name):
            raise BadHead(INVALID_FIELD)
        return super().learn(name)


def check_te(value: bytes) -> None:
    """`te` may only say that trailers are welcome. Raises BadHead."""
    if value.lower() != b"trailers":
        raise BadHead(INVALID_FIELD)


def read_trailers(
    lines: list[tuple[bytes, bytes]], names: FieldNames, most: int, most_bytes: int
) -> list[tuple[bytes, bytes]]:
    """Header lines behind a body. Raises BadHead."""
    if len(lines) > most:
        raise BadHead(TOO_MANY, only_stream=True)
    size = 0
    trailers: list[tuple[bytes, bytes]] = []
    for name, value in lines:
        if name not in names.known:
            names.learn(name)
        if bad_value(value):
            raise BadHead(INVALID_FIELD)
        size += len(name) + len(value)
        trailers.append((bytes(name), bytes(value)))
    if size > most_bytes:
        raise BadHead(TOO_LARGE, only_stream=True)
    return trailers
