"""What a service reads first when a DestinationRule says proxyProtocol: from a real Envoy, and from pyproxy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from pyproxy.wire.proxy_protocol import header
from tests.differential.envoy_process import EXTENSIONS, Envoy, loopback
from tests.differential.http1_sides import envoy_cluster, envoy_listeners, envoy_route
from tests.peers import Gone, until
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

VERSIONS = ("V1", "V2")
SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: {number}, name: p, protocol: {protocol}}}]
  endpoints: [{{address: 127.0.0.1, ports: {{p: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec:
  host: {name}.test
  trafficPolicy: {{proxyProtocol: {{version: {version}}}}}
---
"""
SIDECAR = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - port: {{number: {first}, name: tcp-1, protocol: TCP}}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["*/tcpv1.test"]
  - port: {{number: {second}, name: tcp-2, protocol: TCP}}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["*/tcpv2.test"]
  - hosts: ["*/*"]
"""
ASK = b"GET / HTTP/1.1\r\nhost: %b.test\r\n\r\n"


class Listening:
    """A service that keeps what each of its connections began with."""

    def __init__(self) -> None:
        self.began: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.began.append(b"")
                threading.Thread(target=self._serve, args=(connection, len(self.began) - 1), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError, Gone), connection:
            while received := connection.recv(1 << 16):
                self.began[number] += received
                if received.endswith(b"\r\n\r\n"):
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


Sides = list[tuple[Listening, Mapping[str, int]]]


def envoys(start_envoy: Callable[..., Envoy], upstream: int, log: Any) -> Mapping[str, int]:
    """Its ports, by name of the service."""
    listeners, clusters = [], [envoy_cluster("zipkin", 9)]
    for version in VERSIONS:
        name = version.lower()
        raw = {"name": "raw", "typed_config": {"@type": f"{EXTENSIONS}.transport_sockets.raw_buffer.v3.RawBuffer"}}
        config = {
            "@type": f"{EXTENSIONS}.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": version},
            "transport_socket": raw,
        }
        clusters.append(envoy_cluster(name, upstream, transport_socket={"name": "p", "typed_config": config}))
        host = {"name": name, "domains": [f"http{name}.test"], "routes": [envoy_route("/", cluster=name)]}
        listeners.append({**envoy_listeners(log, [host])[0], "name": f"http{name}"})
        proxy = {
            "@type": f"{EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name,
            "cluster": name,
        }
        chain = {"filters": [{"name": "tcp", "typed_config": proxy}]}
        listeners.append({"name": f"tcp{name}", "address": loopback(0), "filter_chains": [chain]})
    return start_envoy(listeners, clusters).ports


@pytest.fixture(scope="module")
def sides(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Envoy and pyproxy, each before a service of its own: the ports that lead there."""
    folder = tmp_path_factory.mktemp("proxy-protocol")
    theirs, ours = Listening(), Listening()
    first, second = unused_port(), unused_port()
    documents = SIDECAR.format(first=first, second=second)
    for version, number in zip(VERSIONS, (first, second), strict=True):
        name = version.lower()
        http = SERVICE.format(name=f"http{name}", number=80, protocol="HTTP", port=ours.port, version=version)
        tcp = SERVICE.format(name=f"tcp{name}", number=number, protocol="TCP", port=ours.port, version=version)
        documents = http + tcp + documents
    process = PyproxyProcess(folder / "pyproxy", documents)
    outbound = process.outbound
    ports = {"httpv1": outbound, "httpv2": outbound, "tcpv1": first, "tcpv2": second}
    yield [(theirs, envoys(start_envoy, theirs.port, folder / "log")), (ours, ports)]
    process.close()
    theirs.close()
    ours.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_a_service_is_told_who_each_client_is(protocol: str, version: str, sides: Sides) -> None:
    name = protocol + version.lower()
    said = ASK % name.encode()
    for service, ports in sides:
        service.began.clear()
        clients = [socket.create_connection(("127.0.0.1", ports[name]), 10, (f"127.0.0.{last}", 0)) for last in (8, 9)]
        for client in [*clients, clients[0]]:
            client.sendall(said)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        began = [
            header(version, (f"{client.getsockname()[0]}:{client.getsockname()[1]}", f"127.0.0.1:{ports[name]}"))
            for client in clients
        ]
        for client in clients:
            client.close()
        until(lambda service=service: len(service.began) >= 2)
        assert [one[: len(head)] for one, head in zip(service.began, began, strict=True)] == began
        times = [one.count(b"GET / ") for one in service.began]
        assert times == [2, 1]  # each client keeps its own connection
