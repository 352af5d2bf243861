"""DestinationRule's tunnel: TCP through an HTTP proxy, whatever that answers, by a real Envoy and by pyproxy."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from tests.differential.envoy_process import EXTENSIONS, Envoy, loopback
from tests.differential.http1_sides import LOG_FIELDS, envoy_cluster
from tests.peers import until, whole_lines
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: proxy}}
spec:
  hosts: [proxy.test]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{{number: {listens}, name: tcp, protocol: TCP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tcp: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: proxy}}
spec:
  host: proxy.test
  trafficPolicy: {{tunnel: {{protocol: CONNECT, targetHost: target.test, targetPort: 443}}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: default}}
spec:
  egress:
  - port: {{number: {listens}, name: tcp, protocol: TCP}}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["*/*"]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{accessLogFile: {log}, accessLogEncoding: JSON, accessLogFormat: '{format}'}}}}
"""
OK = b"HTTP/1.1 200 OK\r\n\r\n"
ANSWERS = {
    "open": OK,
    "open, and the other end is first": OK + b"early",
    "open without content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "open as if it were chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "not allowed": b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno",
    "who are you": b"HTTP/1.1 407 Who\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
    "garbage": b"garbage\r\n\r\n",
    "an end": b"",
}


@dataclass
class Seen:
    """What became of a connection."""

    got: bytes = b""
    """By the client, whole."""
    asked: bytes = b""
    """By the HTTP proxy, whole."""
    log: Mapping[str, Any] = field(default_factory=dict)


class HttpProxy:
    """Answers as it is told; then sends back what comes, in brackets."""

    def __init__(self) -> None:
        self.answer = b""
        self.read = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while received := connection.recv(1 << 16):
                first = not self.read
                self.read += received
                if first and not self.answer:
                    return
                connection.sendall(self.answer if first else b"<%b>" % received)


@dataclass
class Side:
    """One proxy before an HTTP proxy of its own."""

    proxy: HttpProxy
    port: int
    log: Path

    def run(self, answer: bytes) -> Seen:
        seen, lines = Seen(), len(self._lines())
        self.proxy.answer, self.proxy.read = answer, b""
        client = socket.create_connection(("127.0.0.1", self.port), 10)
        wanted = b"<hello>"
        with suppress(OSError), client:
            client.settimeout(10)
            if answer.endswith(b"early"):
                wanted = b"early<hello>"
                while len(seen.got) < 5:
                    seen.got += client.recv(100)
            client.sendall(b"hello")
            while seen.got != wanted and (received := client.recv(100)):
                seen.got += received
        until(lambda: len(self._lines()) > lines)
        time.sleep(0.05)
        seen.asked = self.proxy.read
        seen.log = {name: value for name, value in self._lines()[lines].items() if name in ("flags", "failure", "sent")}
        return seen

    def _lines(self) -> list[Any]:
        return [json.loads(line) for line in whole_lines(self.log)]


def envoys_port(start_envoy: Callable[..., Envoy], port: int, log: Path) -> int:
    sink = {
        "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
        "path": str(log),
        "log_format": {"json_format": LOG_FIELDS},
    }
    proxy = {
        "@type": f"{EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "proxy",
        "tunneling_config": {"hostname": "target.test:443"},
        "access_log": [{"name": "file", "typed_config": sink}],
    }
    chain = {"filters": [{"name": "tcp", "typed_config": proxy}]}
    listener = {"name": "tcp", "address": loopback(0), "filter_chains": [chain]}
    return start_envoy([listener], [envoy_cluster("proxy", port)]).ports["tcp"]


@pytest.fixture(scope="module")
def sides(start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """(Envoy, pyproxy)."""
    folder = tmp_path_factory.mktemp("tunnelling")
    theirs, ours = HttpProxy(), HttpProxy()
    logs = folder / "envoy.log", folder / "pyproxy.log"
    port = unused_port()
    documents = DOCUMENTS.format(listens=port, port=ours.port, log=logs[1], format=json.dumps(LOG_FIELDS))
    process = PyproxyProcess(folder / "pyproxy", documents)
    yield Side(theirs, envoys_port(start_envoy, theirs.port, logs[0]), logs[0]), Side(ours, port, logs[1])
    process.close()
    theirs.close()
    ours.close()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_http_proxy_has_the_same_effect(name: str, sides: tuple[Side, Side]) -> None:
    theirs, ours = (side.run(ANSWERS[name]) for side in sides)
    assert theirs == ours
    assert bool(theirs.got) == name.startswith("open")
    assert theirs.asked.startswith(b"CONNECT target.test:443 HTTP/1.1\r\nhost: target.test:443\r\n\r\n")
