"""A workload and its proxy in the test's own loop, with a certificate; and the connections of its clients."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyproxy.app import App
from pyproxy.settings import Settings
from tests.certificates import REVIEWS, Authority, Issued
from tests.in_process import port_of

MESH, OTHER = Authority("mesh"), Authority("somebody else")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_PORTS = dict.fromkeys(
    ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port"), 0
)


@dataclass
class Application:
    """What stands behind the proxy: remembers how each connection began, answers what looks like HTTP."""

    port: int = 0
    began: list[bytes] = field(default_factory=list)


class Answering(asyncio.Protocol):
    """One connection to the application."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._first:
            self._first = False
            self._application.began.append(data)
        self._transport.write(OK if data.startswith(b"GET") else b"not HTTP")


@dataclass
class Side:
    """A workload's proxy and its application."""

    app: App
    application: Application

    @property
    def stats(self) -> dict[str, int]:
        """The statistics of the inbound listener's connections that are not 0."""
        (bound,) = [one for one in self.app.listeners.values() if one.listener.name == "virtualInbound"]
        stats = bound.connection_stats
        return {name: value for name in type(stats).__slots__ if (value := getattr(stats, name))}


def documents(port: int, mode: str, protocol: str, more: str = "") -> str:
    protocol = f"protocol: {protocol}, " if protocol else ""
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: main, {protocol}targetPort: {port}}}]
  workloadSelector: {{labels: {{app: reviews}}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: reviews}}
spec: {{address: 127.0.0.1, labels: {{app: reviews}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default}}
spec: {{mtls: {{mode: {mode}}}}}
{more}"""


@asynccontextmanager
async def workload(
    folder: Path, mode: str, protocol: str = "HTTP", *, certified: bool = True, more: str = ""
) -> AsyncIterator[Side]:
    """A proxy beside a workload, with a certificate, serving one port of that protocol."""
    application = Application()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(application), "127.0.0.1", 0)
    application.port = server.sockets[0].getsockname()[1]
    (folder / "mesh.yaml").write_text(documents(application.port, mode, protocol, more))
    certs = MESH.workload(folder / "certs", REVIEWS) if certified else None
    app = App(Settings(config=(folder / "mesh.yaml",), workload="reviews", address="127.0.0.1", certs=certs, **_PORTS))  # type: ignore[arg-type]
    await app.start()
    try:
        async with server:
            yield Side(app, application)
    finally:
        await app.shut_down()


def client_context(folder: Path, shows: Issued | None, alpn: list[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=MESH.root_pem.decode())
    if shows is not None:
        (folder / "shown.pem").write_bytes(shows.pem + shows.key_pem)
        context.load_cert_chain(folder / "shown.pem")
    context.set_alpn_protocols(alpn)
    return context


@asynccontextmanager
async def connection(
    side: Side, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to the inbound port, closed in the end."""
    name = "reviews" if context is not None else None
    port = port_of(side.app, "virtualInbound")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
