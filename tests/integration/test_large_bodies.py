"""A body of 1 GiB passes a proxy that stays small: slow reader and slow writer, down and up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import RawClient, Request, Upstream, UpstreamConnection
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

GIB = 1024**3
BLOCK = bytes(256 * 1024)
PAUSE_EVERY = 128 * 1024**2
"""Bytes after which the slow side rests; what piles up meanwhile is what the proxy would hold."""
PAUSE_SECONDS = 0.15
ALLOWED_OVER_IDLE = 64 * 1024**2


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def proxy(tmp_path: Path, upstream: Upstream) -> Iterator[PyproxyProcess]:
    proxy = PyproxyProcess(
        tmp_path / "proxy",
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: store}}
spec:
  hosts: [store.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {upstream.port}}}}}]
""",
    )
    yield proxy
    proxy.close()


def take(stream: RawClient | UpstreamConnection, count: int, *, slowly: bool) -> None:
    """Read and forget so many bytes."""
    left = count - len(stream.buffer)
    stream.buffer = b""
    rest_at = left - PAUSE_EVERY
    while left:
        data = stream.socket.recv(min(left, 1024 * 1024))
        assert data, f"{left} bytes are missing"
        left -= len(data)
        if slowly and left <= rest_at:
            rest_at -= PAUSE_EVERY
            time.sleep(PAUSE_SECONDS)


def give(stream: RawClient | UpstreamConnection, count: int, *, slowly: bool) -> None:
    """Send so many bytes."""
    for sent in range(0, count, len(BLOCK)):
        stream.send(BLOCK)
        if slowly and sent % PAUSE_EVERY == 0:
            time.sleep(PAUSE_SECONDS)


def warm_up(proxy: PyproxyProcess) -> int:
    """Resident bytes of a proxy that has served something."""
    client = RawClient(proxy.outbound)
    assert client.ask(b"GET / HTTP/1.1\r\nhost: store\r\n\r\n").status == 200
    client.close()
    proxy.forget_peak()
    return proxy.resident_bytes


@pytest.mark.parametrize("slow", ["reader", "writer"])
def test_a_gibibyte_down_is_not_held(proxy: PyproxyProcess, upstream: Upstream, slow: str) -> None:
    idle = warm_up(proxy)

    def answer(connection: UpstreamConnection, request: Request) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIB)
        give(connection, GIB, slowly=slow == "writer")

    upstream.answer = answer
    client = RawClient(proxy.outbound)
    client.send(b"GET /large HTTP/1.1\r\nhost: store\r\n\r\n")
    assert client.read_head().status == 200
    take(client, GIB, slowly=slow == "reader")
    client.close()
    assert proxy.peak_resident_bytes - idle < ALLOWED_OVER_IDLE


@pytest.mark.parametrize("slow", ["reader", "writer"])
def test_a_gibibyte_up_is_not_held(proxy: PyproxyProcess, upstream: Upstream, slow: str) -> None:
    idle = warm_up(proxy)

    def answer(connection: UpstreamConnection, request: Request) -> None:
        take(connection, GIB, slowly=slow == "reader")
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    upstream.answer = answer
    client = RawClient(proxy.outbound)
    client.send(b"POST /large HTTP/1.1\r\nhost: store\r\ncontent-length: %d\r\n\r\n" % GIB)
    give(client, GIB, slowly=slow == "writer")
    assert client.read().body == b"ok"
    client.close()
    assert proxy.peak_resident_bytes - idle < ALLOWED_OVER_IDLE
