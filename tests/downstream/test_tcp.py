"""Bytes that are not HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from pyproxy.downstream.tcp import route_for
from pyproxy.proxy.environment import ClientConnection
from pyproxy.runtime.counters import HttpStats
from pyproxy.snapshot.model import Cluster, HttpSettings, Identity, Listener, ListenerKind, Snapshot
from pyproxy.snapshot.tcp_routes import TcpRoutes, route_to
from tests.in_process import connected, service, until, worker
from tests.ports import free_port


def tcp_service(port: int, number: int) -> str:
    return service("x", port, protocol="TCP").replace("number: 80", f"number: {number}")


def sidecar(port: int) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: x}}
spec:
  egress: [{{port: {{number: {port}, name: tcp, protocol: TCP}}, captureMode: NONE, hosts: ["*/*"]}}]
"""


async def test_a_named_listener_is_joined_to_its_service(tmp_path: Path) -> None:
    async def backwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.write((await reader.readline()).rstrip()[::-1])
        writer.close()

    async with await asyncio.start_server(backwards, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        number = free_port()
        documents = tcp_service(port, number), sidecar(number)
        async with worker(tmp_path, *documents) as app, connected(app, f"127.0.0.1_{number}") as client:
            assert await client.reader.readline() == b"hello\n"
            client.send(b"abc\n")
            assert await client.rest() == b"cba"
            client.close()
            await until(lambda: b"istio_tcp_connections_closed_total{" in app.metrics.render())
            await until(lambda: b" 9\n" in app.metrics.render())
            metrics = app.metrics.render()
    for line in (b"istio_tcp_connections_opened_total", b"istio_tcp_connections_closed_total"):
        assert b"# TYPE " + line in metrics
    (sent,) = [line for line in metrics.splitlines() if line.startswith(b"istio_tcp_sent_bytes_total{")]
    assert sent.endswith(b" 9")


async def test_nowhere_to_go_is_a_close_without_a_byte(tmp_path: Path) -> None:
    number = free_port()
    documents = tcp_service(1, number), sidecar(number)
    async with worker(tmp_path, *documents) as app, connected(app, f"127.0.0.1_{number}") as client:
        assert await client.rest() == b""


def where(kind: ListenerKind, target: tuple[str, int] | None, *, allow_any: bool = True) -> str:
    clusters = {"inbound|5432||": Cluster("inbound|5432||")}
    routes = {
        ("10.0.0.1", 5432): TcpRoutes(default=route_to("by-address")),
        ("", 6379): TcpRoutes(default=route_to("by-port")),
    }
    snapshot = Snapshot(Identity(), (), {}, clusters, tcp_routes=routes, allow_any=allow_any)
    listener = Listener("l", kind, "127.0.0.1", 1, HttpSettings(), tcp=TcpRoutes(default=route_to("named")))
    connection = ClientConnection(listener, HttpSettings(), HttpStats())
    connection.original_destination = target
    return route_for(snapshot, connection).name


@pytest.mark.parametrize(
    ("kind", "target", "allow_any", "cluster"),
    [
        (ListenerKind.NAMED, None, True, "named"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.0.0.1", 5432), True, "by-address"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.9.9.9", 6379), True, "by-port"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.9.9.9", 1), True, "PassthroughCluster"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.9.9.9", 1), False, "BlackHoleCluster"),
        (ListenerKind.INBOUND_CAPTURE, ("10.0.0.7", 5432), True, "inbound|5432||"),
        (ListenerKind.INBOUND_CAPTURE, ("10.0.0.7", 1), True, "InboundPassthroughCluster"),
        (ListenerKind.INBOUND_CAPTURE, None, True, "InboundPassthroughCluster"),
    ],
)
def test_where_a_captured_connection_goes(
    kind: ListenerKind, target: tuple[str, int] | None, allow_any: bool, cluster: str
) -> None:
    assert where(kind, target, allow_any=allow_any) == cluster


def keeping(connection_pool: str) -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: x}}
spec: {{host: x, trafficPolicy: {{connectionPool: {{tcp: {connection_pool}}}}}}}
"""


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    ("pool", "counter"),
    [
        ("{idleTimeout: 1s}", "idle_timeout"),
        ("{maxConnectionDuration: 1s}", "max_downstream_connection_duration"),
    ],
)
async def test_what_is_silent_or_too_old_is_cut(tmp_path: Path, pool: str, counter: str) -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        number = free_port()
        documents = tcp_service(port, number), sidecar(number), keeping(pool)
        async with worker(tmp_path, *documents) as app, connected(app, f"127.0.0.1_{number}") as client:
            client.send(b"x")
            assert await client.reader.read(1) == b"x"
            with contextlib.suppress(ConnectionResetError):
                assert await client.rest() == b""
            (stats,) = app.tcp_proxies.values()
            await until(lambda: stats.downstream_cx_rx_bytes_total == 1)
            assert getattr(stats, counter) == 1


async def test_what_speaks_now_and_then_is_not_silent(tmp_path: Path) -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        number = free_port()
        documents = tcp_service(port, number), sidecar(number), keeping("{idleTimeout: 1.5s}")
        async with worker(tmp_path, *documents) as app, connected(app, f"127.0.0.1_{number}") as client:
            for _ in range(8):
                client.send(b"x")
                assert await client.reader.read(1) == b"x"
                await asyncio.sleep(0.25)
