"""An HTTP/2 client and an HTTP/2 upstream on h2 as it comes, over the fake transports of `tests.fakes`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from hyperframe.frame import Frame

from tests.fakes import ClientEnd, FakeTransport, World

Lines = list[tuple[bytes, bytes]]


def configured(*, client: bool) -> H2Connection:
    return H2Connection(H2Configuration(client_side=client, header_encoding=None, validate_outbound_headers=False))


@dataclass
class Message:
    """What came on one stream."""

    headers: Lines = field(default_factory=list)
    interim: list[Lines] = field(default_factory=list)
    body: bytes = b""
    trailers: Lines | None = None
    ended: bool = False
    reset: int | None = None
    """The error code."""

    @property
    def status(self) -> int:
        return int(self.get(b":status") or b"0")

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    def take(self, event: Event) -> None:
        if isinstance(event, RequestReceived | ResponseReceived):
            self.headers = _plain(event.headers)
        elif isinstance(event, InformationalResponseReceived):
            self.interim.append(_plain(event.headers))
        elif isinstance(event, DataReceived):
            self.body += bytes(event.data or b"")
        elif isinstance(event, TrailersReceived):
            self.trailers = _plain(event.headers)
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamReset):
            self.reset = int(event.error_code or 0)


def _plain(lines: Any) -> Lines:
    return [(bytes(name), bytes(value)) for name, value in lines or []]


class Http2ClientEnd:
    """A client of the proxy's. `acknowledge`: give windows back as data comes."""

    def __init__(self, world: World, *, window: int | None = None, limit: int | None = None) -> None:
        self.end: ClientEnd = world.client(limit=limit)
        self.h2 = configured(client=True)
        self.streams: dict[int, Message] = {}
        self.goaways: list[tuple[int, int]] = []
        """Last stream and error code of each."""
        self.acknowledges = window is None
        self._read = 0
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({4: window})
        self.flush()

    def flush(self) -> None:
        """Send what h2 has, and take what comes back, until nothing does."""
        while True:
            data = self.h2.data_to_send()
            if data:
                self.end.send(data)
            else:
                self.end.send()
            if not self._take():
                return

    def request(
        self,
        *extra: tuple[bytes, bytes],
        body: bytes | None = None,
        path: bytes = b"/",
        method: bytes = b"GET",
        authority: bytes = b"app.test",
        end: bool = True,
    ) -> Message:
        """Begin a stream; `end` False leaves it open. What comes for it is in what this gives."""
        stream = self.begin(*extra, path=path, method=method, authority=authority, end=end and body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.flush()
        return self.streams[stream]

    def begin(
        self,
        *extra: tuple[bytes, bytes],
        path: bytes = b"/",
        method: bytes = b"GET",
        authority: bytes = b"app.test",
        end: bool = True,
    ) -> int:
        """Put a request's head in line; gives its stream."""
        stream = self.h2.get_next_available_stream_id()
        lines = [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path), *extra]
        self.streams[stream] = Message()
        self.h2.send_headers(stream, lines, end_stream=end)
        return stream

    def frames(self, *frames: Frame) -> None:
        """Send frames that h2 would not."""
        self.end.send(b"".join(frame.serialize() for frame in frames))
        self._take()

    def _take(self) -> bool:
        data = self.end.received[self._read :]
        self._read = len(self.end.received)
        if not data:
            return bool(self.h2._data_to_send)
        for piece in split_goaway(data, self.goaways):
            for event in self.h2.receive_data(piece):
                stream = getattr(event, "stream_id", None)
                if stream in self.streams:
                    self.streams[stream].take(event)
                if isinstance(event, DataReceived) and self.acknowledges:
                    self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                assert not isinstance(event, ConnectionTerminated)
        return True


def split_goaway(data: bytes, found: list[tuple[int, int]]) -> list[bytes]:
    """The frames but for GOAWAY, which h2 takes for the end of everything; those go into `found`."""
    pieces = []
    while data:
        size = 9 + int.from_bytes(data[:3], "big")
        piece, data = data[:size], data[size:]
        if piece[3] == 7:
            found.append((int.from_bytes(piece[9:13], "big"), int.from_bytes(piece[13:17], "big")))
        else:
            pieces.append(piece)
    return pieces


Answer = Callable[["Http2UpstreamEnd", int, Message], None]


def ok(end: Http2UpstreamEnd, stream: int, request: Message) -> None:
    """200 with a body."""
    end.h2.send_headers(stream, [(b":status", b"200"), (b"content-length", b"2")])
    end.h2.send_data(stream, b"ok", end_stream=True)


class Http2UpstreamEnd:
    """An upstream's end of a connection. Each whole request is answered by `answer`."""

    def __init__(self, network: Http2Network) -> None:
        self.transport = FakeTransport(on_write=self.take)
        self.h2 = configured(client=False)
        self.h2.initiate_connection()
        self.h2.update_settings({3: network.max_streams})
        self.streams: dict[int, Message] = {}
        self.goaways: list[tuple[int, int]] = []
        self._network = network
        self._read = 0

    def take(self) -> None:
        """What the proxy wrote."""
        data = self.transport.written[self._read :]
        self._read = len(self.transport.written)
        preface = 24 if data.startswith(b"PRI") else 0
        for piece in [data[:preface], *split_goaway(data[preface:], self.goaways)]:
            for event in self.h2.receive_data(piece):
                self._on(event)
        self.flush()

    def _on(self, event: Event) -> None:
        stream = getattr(event, "stream_id", None)
        if isinstance(event, RequestReceived):
            assert stream is not None
            self.streams[stream] = Message()
            self._network.requests.append(self.streams[stream])
        if stream in self.streams:
            self.streams[stream].take(event)
        if isinstance(event, DataReceived) and self._network.acknowledges:
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        if isinstance(event, RequestReceived if self._network.answers_heads else StreamEnded):
            assert stream is not None
            answers = self._network.answers
            (answers.pop(0) if answers else ok)(self, stream, self.streams[stream])

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.transport.deliver(data)


class Http2Network:
    """Where dials end: give its `connect` to a World's network."""

    def __init__(self, world: World, *, max_streams: int = 100) -> None:
        self.ends: list[Http2UpstreamEnd] = []
        self.requests: list[Message] = []
        self.answers: list[Answer] = []
        self.max_streams = max_streams
        self.acknowledges = True
        self.answers_heads = False
        """A request is answered before it is whole."""
        world.network.connect = self.connect  # type: ignore[method-assign]

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[FakeTransport, Any]:
        end = Http2UpstreamEnd(self)
        self.ends.append(end)
        protocol = factory()
        end.transport.set_protocol(protocol)
        protocol.connection_made(end.transport)
        return end.transport, protocol
