"""An upstream that speaks HTTP/2 by script, behind a real Envoy and behind pyproxy; clients ask in HTTP/1.1."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import ProtocolError

from tests.differential.http1_sides import masked
from tests.peers import Gone, Headers, RawClient, until, whole_lines

LAST = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n"
OK_LINES = [(b":status", b"200"), (b"content-length", b"2")]


@dataclass
class Asked:
    """What came on one stream."""

    lines: Headers = field(default_factory=list)
    body: bytes = b""
    trailers: Headers | None = None
    ended: bool = False
    reset: int | None = None


Script = Callable[["UpstreamConnection2", int], None]
"""Called with the stream once its head, or, for a whole request, its end is there."""


class UpstreamConnection2:
    """One connection from a proxy."""

    def __init__(self, upstream: Upstream2, connection: socket.socket) -> None:
        self.socket = connection
        self.h2 = H2Connection(
            H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False)
        )
        self._upstream = upstream

    def flush(self, more: bytes = b"") -> None:
        self.socket.sendall(self.h2.data_to_send() + more)

    def ok(self, stream: int) -> None:
        self.h2.send_headers(stream, OK_LINES)
        self.h2.send_data(stream, b"ok", end_stream=True)
        self.flush()

    def serve(self) -> None:
        self.h2.initiate_connection()
        with suppress(OSError, ProtocolError):
            self.flush()
            while data := self.socket.recv(65536):
                for event in self.h2.receive_data(data):
                    self._on(event)
                self.flush()
        self.socket.close()

    def _on(self, event: Any) -> None:
        upstream, stream = self._upstream, getattr(event, "stream_id", None)
        if isinstance(event, RequestReceived):
            asked = Asked([(bytes(name), bytes(value)) for name, value in event.headers or []])
            upstream.asked.append(asked)
            upstream.streams[self, stream] = asked
            if upstream.at_once:
                self._answer(asked, stream)
            return
        found = upstream.streams.get((self, stream))
        if found is None:
            return
        if isinstance(event, DataReceived):
            found.body += bytes(event.data or b"")
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, TrailersReceived):
            found.trailers = [(bytes(name), bytes(value)) for name, value in event.headers or []]
        elif isinstance(event, StreamReset):
            found.reset = int(event.error_code or 0)
        elif isinstance(event, StreamEnded):
            found.ended = True
            if not upstream.at_once:
                self._answer(found, stream)

    def _answer(self, asked: Asked, stream: Any) -> None:
        if (b":path", b"/probe") in asked.lines:
            self.ok(stream)
        else:
            self._upstream.script(self, stream)


class Upstream2:
    """Listens until it is closed."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.streams: dict[Any, Asked] = {}
        self.script: Script = UpstreamConnection2.ok
        self.at_once = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=UpstreamConnection2(self, connection).serve, daemon=True).start()


@dataclass(frozen=True)
class Exchange2:
    """A request in HTTP/1.1 and what an upstream of HTTP/2 does about it."""

    request: bytes
    script: Script = UpstreamConnection2.ok
    at_once: bool = False
    """The script runs when the head is there, not when the request is whole."""
    leaves: bool = False
    """The client is gone before an answer."""
    then: bytes = b""
    """Sent when the response's head is there."""


@dataclass
class Result2:
    """What one proxy did."""

    responses: list[tuple[bytes, Headers, bytes, bool]] = field(default_factory=list)
    end: str = ""
    upstream: list[tuple[Headers, bytes, Headers | None, bool, int | None]] = field(default_factory=list)
    """Fields in order of name, body, trailers, whether it ended, and the code of a reset."""
    log: list[Mapping[str, Any]] = field(default_factory=list)


class Side2:
    """One proxy before its upstream."""

    def __init__(self, upstream: Upstream2, port: int, log: Path) -> None:
        self.upstream = upstream
        self._port = port
        self._log = log
        self._results: dict[str, tuple[Result2, list[Asked]]] = {}

    def run(self, case: Exchange2) -> Result2:
        result = Result2()
        upstream = self.upstream
        asked = upstream.asked = []
        upstream.script, upstream.at_once = case.script, case.at_once
        number = len(self._results)
        source = f"127.3.{number // 250}.{number % 250 + 1}"
        self._results[source] = result, asked
        client = RawClient(self._port, source=source)
        client.send(case.request)
        if case.leaves:
            until(lambda: bool(asked))
        else:
            self._converse(client, case, result)
        client.close()
        time.sleep(0.1)  # the proxy has noticed before the next case gives the upstream another script
        return result

    def _converse(self, client: RawClient, case: Exchange2, result: Result2) -> None:
        try:
            while True:
                response = client.read_head()
                if response.status == 101:
                    client.send(case.then)
                    response.body = client.exactly(len(case.then))
                elif response.status >= 200:
                    client.read_body(response, method=case.request.partition(b" ")[0])
                headers = masked(response.headers, self.upstream.port)
                body = response.body if response.whole else b""
                result.responses.append((response.status_line, headers, body, response.whole))
                if response.status == 101 or response.status >= 200:
                    break
            if response.status != 101:
                probe = client.ask(LAST.replace(b"/", b"/probe", 1))
                result.end = "open" if probe.status == 200 else "broken"
        except TimeoutError:
            result.end = "silent"
        except (Gone, OSError):
            result.end = "closed"

    def finish(self) -> None:
        """Give each connection what its upstream saw, and its lines: they are there when that of one more is."""
        self.run(Exchange2(LAST))
        last = list(self._results)[-1]
        until(lambda: any(line["client"] == last for line in self._lines()))
        for line in self._lines():
            if line["path"] != "/probe":
                left_out = ("client", "sent", "received")
                result, _ = self._results[line["client"]]
                result.log.append({key: value for key, value in line.items() if key not in left_out})
        for result, streams in self._results.values():
            for asked in streams:
                if (b":path", b"/probe") not in asked.lines:
                    lines = masked(asked.lines, self.upstream.port)
                    result.upstream.append((lines, asked.body, asked.trailers, asked.ended, asked.reset))

    def _lines(self) -> list[Any]:
        return [json.loads(line) for line in whole_lines(self._log)]


def run_both(cases: Mapping[str, Exchange2], envoy: Side2, ours: Side2) -> dict[str, tuple[Result2, Result2]]:
    """Every case through both; (Envoy, pyproxy)."""
    found: list[dict[str, Result2]] = [{}, {}]

    def run(side: Side2, into: dict[str, Result2]) -> None:
        for name, case in cases.items():
            into[name] = side.run(case)
        side.finish()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, (envoy, ours), found))
    return {name: (found[0][name], found[1][name]) for name in cases}
