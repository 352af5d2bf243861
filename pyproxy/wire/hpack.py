"""Header compression of HTTP/2 (RFC 7541), in the shape that h2 expects, compiled with the data path.

The `hpack` that h2 brings costs 30 µs a request; this does the same for 3 once it is compiled. What changes with every
request is sent without a place in the table, so that what stays is not pushed out. Nothing is Huffman-coded on the way
out: it would cost more time than it saves bytes inside a machine room. Huffman's table comes with `hpack`.
"""

from __future__ import annotations

from typing import Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack.exceptions import OversizedHeaderListError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE
from hpack.table import HeaderTable

from pyproxy.core.http import Headers

_STATIC: Final[Headers] = [(bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE]
_STATIC_SIZE: Final = len(_STATIC)
_STATIC_FIELDS: Final[dict[tuple[bytes, bytes], int]] = {line: index + 1 for index, line in enumerate(_STATIC)}
_STATIC_NAMES: Final[dict[bytes, int]] = {name: index + 1 for index, (name, _) in reversed(list(enumerate(_STATIC)))}
_OVERHEAD: Final = 32
"""Bytes that an entry counts beside its name and value. RFC 7541 section 4.1."""
_TABLE_SIZE: Final = 4096
_LARGEST_ENTRY: Final = 1024
"""Bytes of a field that would push too much out of the table."""

# Huffman's automaton, one number for each state and half byte: next state, then symbol, then flags.
_HUFFMAN: Final[list[int]] = [state << 16 | symbol << 8 | flags for state, flags, symbol in HUFFMAN_TABLE]
_EMIT: Final[int] = HUFFMAN_EMIT_SYMBOL
_FAIL: Final[int] = HUFFMAN_FAIL
_COMPLETE: Final[int] = HUFFMAN_COMPLETE

_CHANGING: Final = frozenset(
    (
        b":path",
        b"content-length",
        b"cookie",
        b"etag",
        b"grpc-timeout",
        b"last-modified",
        b"location",
        b"set-cookie",
        b"traceparent",
        b"x-b3-parentspanid",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-upstream-service-time",
        b"x-request-id",
    )
)
"""Other with every message: not worth a place."""
_SECRET: Final = frozenset((b"authorization", b"proxy-authorization"))
"""Nobody may learn these from what compresses well. RFC 7541 section 7.1.3."""


class Encoder:
    """Fields to a header block; one for each connection."""

    def __init__(self) -> None:
        self._fields: dict[tuple[bytes, bytes], int] = {}
        """Entry → its number; numbers rise with every entry that is added."""
        self._names: dict[bytes, int] = {}
        self._entries: Headers = []
        """The oldest first."""
        self._added = 0
        self._size = 0
        self._most = _TABLE_SIZE
        self._updates: list[int] = []
        """Sizes that the peer has to be told of."""

    @property
    def header_table_size(self) -> int:
        """Bytes of the table."""
        return self._most

    @header_table_size.setter
    def header_table_size(self, size: int) -> None:
        """The peer keeps a table of so many bytes; we use no more than the default."""
        size = min(size, _TABLE_SIZE)
        if size != self._most:
            self._most = size
            self._updates.append(size)
            self._evict(0)

    def encode(self, lines: Headers) -> bytes:
        """The block for these fields."""
        out = bytearray()
        for size in self._updates:
            _put_integer(out, 0x20, 5, size)
        self._updates.clear()
        for line in lines:
            index = _STATIC_FIELDS.get(line, 0)
            if not index:
                number = self._fields.get(line, -1)
                if number < 0:
                    self._put_literal(out, line)
                    continue
                index = _STATIC_SIZE + self._added - number
            if index < 127:
                out.append(0x80 | index)
            else:
                _put_integer(out, 0x80, 7, index)
        return bytes(out)

    def _put_literal(self, out: bytearray, line: tuple[bytes, bytes]) -> None:
        name, value = line
        size = len(name) + len(value) + _OVERHEAD
        index = _STATIC_NAMES.get(name, 0)
        if not index:
            number = self._names.get(name, -1)
            if number >= 0:
                index = _STATIC_SIZE + self._added - number
        if name in _SECRET:
            _put_integer(out, 0x10, 4, index)
        elif name in _CHANGING or size > _LARGEST_ENTRY:
            _put_integer(out, 0x00, 4, index)
        else:
            _put_integer(out, 0x40, 6, index)
            self._add(line, size)
        if not index:
            _put_integer(out, 0x00, 7, len(name))
            out += name
        _put_integer(out, 0x00, 7, len(value))
        out += value

    def _add(self, line: tuple[bytes, bytes], size: int) -> None:
        self._evict(size)
        if size > self._most:
            return
        self._entries.append(line)
        self._size += size
        self._fields[line] = self._added
        self._names[line[0]] = self._added
        self._added += 1

    def _evict(self, coming: int) -> None:
        """Make room."""
        entries = self._entries
        while entries and self._size + coming > self._most:
            line = entries.pop(0)
            number = self._added - len(entries) - 1
            self._size -= len(line[0]) + len(line[1]) + _OVERHEAD
            if self._fields.get(line) == number:
                del self._fields[line]
            if self._names.get(line[0]) == number:
                del self._names[line[0]]


class Decoder:
    """Header blocks to fields; one for each connection."""

    def __init__(self) -> None:
        self.max_header_list_size = 65536
        """Bytes of a list, each field with 32 more."""
        self.max_allowed_table_size = _TABLE_SIZE
        """What we told the peer."""
        self._entries: Headers = []
        """The oldest first."""
        self._size = 0
        self._most = _TABLE_SIZE
        self._position = 0

    def decode(self, block: bytes, raw: bool = True) -> Headers:
        """The fields. Raises ProtocolError, with the code COMPRESSION_ERROR, and OversizedHeaderListError."""
        data = bytes(block)
        end = len(data)
        lines: Headers = []
        total = 0
        self._position = 0
        while self._position < end:
            first = data[self._position]
            if first & 0x80:
                line = self._entry(self._integer(data, 7))
            elif first & 0x40:
                line = self._literal(data, 6)
                self._add(line)
            elif first & 0x20:
                if lines:
                    raise _broken("a table size update behind a field")
                self._resize(self._integer(data, 5))
                continue
            else:
                line = self._literal(data, 4)
            total += len(line[0]) + len(line[1]) + _OVERHEAD
            if total > self.max_header_list_size:
                raise OversizedHeaderListError(f"more than {self.max_header_list_size} bytes of header fields")
            lines.append(line)
        if self._most > self.max_allowed_table_size:
            raise _broken("the table was not made as small as was asked for")
        return lines

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if index <= 0:
            raise _broken("there is no field 0")
        if index <= _STATIC_SIZE:
            return _STATIC[index - 1]
        place = len(self._entries) - (index - _STATIC_SIZE)
        if place < 0:
            raise _broken(f"there is no field {index}")
        return self._entries[place]

    def _literal(self, data: bytes, bits: int) -> tuple[bytes, bytes]:
        index = self._integer(data, bits)
        name = self._entry(index)[0] if index else self._text(data)
        return name, self._text(data)

    def _integer(self, data: bytes, bits: int) -> int:
        """RFC 7541 section 5.1."""
        mask = (1 << bits) - 1
        position = self._position
        number = data[position] & mask
        position += 1
        if number == mask:
            shift = 0
            end = len(data)
            while True:
                if position >= end or shift > 28:
                    raise _broken("a number without an end")
                part = data[position]
                position += 1
                number += (part & 0x7F) << shift
                if not part & 0x80:
                    break
                shift += 7
        self._position = position
        return number

    def _text(self, data: bytes) -> bytes:
        if self._position >= len(data):
            raise _broken("a field without its text")
        coded = data[self._position] & 0x80
        size = self._integer(data, 7)
        start = self._position
        self._position = start + size
        if self._position > len(data):
            raise _broken("a text that is longer than the block")
        text = data[start : self._position]
        return decode_huffman(text) if coded else text

    def _add(self, line: tuple[bytes, bytes]) -> None:
        size = len(line[0]) + len(line[1]) + _OVERHEAD
        self._evict(size)
        if size <= self._most:
            self._entries.append(line)
            self._size += size

    def _resize(self, size: int) -> None:
        if size > self.max_allowed_table_size:
            raise _broken(f"a table of {size} bytes was not offered")
        self._most = size
        self._evict(0)

    def _evict(self, coming: int) -> None:
        entries = self._entries
        while entries and self._size + coming > self._most:
            name, value = entries.pop(0)
            self._size -= len(name) + len(value) + _OVERHEAD


def decode_huffman(text: bytes) -> bytes:
    """RFC 7541 section 5.2. Raises ProtocolError."""
    if not text:
        return b""
    out = bytearray()
    entry = 0
    state = 0
    for byte in text:
        entry = _HUFFMAN[state * 16 + (byte >> 4)]
        if entry & _FAIL:
            raise _broken("a text that Huffman's code has not")
        if entry & _EMIT:
            out.append(entry >> 8 & 0xFF)
        state = entry >> 16
        entry = _HUFFMAN[state * 16 + (byte & 15)]
        if entry & _FAIL:
            raise _broken("a text that Huffman's code has not")
        if entry & _EMIT:
            out.append(entry >> 8 & 0xFF)
        state = entry >> 16
    if not entry & _COMPLETE:
        raise _broken("a text that breaks off")
    return bytes(out)


def _broken(why: str) -> ProtocolError:
    """The block cannot be read, nor any that follows it. RFC 9113 section 4.3; h2 would say PROTOCOL_ERROR."""
    error = ProtocolError(why)
    error.error_code = ErrorCodes.COMPRESSION_ERROR
    return error


def _put_integer(out: bytearray, pattern: int, bits: int, number: int) -> None:
    """RFC 7541 section 5.1; `pattern` are the bits before it."""
    mask = (1 << bits) - 1
    if number < mask:
        out.append(pattern | number)
        return
    out.append(pattern | mask)
    number -= mask
    while number > 127:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    out.append(number)
