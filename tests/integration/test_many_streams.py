"""10,000 gRPC calls at once, on 100 connections: what memory they take, and that it is taken once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

CONNECTIONS = 100
CALLS = 100
"""On each connection."""
PATIENCE = 120.0
"""Seconds for a round on a busy machine."""
MOST = 16 * 1024
"""Bytes of memory for a call that is held, with its share of two connections; 7 KiB were measured, Envoy takes 36."""
DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {port}}}}}]
"""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAMS_AT_ONCE = b"\0\3\0\0\0\x80"
"""A setting: 128 on a connection, as nginx says."""
MESSAGE = b"\0\0\0\0\x20" + b"x" * 32


def literal(name: bytes, value: bytes) -> bytes:
    """A field that no table remembers. RFC 7541 section 6.2.2."""
    return b"\0%c%b%c%b" % (len(name), name, len(value), value)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


TYPE = literal(b"content-type", b"application/grpc")
REQUEST = b"\x83\x86\x01\x08app.test\x04\x07/s/Call" + TYPE + literal(b"te", b"trailers")
RESPONSE = b"\x88" + TYPE
TRAILERS = literal(b"grpc-status", b"0")


def call(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, REQUEST) + frame(DATA, END_STREAM, stream, MESSAGE)


def answer(stream: int) -> bytes:
    return (
        frame(HEADERS, END_HEADERS, stream, RESPONSE)
        + frame(DATA, 0, stream, MESSAGE)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS)
    )


class End(asyncio.Protocol):
    """One end of a connection: takes frames apart, and counts ends of streams."""

    transport: asyncio.Transport

    def __init__(self, skip: int = 0) -> None:
        self._buffer = bytearray()
        self._skip = skip
        """Bytes of a preface."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._skip and len(self._buffer) >= self._skip:
            del self._buffer[: self._skip]
            self._skip = 0
        for kind, flags, stream in [] if self._skip else list(self._frames()):
            assert kind != RST_STREAM, stream
            if kind == SETTINGS and not flags & ACK:
                self.transport.write(frame(SETTINGS, ACK, 0, b""))
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                self.ended(stream)

    def ended(self, stream: int) -> None:
        raise NotImplementedError

    def _frames(self) -> Iterator[tuple[int, int, int]]:
        at, buffer = 0, self._buffer
        while len(buffer) - at >= 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) - at < 9 + size:
                break
            yield buffer[at + 3], buffer[at + 4], int.from_bytes(buffer[at + 5 : at + 9], "big")
            at += 9 + size
        del buffer[:at]


class Service(End):
    """Answers when all calls are there."""

    waiting: list[tuple[asyncio.Transport, int]] = []

    def __init__(self) -> None:
        super().__init__(len(PREFACE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(frame(SETTINGS, 0, 0, STREAMS_AT_ONCE) + frame(WINDOW_UPDATE, 0, 0, b"\x7f\0\0\0"))

    def ended(self, stream: int) -> None:
        self.waiting.append((self.transport, stream))
        if len(self.waiting) == CONNECTIONS * CALLS:
            for transport, one in self.waiting:
                transport.write(answer(one))
            self.waiting.clear()


class Caller(End):
    """Makes its calls at once."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        calls = b"".join(call(2 * number + 1) for number in range(CALLS))
        self.transport.write(PREFACE + frame(SETTINGS, 0, 0, b"") + calls)

    def ended(self, stream: int) -> None:
        self.answered += 1
        if self.answered == CALLS:
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("closed with calls under way"))


async def make_calls(port: int) -> None:
    """One round, on new connections."""
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(Caller, "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    await asyncio.wait_for(asyncio.gather(*(caller.done for caller in callers)), PATIENCE)
    for caller in callers:
        caller.transport.close()


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[PyproxyProcess]:
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    proxy = await asyncio.to_thread(PyproxyProcess, tmp_path, DOCUMENTS.format(port=port))
    yield proxy
    await asyncio.to_thread(proxy.close)
    server.close()


@pytest.mark.timeout(500)  # three rounds, with that patience
async def test_ten_thousand_calls_take_their_memory_once(proxy: PyproxyProcess) -> None:
    idle = proxy.resident_bytes
    after = []
    for _ in range(3):
        await make_calls(proxy.ports["virtualOutbound"])
        after.append(proxy.resident_bytes)
    first, second, third = after
    assert first - idle < CONNECTIONS * CALLS * MOST
    assert third < 1.03 * second, [size // 1024 for size in after]
