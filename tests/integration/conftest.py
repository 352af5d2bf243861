"""One pyproxy before one upstream, for the tests that speak bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers import RawClient, Response, Upstream
from tests.pyproxy_process import PyproxyProcess

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---"""


@dataclass
class Mesh:
    """A proxy, and the upstream that `app.test` is."""

    proxy: PyproxyProcess
    upstream: Upstream
    clients: list[RawClient] = field(default_factory=list)

    def client(self, port: str = "virtualOutbound", *, receive_buffer: int = 0) -> RawClient:
        """A new connection to one of the proxy's ports; it is closed with the test."""
        self.clients.append(RawClient(self.proxy.ports[port], receive_buffer=receive_buffer))
        return self.clients[-1]

    def get(self, target: str = "/") -> Response:
        """One plain request on a connection of its own."""
        return self.client().ask(f"GET {target} HTTP/1.1\r\nhost: app.test\r\n\r\n".encode())

    def hang_up(self) -> None:
        """Close every client."""
        for client in self.clients:
            client.close()
        self.clients.clear()


def start_mesh(folder: Path, documents: str = "", *flags: str) -> Mesh:
    """Documents may say UPSTREAM for the port of the upstream; `app.test` is always there."""
    upstream = Upstream()
    text = SERVICE.format(name="app", port=upstream.port) + documents.replace("UPSTREAM", str(upstream.port))
    return Mesh(PyproxyProcess(folder, text, *flags), upstream)


def stop_mesh(mesh: Mesh) -> None:
    mesh.proxy.close()
    mesh.upstream.close()


@pytest.fixture(scope="module")
def shared_mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Started once for a module, with the module's DOCUMENTS and FLAGS if it has some."""
    documents: str = getattr(request.module, "DOCUMENTS", "")
    flags: tuple[str, ...] = getattr(request.module, "FLAGS", ())
    mesh = start_mesh(tmp_path_factory.mktemp("mesh"), documents, *flags)
    yield mesh
    stop_mesh(mesh)


@pytest.fixture
def mesh(shared_mesh: Mesh) -> Iterator[Mesh]:
    """The module's mesh, with an upstream that has seen nothing and answers 200."""
    shared_mesh.upstream.forget()
    yield shared_mesh
    shared_mesh.hang_up()
