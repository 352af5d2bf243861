"""The few protocol buffers of gRPC's interop suite, by hand. Source: grpc/testing/messages.proto."""

from __future__ import annotations

from collections.abc import Iterator


def field(number: int, value: int | bytes) -> bytes:
    """One field; nothing for a default."""
    if not value:
        return b""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each: varints and what has a length."""
    position = 0
    while position < len(message):
        key, position = _read(message, position)
        value, position = _read(message, position)
        if key & 7 == 2:
            yield key >> 3, message[position : position + value]
            position += value
        else:
            yield key >> 3, value


def number_of(message: bytes, number: int) -> int:
    """The first number under a field's number; 0 without."""
    return next((value for key, value in fields(message) if key == number and isinstance(value, int)), 0)


def bytes_of(message: bytes, number: int) -> bytes:
    """Likewise bytes."""
    return next((value for key, value in fields(message) if key == number and isinstance(value, bytes)), b"")


def payload(size: int) -> bytes:
    """A Payload of so many zeros."""
    return field(2, bytes(size))


def size_of_payload(message: bytes, number: int) -> int:
    """Bytes in the Payload under a field's number."""
    return len(bytes_of(bytes_of(message, number), 2))


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def _read(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
