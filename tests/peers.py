"""A client and an upstream that speak bytes over real sockets: they send what no library would, and read what it was.

Both block, and both have a limit on how long. Neither shares a line of code with pyproxy: what these readers take for
one request or one response is a second opinion.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 20.0
"""How long a peer waits for bytes before it gives up."""
Headers = list[tuple[bytes, bytes]]


class Gone(Exception):
    """The other side closed before what was awaited came; `got` is what did."""

    def __init__(self, got: bytes) -> None:
        super().__init__(got[:200])
        self.got = got


class Stream:
    """Bytes of one connection, read in pieces that the reader chooses."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def fill(self) -> None:
        """Read once more. Raises Gone at the end, also when the end is a reset."""
        try:
            data = self.socket.recv(262144)
        except ConnectionError:
            data = b""
        if not data:
            raise Gone(self.buffer)
        self.buffer += data

    def until(self, mark: bytes) -> bytes:
        """Everything up to and with `mark`. Raises Gone."""
        while (end := self.buffer.find(mark)) < 0:
            self.fill()
        return self._take(end + len(mark))

    def exactly(self, count: int) -> bytes:
        """So many bytes. Raises Gone."""
        while len(self.buffer) < count:
            self.fill()
        return self._take(count)

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        try:
            while True:
                self.fill()
        except Gone:
            return self._take(len(self.buffer))

    def chunks(self) -> bytes:
        """A chunked body, decoded; chunk extensions and trailers are dropped. Raises Gone with what was decoded."""
        body = bytearray()
        try:
            while size := int(self.until(b"\r\n").partition(b";")[0], 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            while self.until(b"\r\n") != b"\r\n":
                pass
        except Gone as error:
            raise Gone(bytes(body) + error.got) from None
        return bytes(body)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close so that the other side sees a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _take(self, count: int) -> bytes:
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that happens in another thread or process. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def whole_lines(log: Path) -> list[str]:
    """Those of a file that are written to their end; none where there is no file yet."""
    return [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")] if log.exists() else []


def split_head(raw: bytes) -> tuple[bytes, Headers]:
    """First line and header lines; names in lower case."""
    first, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return first, [(name.lower(), value.strip()) for name, _, value in pairs]


@dataclass
class Response:
    """What a client got. `whole` is False where the connection ended before the body did."""

    status_line: bytes
    headers: Headers
    body: bytes = b""
    whole: bool = True

    @property
    def status(self) -> int:
        return int(self.status_line.split(b" ")[1])

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def closes(self) -> bool:
        return self.get(b"connection") == b"close"


class RawClient(Stream):
    """One connection to a proxy."""

    def __init__(self, port: int, *, source: str = "", receive_buffer: int = 0) -> None:
        sock = socket.socket()
        if source:
            sock.bind((source, 0))
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(SECONDS)
        sock.connect(("127.0.0.1", port))
        super().__init__(sock)

    def read_head(self) -> Response:
        """A response head, 1xx included. Raises Gone."""
        return Response(*split_head(self.until(b"\r\n\r\n")))

    def read(self, *, method: bytes = b"GET") -> Response:
        """One final response, 1xx skipped. Raises Gone when not even its head comes."""
        response = self.read_head()
        while 100 <= response.status < 200 and response.status != 101:
            response = self.read_head()
        return self.read_body(response, method=method)

    def read_body(self, response: Response, *, method: bytes = b"GET") -> Response:
        """The body that the head announces."""
        if method == b"HEAD" or response.status in (101, 204, 304):
            return response
        length = response.get(b"content-length")
        try:
            if response.get(b"transfer-encoding") is not None:
                response.body = self.chunks()
            elif length is not None:
                response.body = self.exactly(int(length))
            else:
                response.body = self.rest()
        except Gone as error:
            response.body, response.whole = error.got, False
        return response

    def ask(self, request: bytes) -> Response:
        """Send, and read one response."""
        self.send(request)
        return self.read(method=request.split(b" ", 1)[0])

    def ended(self) -> bool:
        """Wait for the proxy's close. True when nothing came before it."""
        return self.rest() == b""


@dataclass
class Request:
    """What an upstream took for one request."""

    raw: bytes
    connection: int
    """Which of the upstream's connections it came on, from 0."""
    line: bytes = b""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    """The body was read to its end."""

    def __post_init__(self) -> None:
        self.line, self.headers = split_head(self.raw)

    @property
    def method(self) -> bytes:
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class UpstreamConnection(Stream):
    """One connection that the proxy opened."""

    def read_body(self, request: Request) -> bytes:
        """The request's body, as its head frames it. Raises Gone."""
        length = request.get(b"content-length")
        if request.get(b"transfer-encoding") is not None:
            request.body = self.chunks()
        elif length is not None:
            request.body = self.exactly(int(length))
        request.whole = True
        return request.body


Answer = Callable[[UpstreamConnection, Request], object]
"""Called with each request once its head is read; reads the body itself. Closing the connection ends it."""


def answer_with(response: bytes) -> Answer:
    """Read the body, then send these bytes."""

    def answer(connection: UpstreamConnection, request: Request) -> None:
        connection.read_body(request)
        connection.send(response)

    return answer


def answer_and_close(response: bytes) -> Answer:
    """Read the body, send these bytes, close."""

    def answer(connection: UpstreamConnection, request: Request) -> None:
        connection.read_body(request)
        connection.send(response)
        connection.close()

    return answer


OK = answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class Upstream:
    """A server on a free loopback port that answers as it is told, a thread for each connection."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._server.getsockname()[1]
        self.answer: Answer = OK
        self.requests: list[Request] = []
        """In the order in which their heads came."""
        self.connections: list[UpstreamConnection] = []
        threading.Thread(target=self._accept, name="upstream", daemon=True).start()

    def close(self) -> None:
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection."""
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def forget(self) -> None:
        """Begin anew: no request seen, plain answers."""
        self.requests = []
        self.answer = OK

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            connection = UpstreamConnection(sock)
            self.connections.append(connection)
            number = len(self.connections) - 1
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: UpstreamConnection, number: int) -> None:
        connection.socket.settimeout(None)
        try:
            while connection.socket.fileno() >= 0:
                request = Request(connection.until(b"\r\n\r\n"), number)
                self.requests.append(request)
                self.answer(connection, request)
        except (Gone, OSError):
            pass
        finally:
            connection.close()
