"""The edges of the data path without sockets: time that moves by hand, transports that remember, upstreams by script.

What is faked is the event loop's time and its network; between the two runs the data path itself. `h11` reads what
comes out on either side: another parser's opinion of every byte that we send.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any

import h11

from pyproxy.downstream.listener import BoundListener
from pyproxy.proxy.environment import Environment
from pyproxy.runtime.clusters import ClusterState
from pyproxy.runtime.counters import HttpStats
from pyproxy.runtime.live import Live
from pyproxy.snapshot.model import ListenerKind
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.telemetry.peer_metadata import own_metadata
from pyproxy.upstream.dns import DnsDiscovery, Resolver
from tests.snapshot.documents import compiled

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class FakeClock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_700_000_000.0 + self.now


class _Jump:
    """A selector that does not wait: when a loop has nothing to do before its next timer, the clock goes there."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing will ever happen"
        self._clock.now += max(timeout, 0.0)
        return self._real.select(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class FakeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is the clock's and whose connections end in `network`."""

    def __init__(self, clock: FakeClock, network: FakeNetwork) -> None:
        super().__init__(_Jump(clock))  # type: ignore[arg-type]
        self._fake_clock = clock
        self._fake_network = network

    def time(self) -> float:
        return self._fake_clock.now

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        return await self._fake_network.connect(factory, host, port)


class FakeTransport(asyncio.Transport):
    """One end of a connection: keeps what is written, passes on what the test says the other end did.

    `limit`: unread bytes over which the protocol is paused, until `read`.
    """

    def __init__(self, *, limit: int | None = None, on_write: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.written = b""
        self.limit = limit
        self.reading = True
        self.ended = False
        """The end was written."""
        self.aborted = False
        self.lost = False
        self._on_write = on_write
        self._closing = False
        self._paused = False
        self._unread = 0
        self._held: list[bytes] = []
        self._protocol: Any = None

    # What a protocol may ask

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        self.written += bytes(data)
        self._unread += len(data)
        if self.limit is not None and self._unread > self.limit and not self._paused:
            self._paused = True
            self._protocol.pause_writing()
        if self._on_write is not None:
            asyncio.get_running_loop().call_soon(self._on_write)

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self._unread if self.limit is not None else 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        if self._held:
            asyncio.get_running_loop().call_soon(self._release)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """As a real one: only once all is read."""
        if not self._closing:
            self._closing = True
            if not self.get_write_buffer_size():
                asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.aborted = self._closing = True
        asyncio.get_running_loop().call_soon(self.lose)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    # What the other end does

    def deliver(self, data: bytes) -> None:
        """Bytes arrive; while reading is paused they wait."""
        if self.lost or self._closing:
            return
        if self.reading:
            self._protocol.data_received(data)
        else:
            self._held.append(data)

    def deliver_end(self) -> None:
        """The other end sends no more."""
        if not self.lost and not self._protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is no more."""
        if not self.lost:
            self.lost = self._closing = True
            self._protocol.connection_lost(error)

    def read(self) -> bytes:
        """What was written since; a protocol that was paused goes on."""
        data = self.written[-self._unread :] if self._unread else b""
        self._unread = 0
        if self._closing:
            self.lose()
        elif self._paused:
            self._paused = False
            self._protocol.resume_writing()
        return data

    def _release(self) -> None:
        while self._held and self.reading and not self.lost:
            self._protocol.data_received(self._held.pop(0))


@dataclass
class Seen:
    """A request as h11 read it."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class UpstreamEnd:
    """An upstream's end of a connection: reads requests with h11, answers each whole one with the network's script."""

    def __init__(self, network: FakeNetwork) -> None:
        self.transport = FakeTransport(on_write=self._on_write, limit=network.limit)
        self._network = network
        self._parser = h11.Connection(h11.SERVER)
        self._fed = 0
        self._now: Seen | None = None

    def send(self, data: bytes) -> None:
        """Bytes of a response, in the pieces that the network's `cut` makes."""
        for piece in self._network.cut(data):
            self.transport.deliver(piece)

    def _on_write(self) -> None:
        if self._network.limit is None:
            self.transport.read()
        self._receive(self.transport.written[self._fed :])
        self._fed = len(self.transport.written)
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Request):
                self._now = Seen(event.method, event.target, list(event.headers))
                self._network.requests.append(self._now)
            elif isinstance(event, h11.Data):
                assert self._now is not None
                self._now.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._now is not None
                self._now.whole = True
                rest = self._parser.trailing_data[0]
                self._parser = h11.Connection(h11.SERVER)
                self._receive(rest)
                self._network.answer(self, self._now)
            else:
                return

    def _receive(self, data: bytes) -> None:
        if data:  # none is the end, to h11
            self._parser.receive_data(data)


class FakeNetwork:
    """Where every dial ends: at `answer`, unless `refuse` says otherwise."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.ends: list[UpstreamEnd] = []
        self.dials: list[tuple[str, int]] = []
        self.refuse: Exception | None = None
        """Raised by every dial."""
        self.silent = False
        """Dials are not answered."""
        self.script: list[bytes | None] = []
        """What the next requests are answered with, then OK; None: nothing."""
        self.limit: int | None = None
        """Unread bytes over which an upstream's connection is full; None: it reads at once."""
        self.cut: Callable[[bytes], list[bytes]] = lambda data: [data]

    def answer(self, end: UpstreamEnd, request: Seen) -> None:
        data = self.script.pop(0) if self.script else OK
        if data is not None:
            end.send(data.removesuffix(b"ok") if request.method == b"HEAD" and data is OK else data)

    async def connect(self, factory: Callable[[], Any], host: str, port: int) -> tuple[FakeTransport, Any]:
        self.dials.append((host, port))
        if self.refuse is not None:
            raise self.refuse
        while self.silent:
            await asyncio.sleep(0.5)
        end = UpstreamEnd(self)
        self.ends.append(end)
        protocol = factory()
        end.transport.set_protocol(protocol)
        protocol.connection_made(end.transport)
        return end.transport, protocol


@dataclass
class Response:
    """A response as h11 read it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False
    interim: list[int] = field(default_factory=list)

    def get(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class ClientEnd:
    """A client's end of a connection to the proxy."""

    def __init__(self, world: World, *, limit: int | None = None) -> None:
        self.transport = FakeTransport(limit=limit)
        self._world = world

    def send(self, *pieces: bytes) -> None:
        """Bytes in these pieces; then everything happens that needs no time."""
        for piece in pieces:
            self._world.call(self.transport.deliver, piece)

    def end(self) -> None:
        """Half-close."""
        self._world.call(self.transport.deliver_end)

    def leave(self) -> None:
        """Be gone."""
        self._world.call(self.transport.lose, ConnectionResetError())

    def read(self) -> bytes:
        """Take what has come since."""
        data: bytes = self._world.call(self.transport.read)
        return data

    @property
    def received(self) -> bytes:
        """Everything that the proxy wrote."""
        return self.transport.written

    @property
    def closed(self) -> bool:
        """Whether the proxy is done with the connection."""
        return self.transport.is_closing() or self.transport.ended

    def responses(self, *methods: bytes) -> list[Response]:
        """What was received, read as the answers to requests with these methods; GET where none is named."""
        data, found = self.received, []
        for method in [*methods, *[b"GET"] * 1000]:
            if not data:
                break
            response, data = _read_response(data, method, ended=self.closed)
            found.append(response)
        return found


def _read_response(data: bytes, method: bytes, *, ended: bool) -> tuple[Response, bytes]:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    interim: list[int] = []
    response = Response(0, [])
    while True:
        event = parser.next_event()
        if isinstance(event, h11.InformationalResponse):
            interim.append(event.status_code)
        elif isinstance(event, h11.Response):
            response = Response(event.status_code, list(event.headers), interim=interim)
        elif isinstance(event, h11.Data):
            response.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            response.whole = True
            return response, parser.trailing_data[0]
        else:
            assert event is h11.NEED_DATA
            return response, b""


SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1, ports: {http: 8080}}]
"""


_compiled = lru_cache(compiled)


class World:
    """A data path between fake clients and fake upstreams; `app.test` is 10.0.0.1:8080. A context manager."""

    def __init__(self, *documents: str, seed: int = 1) -> None:
        self.clock = FakeClock()
        self.network = FakeNetwork()
        self.loop = FakeLoop(self.clock, self.network)
        snapshot = _compiled(SERVICE, *documents)
        rng = random.Random(seed)
        self.live = Live(snapshot, DnsDiscovery(Resolver(), rng), self.clock, rng)
        self.env = Environment(
            live=self.live,
            clock=self.clock,
            rng=rng,
            metrics=IstioMetrics(snapshot.identity),
            resolve=Resolver().addresses,
            own_metadata=own_metadata(snapshot.identity),
        )
        (listener,) = (each for each in snapshot.listeners if each.kind is ListenerKind.OUTBOUND_CAPTURE)
        self.stats = HttpStats()
        self.bound = BoundListener(self.env, listener, self.stats, 10.0)

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            for state in self.live.serving.clusters.values():
                self.call(state.retire)
            self.call(self.bound.abort)
            left = asyncio.all_tasks(self.loop)
        finally:
            self.loop.close()
        assert error is not None or not left, f"tasks left behind: {left}"

    def client(self, *, limit: int | None = None) -> ClientEnd:
        """A new connection; with `limit`, of a client that reads only what it is told to."""
        end = ClientEnd(self, limit=limit)

        def accept() -> None:
            protocol = self.bound.http(self.bound.client_connection(end.transport))
            end.transport.set_protocol(protocol)
            protocol.connection_made(end.transport)

        self.call(accept)
        return end

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call in the loop, then let happen what needs no time."""

        async def run() -> Any:
            result = function(*arguments)
            for _ in range(12):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(run())

    def advance(self, seconds: float) -> None:
        """Let time pass, with what it brings."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.call(lambda: None)

    def sweep(self) -> None:
        """A worker's housekeeping, once."""
        self.call(self.live.sweep)
        self.call(self.bound.tracker.sweep, self.clock.monotonic())

    def cluster(self, host: str = "app.test") -> ClusterState:
        """The state of a service's cluster."""
        return self.live.serving.clusters[f"outbound|80||{host}"]
