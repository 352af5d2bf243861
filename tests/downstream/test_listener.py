"""Which protocol a connection gets, and where it was going."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pyproxy.downstream.listener import _own_addresses
from tests.in_process import connected, get, port_of, service, status, worker


def test_a_listener_on_every_address_is_reached_by_loopback_too() -> None:
    assert _own_addresses("127.0.1.1", 80) == {("127.0.1.1", 80)}
    assert {("127.0.0.1", 80), ("::1", 80), ("0.0.0.0", 80)} <= _own_addresses("0.0.0.0", 80)


async def test_the_capture_ports_take_requests_addressed_to_them(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1)) as app:
        for listener in ("virtualOutbound", "http_proxy"):
            async with connected(app, listener) as client:
                assert status(await client.ask(get())) == 503  # the endpoint is nobody


async def test_the_inbound_port_of_nobodys_proxy_is_no_way_to_elsewhere(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1).replace("127.0.0.1", "127.0.0.9")) as app:
        for host in ("x", app.addresses()["admin"]):
            async with connected(app, "virtualInbound") as client:
                assert status(await client.ask(get("/ready", host))) == 404


async def test_every_open_connection_counts(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1)) as app:
        (bound,) = [one for one in app.listeners.values() if one.listener.name == "virtualOutbound"]
        assert bound.port == port_of(app)
        async with connected(app) as client:
            await client.ask(get())
            assert bound.connections == 1
            bound.drain()
            assert await client.rest() == b""
        bound.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", bound.port)
