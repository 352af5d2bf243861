"""pyproxy's data path without sockets: bytes of a client go in, bytes of a service come back, all in one call."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from bench import documents
from bench.scenarios import APPLICATION_HEADERS, HOST, SERVICE_PORT, Mesh
from pyproxy.core.loop import SystemClock
from pyproxy.downstream.http1 import Http1Server
from pyproxy.downstream.tracker import Tracker
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.reload import read
from pyproxy.runtime.counters import HttpStats
from pyproxy.runtime.live import Live
from pyproxy.snapshot.compile import identity_of
from pyproxy.snapshot.model import ListenerKind, Listening, Snapshot
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata
from pyproxy.upstream.http1 import Http1Client

PORTS = {"v1": 8001, "v2": 8002}
_BODY = b'{"id": 0, "author": "Reviewer1", "subset": "v1", "text": "A most entertaining play"}'
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 14:08:21 GMT\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(_BODY), _BODY)
)
"""What nginx answers in the routing scenario."""


class Rig:
    """One client connection through one proxy to services that answer at once."""

    def __init__(self, mesh: Mesh) -> None:
        snapshot = compile_mesh(mesh)
        clock, rng = SystemClock(), random.Random(1)
        live = Live(snapshot, _NoDiscovery(), clock, rng)
        env = Environment(
            live=live,
            clock=clock,
            rng=rng,
            metrics=IstioMetrics(snapshot.identity),
            resolve=_resolve,
            own_metadata=own_metadata(snapshot.identity),
        )
        self.metrics = env.metrics
        self.asked: list[Http1Client] = []
        """Upstream connections with a request on them."""
        listener = next(one for one in snapshot.listeners if one.kind is ListenerKind.OUTBOUND_CAPTURE)
        connection = ClientConnection(
            listener, listener.http, HttpStats(), "127.0.0.1:15001", 15001, "127.0.0.1:40000", "127.0.0.1", 1
        )
        self.transport = Wire()
        self._server = Http1Server(env, connection, Tracker(env, 0.0))
        self._server.connection_made(self.transport)
        self._request = request(mesh)

    async def settle(self) -> None:
        """A hundred requests: afterwards every upstream connection is there."""
        loop = asyncio.get_running_loop()
        with mock.patch.object(loop, "create_connection", self._connect):
            for _ in range(100):
                self._server.data_received(self._request)
                while not self.asked:
                    await asyncio.sleep(0)
                self.asked.pop().data_received(RESPONSE)

    def run(self, requests: int) -> None:
        """So many requests and their responses."""
        send, asked, head = self._server.data_received, self.asked, self._request
        for _ in range(requests):
            send(head)
            asked.pop().data_received(RESPONSE)

    async def _connect(self, factory: Callable[[], Http1Client], *address: object) -> tuple[Wire, Http1Client]:
        """In the event loop's place. (The pool itself may be compiled, and then nothing in it can be replaced.)"""
        client, wire = factory(), Wire(self.asked)
        wire.client = client
        client.connection_made(wire)  # takes the request that waits for it
        return wire, client


class Wire(asyncio.Transport):
    """A transport that remembers what was written last and tells its owner."""

    def __init__(self, asked: list[Http1Client] | None = None) -> None:
        super().__init__()
        self.written: bytes | bytearray | memoryview = b""
        self.client: Http1Client | None = None
        self._asked = asked

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Swallow."""
        self.written = data
        if self._asked is not None and self.client is not None:
            self._asked.append(self.client)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Addresses, as a real one would say."""
        return ("127.0.0.1", 40001) if name == "sockname" else default

    def is_closing(self) -> bool:
        """Never."""
        return False

    def pause_reading(self) -> None:
        """Nothing comes by itself."""

    def resume_reading(self) -> None:
        """Likewise."""

    def abort(self) -> None:
        """In a rig something went wrong, then."""
        raise RuntimeError("the data path cut a connection")

    close = abort


class _NoDiscovery:
    def watch(self, state: object) -> None:
        """All hosts are addresses."""

    def forget(self, state: object) -> None:
        """Likewise."""


async def _resolve(host: str) -> list[str]:
    return []


def compile_mesh(mesh: Mesh) -> Snapshot:
    """The scenario's documents through the real loader and compiler. Raises RuntimeError when they have errors."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        documents.write(Path(folder) / "config", mesh, PORTS)
        loaded = read([Path(folder)], lambda found: identity_of(found, "client"), Listening(address="127.0.0.1"))
    if loaded.snapshot is None:
        raise RuntimeError("\n".join(map(str, loaded.errors)))
    return loaded.snapshot


def request(mesh: Mesh) -> bytes:
    """What wrk sends in the scenario."""
    headers = [("Host", f"{HOST}:{SERVICE_PORT}"), *APPLICATION_HEADERS]
    if mesh.header_match is not None:
        headers.append(mesh.header_match)
    lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode()
