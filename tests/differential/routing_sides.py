"""One mesh behind pyproxy and, exported, behind a real Envoy; the same requests to both; what each made of them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.peers import whole_lines
from tests.pyproxy_process import PyproxyProcess

Lines = list[tuple[str, str]]
LOG_FIELDS = {
    "case": "%REQ(X-CASE)%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER_RAW%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "authority": "%REQ(:AUTHORITY)%",
}
_VARYING = {"x-case", "date", "x-envoy-upstream-service-time", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid"}
_EXPECTED = "x-envoy-expected-rq-timeout-ms"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Echo(asyncio.Protocol):
    """An upstream that answers each request with the request itself, as JSON."""

    def __init__(self, connections: set[asyncio.WriteTransport]) -> None:
        self._connections = connections
        self._waiting = b""
        self._transport: asyncio.WriteTransport = None  # type: ignore[assignment]  # set before any use

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._waiting[:end].decode("latin-1").split("\r\n")
            headers = [line.partition(": ")[::2] for line in lines]
            size = next((int(value) for name, value in headers if name == "content-length"), 0)
            if len(self._waiting) < end + 4 + size:
                return
            body = self._waiting[end + 4 : end + 4 + size].decode("latin-1")
            self._waiting = self._waiting[end + 4 + size :]
            self._answer(first, headers, body)

    def _answer(self, first: str, headers: Sequence[Sequence[str]], body: str) -> None:
        method, target, _ = first.split(" ")
        content = json.dumps({"method": method, "target": target, "headers": headers, "body": body}).encode()
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: echo\r\n"
            f"x-up: up\r\nx-dup: one\r\nx-dup: two\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        self._transport.write(head.encode() + (b"" if method == "HEAD" else content))


class EchoServer:
    """Serves in a thread, on a free loopback port."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.WriteTransport] = set()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: Echo(self._connections), "127.0.0.1", 0)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._server.close()
        for transport in list(self._connections):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


@dataclass
class Outcome:
    """What came of one request."""

    status: str
    headers: Lines
    body: object
    log: Mapping[str, object] = field(default_factory=dict)

    @property
    def cluster(self) -> object:
        """Where it went; None when nowhere."""
        return self.log.get("cluster")

    def differences(self, other: Outcome) -> Iterator[tuple[str, object, object]]:
        """What is not the same, by name."""
        mine, theirs = self._parts(), other._parts()
        for name in sorted({*mine, *theirs}):
            if mine.get(name) != theirs.get(name):
                yield name, mine.get(name), theirs.get(name)

    def _parts(self) -> dict[str, object]:
        parts: dict[str, object] = {"status": self.status, "body": self.body}
        parts |= _by_name("response header ", self.headers)
        parts |= {f"log {name}": value for name, value in self.log.items() if name != "case"}
        if isinstance(self.body, dict):
            parts |= _by_name("upstream header ", self.body["headers"])
            parts |= {f"upstream {name}": self.body[name] for name in ("method", "target", "body")}
            parts["body"] = "the echo's"
        return parts


def _by_name(prefix: str, headers: Lines) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(prefix + name, []).append(value)
    return found


