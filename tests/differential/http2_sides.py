"""The same HTTP/2 frames through a real Envoy and through pyproxy: what came back, and what was logged."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame, WindowUpdateFrame

from tests.differential.http1_sides import Side, masked
from tests.peers import OK, SECONDS, Answer, Headers, until

PSEUDO = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"app.test"), (b":path", b"/")]
PROBE = 101
"""The stream that asks whether the connection goes on."""


@dataclass(frozen=True)
class Case2:
    """Frames of one client connection, behind preface and SETTINGS; the answer on stream 1 is looked at."""

    frames: tuple[Frame, ...]
    answer: Answer = OK
    leaves: bool = False
    """The client closes once it has sent them."""
    probed: bool = True
    """Whether the connection serves another stream afterwards is looked at."""
    patience: float = SECONDS
    """Seconds to wait for a stream to be over; less where one never is."""


@dataclass
class Seen2:
    """What one proxy did."""

    heads: list[Headers] = field(default_factory=list)
    """Informational ones, the response's, and trailers."""
    body: bytes = b""
    ended: bool = False
    reset: int | None = None
    end: str = ""
    """open, closed or silent."""
    upstream: list[tuple[bytes, Headers, bytes]] = field(default_factory=list)
    log: list[Mapping[str, Any]] = field(default_factory=list)


def request(*extra: tuple[bytes, bytes], end: bool = True, pseudo: Headers = PSEUDO, stream: int = 1) -> HeadersFrame:
    """HEADERS that begins a request."""
    flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
    return HeadersFrame(stream, data=Encoder().encode([*pseudo, *extra]), flags=flags)


def data(body: bytes, *, end: bool = True) -> DataFrame:
    return DataFrame(1, data=body, flags=["END_STREAM"] if end else [])


class _Connection:
    """A client that takes down what comes."""

    def __init__(self, port: int, source: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0))
        self.send(SettingsFrame(0, settings={4: 1 << 24}), WindowUpdateFrame(0, window_increment=1 << 24), preface=True)
        self._decoder = Decoder()
        self._buffer = b""
        self.heads: dict[int, list[Headers]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.closed = False

    def send(self, *frames: Frame, preface: bool = False) -> None:
        start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if preface else b""
        try:
            self.socket.sendall(start + b"".join(frame.serialize() for frame in frames))
        except OSError:
            self.closed = True

    def read_until_over(self, stream: int, seconds: float) -> None:
        """Until a stream is over or the connection is."""
        deadline = time.monotonic() + seconds
        while not self.closed and stream not in self.ended and stream not in self.resets:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self.socket.settimeout(left)
            try:
                received = self.socket.recv(65536)
            except TimeoutError:
                return
            except OSError:
                received = b""
            if not received:
                self.closed = True
            self._buffer += received
            self._take()

    def _take(self) -> None:
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags, stream = self._buffer[3], self._buffer[4], int.from_bytes(self._buffer[5:9], "big")
            payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            if kind == 1:
                lines = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(payload, raw=True)]
                self.heads.setdefault(stream, []).append(lines)
            elif kind == 0:
                self.bodies[stream] = self.bodies.get(stream, b"") + payload
            elif kind == 3:
                self.resets[stream] = int.from_bytes(payload, "big")
            if kind in (0, 1) and flags & 1:
                self.ended.add(stream)


class Http2Side:
    """A proxy before its upstream, asked in HTTP/2."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._seen: dict[str, Seen2] = {}

    def run(self, case: Case2, *, inbound: bool = False) -> Seen2:
        """Send a case's frames."""
        seen = Seen2()
        upstream = self._side.upstream
        upstream.forget()
        upstream.answer = case.answer
        number = len(self._seen)
        source = f"127.2.{number // 250}.{number % 250 + 1}"
        self._seen[source] = seen
        client = _Connection(self._side._ports["inbound" if inbound else "outbound"], source)
        client.send(*case.frames)
        if case.leaves:
            until(lambda: bool(upstream.requests))
        else:
            client.read_until_over(1, case.patience)
            if case.probed and not client.closed:
                upstream.answer = OK
                probe = [(name, b"/probe" if name == b":path" else value) for name, value in PSEUDO]
                client.send(request(pseudo=probe, stream=PROBE))
                client.read_until_over(PROBE, case.patience)
        client.socket.close()
        port = upstream.port
        seen.heads = [masked(lines, port) for lines in client.heads.get(1, [])]
        seen.body = client.bodies.get(1, b"")
        seen.ended, seen.reset = 1 in client.ended, client.resets.get(1)
        answered = PROBE in client.ended
        seen.end = "open" if answered else "closed" if client.closed else "silent"
        seen.upstream = [
            (each.line, masked(each.headers, port), each.body)
            for each in upstream.requests
            if each.target != b"/probe" and each.whole
        ]
        return seen

    def read_log(self) -> None:
        """Give each connection the lines that were logged of it: they are there when that of one more request is."""
        self.run(Case2((request(),)))
        last = list(self._seen)[-1]
        until(lambda: any(line["client"] == last for line in self._side._lines()))
        for line in self._side._lines():
            seen = self._seen.get(line["client"])
            if seen is not None and line["path"] != "/probe":
                seen.log.append(
                    {key: value for key, value in line.items() if key not in ("client", "sent", "received")}
                )


def run_both(cases: Mapping[str, Case2], envoy: Http2Side, ours: Http2Side) -> dict[str, tuple[Seen2, Seen2]]:
    """Every case through both; (Envoy, pyproxy)."""
    found: list[dict[str, Seen2]] = [{}, {}]

    def run(side: Http2Side, into: dict[str, Seen2]) -> None:
        for name, case in cases.items():
            into[name] = side.run(case)
        side.read_log()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (envoy, ours), found))
    return {name: (found[0][name], found[1][name]) for name in cases}
