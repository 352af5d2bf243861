"""A whole worker inside the test's own loop: what its start binds and its end leaves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.core.errors import CommandError
from pyproxy.downstream.listener import BoundListener
from pyproxy.settings import Settings
from pyproxy.snapshot.model import ListenerKind

DOCUMENTS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: x}
spec: {hosts: [x.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: NONE}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x}
spec:
  hosts: [x.example]
  http: [{directResponse: {status: 200, body: {string: hello}}}]
"""
REQUEST = b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n"


def settings(folder: Path) -> Settings:
    ports = dict.fromkeys(
        ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port"), 0
    )
    return Settings(config=(folder,), address="127.0.0.1", drain_duration=2.0, **ports)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    (tmp_path / "x.yaml").write_text(DOCUMENTS)
    app = App(settings(tmp_path))
    await app.start()
    yield app
    await app.shut_down()


def outbound(app: App) -> BoundListener:
    [found] = [one for one in app.listeners.values() if one.listener.kind is ListenerKind.OUTBOUND_CAPTURE]
    return found


def connect(app: App) -> socket.socket:
    """The system connects; the event loop, which stands still meanwhile, has accepted nothing."""
    client = socket.create_connection(("127.0.0.1", outbound(app).port))
    client.setblocking(False)
    return client


async def receive(client: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65536), 5)


async def test_a_connection_that_waits_to_be_accepted_is_served_when_the_socket_closes(app: App) -> None:
    with closing(connect(app)) as client:
        outbound(app).stop_accepting()
        assert outbound(app).connections == 1
        client.send(REQUEST)
        assert (await receive(client)).endswith(b"hello")
        with pytest.raises(ConnectionRefusedError):
            connect(app)


async def test_a_request_that_has_just_arrived_on_an_idle_connection_is_served(app: App) -> None:
    with closing(connect(app)) as client, closing(connect(app)) as idle:
        for one in (client, idle):
            one.send(REQUEST)
            assert b"connection: close" not in await receive(one)
        client.send(REQUEST)  # the loop has not seen it when the drain begins
        outbound(app).drain()
        assert b"connection: close" in await receive(client)
        assert await receive(idle) == b""


async def test_an_idle_client_is_told_to_go_before_it_is_cut_off(app: App) -> None:
    with closing(connect(app)) as client:
        client.send(REQUEST)
        await receive(client)
        ending = asyncio.create_task(app.shut_down())
        await asyncio.sleep(0.05)
        assert app.state == "DRAINING"
        client.send(REQUEST)
        assert b"connection: close" in await receive(client)
        await asyncio.wait_for(ending, 1.0)  # nobody is connected any more: there is nothing to wait for


async def test_health_checks_fail_and_pass_without_a_drain(app: App) -> None:
    app.fail_health_checks()
    assert app.state == "DRAINING"
    app.pass_health_checks()
    assert app.state == "LIVE"


async def test_a_port_that_is_taken_ends_the_start(app: App, tmp_path: Path) -> None:
    port = int(app.addresses()["admin"].rpartition(":")[2])
    second = App(Settings(config=(tmp_path,), address="127.0.0.1", admin_port=port))
    with pytest.raises(CommandError, match="--admin-port"):
        await second.start()
