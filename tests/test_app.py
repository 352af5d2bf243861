"""A whole worker inside the test's own loop: what its start binds and its end leaves."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.core.errors import CommandError
from pyproxy.downstream.listener import BoundListener
from pyproxy.settings import Settings
from pyproxy.snapshot.model import ListenerKind
from pyproxy.telemetry.peer_metadata import own_metadata
from tests.ports import free_port

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
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65536), 30)


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


# What is bound


def sidecar(*ports: int) -> str:
    """A document that has the proxy listen on further ports, each with the one service."""
    listeners = ", ".join(
        f"{{port: {{number: {port}, name: http, protocol: HTTP}}, captureMode: NONE, hosts: ['*/*']}}" for port in ports
    )
    return f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: x}}
spec: {{egress: [{listeners}, {{hosts: ["*/*"]}}]}}
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def serves(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.write(REQUEST.replace(b"host", b"connection: close\r\nhost"))
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer.startswith(b"HTTP/1.1 ")


async def test_addresses_tell_where_everything_listens(app: App) -> None:
    addresses = app.addresses()
    assert set(addresses) == {"virtualOutbound", "virtualInbound", "http_proxy", "admin", "status", "metrics"}
    for address in addresses.values():
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        assert await serves(int(port))


async def test_the_ready_file_is_whole_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(DOCUMENTS)
    ready = tmp_path / "ready.json"
    app = App(replace(settings(tmp_path), ready_file=ready))
    await app.start()
    assert json.loads(ready.read_text()) == {"pid": os.getpid(), "addresses": app.addresses()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ready.json", "x.yaml"]
    await app.shut_down()


async def test_listeners_follow_the_documents(app: App, tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    document = tmp_path / "sidecar.yaml"

    document.write_text(sidecar(first))
    await app._reloader.reload()
    await until(lambda: f"127.0.0.1_{first}" in app.addresses())
    assert await serves(first)

    document.write_text(sidecar(second))
    await app._reloader.reload()
    await until(lambda: f"127.0.0.1_{second}" in app.addresses())
    assert (await serves(first), await serves(second)) == (False, True)

    document.unlink()
    await app._reloader.reload()
    await until(lambda: app.listener_stats.listener_removed == 2)
    assert not await serves(second)
    assert len(app.addresses()) == 6


async def test_a_listener_that_stays_keeps_its_socket_and_connections(app: App, tmp_path: Path) -> None:
    before = outbound(app)
    with closing(connect(app)) as client:
        client.send(REQUEST)
        await receive(client)
        (tmp_path / "x.yaml").write_text(DOCUMENTS.replace("hello", "goodbye"))
        await app._reloader.reload()
        client.send(REQUEST)
        assert (await receive(client)).endswith(b"goodbye")
    assert outbound(app) is before


async def test_a_connection_to_a_listener_that_is_gone_is_served_once_more_and_closed(app: App, tmp_path: Path) -> None:
    port, document = free_port(), tmp_path / "sidecar.yaml"
    document.write_text(sidecar(port))
    await app._reloader.reload()
    await until(lambda: f"127.0.0.1_{port}" in app.addresses())
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        client.setblocking(False)
        client.send(REQUEST)
        assert b"connection: close" not in await receive(client)
        document.unlink()
        await app._reloader.reload()
        await until(lambda: bool(app.draining_listeners))
        client.send(REQUEST)
        assert b"connection: close" in await receive(client)
    await until(lambda: not app.draining_listeners)


async def test_an_address_that_cannot_be_had_keeps_no_other_listener_waiting(
    app: App, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "sidecar.yaml").write_text(sidecar(taken.getsockname()[1], port))
        await app._reloader.reload()
        await until(lambda: f"127.0.0.1_{port}" in app.addresses())
        assert app.listener_stats.listener_create_failure == 1
        await until(lambda: "cannot listen on 127.0.0.1" in caplog.text)
    assert await serves(port)
    assert app.state == "LIVE"


# Beginning and end


async def test_documents_with_errors_end_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("kind: [half")
    with pytest.raises(CommandError, match=r"x\.yaml:2:1.*\n1 error\(s\) in the documents") as raised:
        await App(settings(tmp_path)).start()
    assert raised.value.exit_code == 1


async def test_it_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(DOCUMENTS)
    app = App(settings(tmp_path))
    running = asyncio.create_task(app.run())
    await until(lambda: app.ready)
    port = outbound(app).port
    assert await serves(port)
    app.stop()
    await asyncio.wait_for(running, 30)
    assert not await serves(port)
    assert (app.ready, app.state) == (False, "DRAINING")


async def test_a_drain_ends_with_its_time_whatever_is_open(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # its backlog takes the connection, nobody answers
        port = silent.getsockname()[1]
        service = DOCUMENTS.partition("---")[0].replace("NONE}", "STATIC, endpoints: [{address: 127.0.0.1}]}")
        (tmp_path / "x.yaml").write_text(service.replace("protocol: HTTP", f"protocol: HTTP, targetPort: {port}"))
        app = App(replace(settings(tmp_path), drain_duration=0.4))
        await app.start()
        with closing(connect(app)) as client:
            client.send(REQUEST)
            await until(lambda: any(one.busy for one in outbound(app).tracker.connections))
            await asyncio.wait_for(app.shut_down(), 2)
            assert await receive(client) == b""


async def test_a_gateway_that_no_document_selects_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.yaml").write_text(DOCUMENTS)
    app = App(replace(settings(tmp_path), gateway=True, labels={"istio": "ingress"}))
    await app.start()
    assert "no Gateway document has a server for labels istio=ingress" in caplog.text
    await app.shut_down()


async def test_who_we_are_follows_the_documents(app: App) -> None:
    before = app.env.own_metadata
    snapshot = app.live.serving.snapshot
    app.swap(replace(snapshot, identity=replace(snapshot.identity, workload="shop-v2", labels={"app": "shop"})))
    assert before != app.env.own_metadata == own_metadata(app.live.serving.snapshot.identity)
    assert app.env.own_metadata[1] in app.env.peer_lines
