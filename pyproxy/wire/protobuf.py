"""google.protobuf.Struct and Any to bytes and back: just enough protocol buffers for Istio's metadata exchange.

Source: protobuf's encoding document, google/protobuf/struct.proto and any.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import cast

MAX_DEPTH = 8
"""Structs and lists inside each other; deeper input is refused."""
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NULL, _NUMBER, _STRING, _BOOL, _STRUCT, _LIST = 1, 2, 3, 4, 5, 6


def encode_struct(fields: Mapping[str, object]) -> bytes:
    """A Struct of str, bool, int, float, None, lists and mappings, its keys in order: the same bytes every time."""
    return b"".join(
        [_field(1, _field(1, key.encode()) + _field(2, _encode_value(fields[key]))) for key in sorted(fields)]
    )


def decode_struct(data: bytes, *, depth: int = 0) -> dict[str, object]:
    """The fields of a Struct. Raises ValueError for what is not one."""
    if depth > MAX_DEPTH:
        raise ValueError("a Struct too deep")
    fields: dict[str, object] = {}
    for number, entry in _fields(data):
        if number == 1 and isinstance(entry, bytes):
            key, value = "", None
            for part, content in _fields(entry):
                if part == 1 and isinstance(content, bytes):
                    key = content.decode()
                elif part == 2 and isinstance(content, bytes):
                    value = _decode_value(content, depth)
            fields[key] = value
    return fields


def encode_any(type_url: str, message: bytes) -> bytes:
    """An Any around a message that is encoded already."""
    return _field(1, type_url.encode()) + _field(2, message)


def decode_any(data: bytes) -> tuple[str, bytes]:
    """(type URL, encoded message) of an Any. Raises ValueError for what is not one."""
    type_url, message = "", b""
    for number, content in _fields(data):
        if number == 1 and isinstance(content, bytes):
            type_url = content.decode()
        elif number == 2 and isinstance(content, bytes):
            message = content
    return type_url, message


def _encode_value(value: object) -> bytes:
    if isinstance(value, str):
        return _field(_STRING, value.encode())
    if isinstance(value, Mapping):
        return _field(_STRUCT, encode_struct(cast("Mapping[str, object]", value)))
    if isinstance(value, list | tuple):
        return _field(_LIST, b"".join([_field(1, _encode_value(item)) for item in value]))
    if isinstance(value, bool):
        return bytes((_BOOL << 3 | _VARINT, value))
    if value is None:
        return bytes((_NULL << 3 | _VARINT, 0))
    return bytes((_NUMBER << 3 | _FIXED64,)) + struct.pack("<d", value)


def _decode_value(data: bytes, depth: int) -> object:
    value: object = None
    for number, content in _fields(data):
        if isinstance(content, int):
            if number == _BOOL:
                value = bool(content)
        elif number == _STRING:
            value = content.decode()
        elif number == _STRUCT:
            value = decode_struct(content, depth=depth + 1)
        elif number == _LIST:
            if depth >= MAX_DEPTH:
                raise ValueError("a ListValue too deep")
            value = [
                _decode_value(item, depth + 1)
                for part, item in _fields(content)
                if part == 1 and isinstance(item, bytes)
            ]
        elif number == _NUMBER and len(content) == 8:
            (value,) = struct.unpack("<d", content)
    return value


def _field(number: int, content: bytes) -> bytes:
    size = len(content)
    out = bytearray((number << 3 | _LENGTH,))
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + content


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, content): int for a varint, bytes for the rest. Raises ValueError where the message breaks off."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field number 0")
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == _LENGTH:
            size, position = _varint(data, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire_type}")
        if size > end - position:
            raise ValueError("a field is cut off")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it) of at most ten bytes."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number is too long")
