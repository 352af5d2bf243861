"""Reads what a TLS client says first, before anybody has decided to be its server: SNI, ALPN, versions, tickets.

Source: RFC 8446 sections 4.1.2 and 4.2.9, RFC 6066 section 3, RFC 7301; what counts as TLS: Envoy tls_inspector.cc.
"""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_HELLO: Final = 64 * 1024
"""Bytes of a ClientHello that are looked at (Envoy tls_inspector's max_client_hello_size)."""
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_MAX_RECORD: Final = 16384
_MAX_RECORDS: Final = 64
"""That a hello may come in: the largest needs five, and each costs another look."""
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_PSK_MODES: Final = 45
_PSK_WITH_DHE: Final = b"\x01"
_VERSIONS: Final = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


class ClientHello(NamedTuple):
    """What a client asks for."""

    server_name: str
    """SNI in lower case; empty when there is none."""
    alpn: tuple[bytes, ...]
    """In the client's order of preference."""
    versions: tuple[str, ...]
    """`TLSv1.3`; what nobody knows (GREASE) is left out."""
    takes_tickets: bool = True
    """It can resume a session of TLS 1.3 by a ticket; true where it does not speak that."""


class NotTls:
    """The verdict on bytes that begin no TLS connection, or none that can be served."""


NOT_TLS: Final = NotTls()


class _MalformedError(Exception):
    """A length points past its end."""


def may_be_tls(data: bytes) -> bool:
    """Whether a connection may be TLS that begins with these bytes, be it one alone: a handshake of version 3.x."""
    return data[:1] == b"\x16" and data[1:2] in (b"", b"\x03")


def parse_client_hello(data: bytes) -> ClientHello | NotTls | None:
    """The ClientHello that a connection begins with; None when more bytes are needed, which is for 64 KiB at most."""
    try:
        body = _message(data)
        return None if body is None else _parse(body)
    except _MalformedError:
        return NOT_TLS


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from its records; None when it is not all here."""
    if data and not may_be_tls(data):
        raise _MalformedError
    message = b""
    at = 0
    for _ in range(_MAX_RECORDS):
        if len(data) - at < 5:
            return None
        length = _number(data, at + 3, 2)
        if not may_be_tls(data[at : at + 2]) or not 0 < length <= _MAX_RECORD:
            raise _MalformedError
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if len(message) >= 4:
            size = (message[1] << 16) + _number(message, 2, 2)
            if message[0] != _CLIENT_HELLO or size > MAX_HELLO:
                raise _MalformedError
            if len(message) >= 4 + size:
                return message[4 : 4 + size]
    raise _MalformedError


def _parse(hello: bytes) -> ClientHello:
    versions: tuple[int, ...] = (_number(hello, 0, 2),)
    at = 34  # behind version and random
    for size in (1, 2, 1):  # session id, cipher suites, compression
        at += size + len(_vector(hello, at, size))
    extensions = _vector(hello, at, 2) if at < len(hello) else b""
    server_name = ""
    alpn: tuple[bytes, ...] = ()
    psk_modes: bytes | None = None
    at = 0
    while at < len(extensions):
        kind, value = _number(extensions, at, 2), _vector(extensions, at + 2, 2)
        at += 4 + len(value)
        if kind == _SERVER_NAME:
            server_name = _host_name(_vector(value, 0, 2))
        elif kind == _ALPN:
            alpn = _names(_vector(value, 0, 2))
        elif kind == _SUPPORTED_VERSIONS:
            listed = _vector(value, 0, 1)
            versions = tuple([_number(listed, each, 2) for each in range(0, len(listed), 2)])
        elif kind == _PSK_MODES:
            psk_modes = _vector(value, 0, 1)
    known = tuple([_VERSIONS[each] for each in versions if each in _VERSIONS])
    if not known:  # SSL 3 or something of which nobody has heard
        raise _MalformedError
    takes_tickets = "TLSv1.3" not in known or (psk_modes is not None and _PSK_WITH_DHE in psk_modes)
    return ClientHello(server_name, alpn, known, takes_tickets)


def _host_name(names: bytes) -> str:
    """The first name of type host_name."""
    at = 0
    while at < len(names):
        name = _vector(names, at + 1, 2)
        if names[at] == 0:
            return name.decode("latin-1").lower()
        at += 3 + len(name)
    return ""


def _names(protocols: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    at = 0
    while at < len(protocols):
        name = _vector(protocols, at, 1)
        found.append(name)
        at += 1 + len(name)
    return tuple(found)


def _number(data: bytes, at: int, size: int) -> int:
    """Of one or two bytes. Raises _MalformedError where there are too few."""
    if at + size > len(data):
        raise _MalformedError
    return data[at] if size == 1 else (data[at] << 8) + data[at + 1]


def _vector(data: bytes, at: int, size: int) -> bytes:
    """What stands behind a length of `size` bytes. Raises _MalformedError where there is less."""
    start = at + size
    end = start + _number(data, at, size)
    if end > len(data):
        raise _MalformedError
    return data[start:end]