class Side:
    """One proxy, asked over a connection that is kept as long as the proxy keeps it."""

    def __init__(self, port: int, log: Path) -> None:
        self._port = port
        self._log = log
        self._socket: socket.socket | None = None
        self._unread = b""
        self.outcomes: dict[str, Outcome] = {}

    def ask_all(self, requests: Iterable[tuple[str, bytes]]) -> None:
        """Send each request under its identifier, and note the answers."""
        for identifier, raw in requests:
            self.outcomes[identifier] = self._ask(raw)
        self.close()
        self._read_log()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, raw: bytes) -> Outcome:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._unread = b""
        self._socket.sendall(raw)
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        given = dict(line.partition(": ")[::2] for line in lines)
        bodiless = raw.startswith(b"HEAD ") or first.split(" ")[1] in ("204", "304")
        body = b"" if bodiless else self._exactly(int(given["content-length"]))
        if given.get("connection") == "close":
            self.close()
        found, headers = _read(body), normal(line.partition(": ")[::2] for line in lines)
        if isinstance(found, dict) or raw.startswith(b"HEAD "):
            headers = [line for line in headers if line[0] != "content-length"]  # follows from what the echo saw
        return Outcome(first, headers, found)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._receive()
        found, _, self._unread = self._unread.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._receive()
        found, self._unread = self._unread[:size], self._unread[size:]
        return found

    def _receive(self) -> None:
        assert self._socket is not None
        data = self._socket.recv(65536)
        assert data, "the proxy closed before it answered"
        self._unread += data

    def _read_log(self) -> None:
        deadline = time.monotonic() + 20
        found: dict[str, Mapping[str, object]] = {}
        while len(found) < len(self.outcomes):
            assert time.monotonic() < deadline, f"{len(self.outcomes) - len(found)} requests were never logged"
            time.sleep(0.05)
            found = {entry["case"]: entry for entry in map(json.loads, whole_lines(self._log))}
        for identifier, outcome in self.outcomes.items():
            outcome.log = found[identifier]


def normal(headers: Iterable[Sequence[str]]) -> Lines:
    """Sorted by name, those of one name in their order; what time and chance decide replaced."""
    found = []
    for name, value in headers:
        if name in _VARYING:
            value = "*"
        elif name == "x-request-id":
            value = _UUID.sub("*", value)
        elif name == _EXPECTED:
            value = str(round(int(value) / 1000))
        found.append((name, value))
    return sorted(found, key=lambda line: line[0])


def _read(body: bytes) -> object:
    """A body; of the echo's, the request that it saw."""
    if not body.startswith(b'{"method":'):
        return body.decode("latin-1")
    seen = json.loads(body)
    return {**seen, "headers": normal(seen["headers"])}


# Two proxies for one mesh


def serve_both(
    folder: Path, documents: Sequence[Mapping[str, Any]], echo: EchoServer, start_envoy: Callable[..., Envoy]
) -> tuple[Side, Side, PyproxyProcess]:
    """Envoy and pyproxy with the same documents, UPSTREAM in them being the echo's port, and pyproxy's process."""
    exported = folder / "exported"
    exported.mkdir()
    file = exported / "mesh.yaml"
    file.write_text(_text(documents, echo.port, exported / "access.log"))
    loaded = load([file])
    assert loaded.ok, [str(problem) for problem in loaded.problems if problem.severity == "error"][:5]
    listening = Listening(address="127.0.0.1", outbound_port=0, inbound_port=0, http_proxy_port=None)
    snapshot = compile_snapshot(loaded.documents, Identity(), listening).snapshot
    document: Any = bootstrap(snapshot, Process(admin_port=0))
    static = document.pop("static_resources")
    document.pop("admin")
    envoy = start_envoy(static["listeners"], static["clusters"], **document)
    own = folder / "own"
    own.mkdir()
    process = PyproxyProcess(own, _text(documents, echo.port, own / "access.log"))
    return (
        Side(envoy.ports["virtualOutbound"], exported / "access.log"),
        Side(process.outbound, own / "access.log"),
        process,
    )


def _text(documents: Sequence[Mapping[str, Any]], port: int, log: Path) -> str:
    mesh = {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": "mesh"},
        "spec": {
            "meshConfig": {
                "accessLogFile": str(log),
                "accessLogEncoding": "JSON",
                "accessLogFormat": json.dumps(LOG_FIELDS),
                "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
                "defaultConfig": {"tracing": {"sampling": 0}},
            }
        },
    }
    text = "\n---\n".join(json.dumps(document) for document in [*documents, mesh])
    return text.replace('"UPSTREAM"', str(port))


def ask_both(sides: Sequence[Side], requests: Sequence[tuple[str, bytes]]) -> None:
    """Each side in a thread of its own."""
    trouble: list[BaseException] = []

    def ask(side: Side) -> None:
        try:
            side.ask_all(requests)
        except BaseException as error:
            trouble.append(error)

    threads = [threading.Thread(target=ask, args=(side,)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if trouble:
        raise trouble[0]
