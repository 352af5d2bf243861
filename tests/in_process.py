"""A whole worker in the test's own loop, a client that speaks bytes, and an upstream that answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from pyproxy.app import App
from pyproxy.runtime.clusters import ClusterState
from pyproxy.settings import Settings

SECONDS = 30.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSE = b""
"""An answer: the connection is closed instead."""
_PORTS = ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port")


def service(name: str, port: int, *, protocol: str = "HTTP", external: bool = False) -> str:
    """A service on port 80 behind one loopback port."""
    location = "MESH_EXTERNAL" if external else "MESH_INTERNAL"
    return f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.default.svc.cluster.local]
  location: {location}
  resolution: STATIC
  ports: [{{number: 80, name: main, protocol: {protocol}}}]
  endpoints: [{{address: 127.0.0.1, ports: {{main: {port}}}}}]
"""


def rules(name: str, *http: str) -> str:
    """A VirtualService with these rules."""
    listed = "".join(f"\n  - {rule}" for rule in http)
    return f"""
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  http:{listed}
"""


def policy(name: str, traffic_policy: str) -> str:
    """A DestinationRule with this traffic policy."""
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {name}, trafficPolicy: {traffic_policy}}}
"""


def cluster(app: App, name: str) -> ClusterState:
    """The state of a service's main cluster."""
    return app.live.serving.clusters[f"outbound|80||{name}.default.svc.cluster.local"]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, some seconds at most."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def worker(folder: Path, *documents: str, certs: Path | None = None) -> AsyncIterator[App]:
    """A worker on free loopback ports."""
    (folder / "documents.yaml").write_text("".join(documents))
    settings = Settings(
        config=(folder,),
        address="127.0.0.1",
        drain_duration=0.1,
        certs=certs,
        **dict.fromkeys(_PORTS, 0),  # type: ignore[arg-type]
    )
    app = App(settings)
    await app.start()
    try:
        yield app
    finally:
        await app.shut_down()


def port_of(app: App, listener: str = "virtualOutbound") -> int:
    """The port of a listener, by its name."""
    return int(app.addresses()[listener].rpartition(":")[2])


class Client:
    """One connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The next head, with its blank line."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)

    async def response(self) -> bytes:
        """The next response whose body has a length or is chunked."""
        head = await self.head()
        length = header(head, b"content-length")
        if length is not None:
            return head + await asyncio.wait_for(self.reader.readexactly(int(length)), SECONDS)
        if header(head, b"transfer-encoding") is None:
            return head
        body = b""
        while not body.endswith(b"0\r\n\r\n"):
            body += await asyncio.wait_for(self.reader.readline(), SECONDS)
        return head + body

    async def ask(self, request: bytes) -> bytes:
        """Send a request, read one response."""
        self.send(request)
        return await self.response()

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        return await asyncio.wait_for(self.reader.read(), SECONDS)

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def connected(app: App, listener: str = "virtualOutbound") -> AsyncIterator[Client]:
    """A client of one of the worker's listeners."""
    client = Client(*await asyncio.open_connection("127.0.0.1", port_of(app, listener)))
    try:
        yield client
    finally:
        client.close()


def get(path: str = "/", host: str = "x", *lines: str, method: str = "GET") -> bytes:
    """A request without a body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"host: {host}", *lines, "", ""]).encode()


def header(head: bytes, name: bytes) -> bytes | None:
    """The first value of a header."""
    for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


class Upstream:
    """Answers each request with the next of `answers`, at last with OK. An answer that is a function is awaited."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: list[bytes | Callable[[], Awaitable[bytes]]] = []
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                self.bodies.append(await reader.readexactly(int(header(head, b"content-length") or 0)))
                answer = self.answers.pop(0) if self.answers else OK
                data = answer if isinstance(answer, bytes) else await answer()
                if not data:
                    return
                writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._open:
            writer.close()


AnUpstream = TypeVar("AnUpstream", bound=Upstream)


async def never() -> bytes:
    """An answer that does not come."""
    await asyncio.sleep(3600)
    return b""


@asynccontextmanager
async def upstream(
    kind: Callable[[], AnUpstream] = Upstream,  # type: ignore[assignment]  # mypy has no better defaults
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[AnUpstream]:
    """A server on a free loopback port."""
    scripted = kind()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(scripted.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
