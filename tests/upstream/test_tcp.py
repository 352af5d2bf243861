"""Plain connections, dialled once."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from pyproxy.core.loop import SystemClock
from pyproxy.core.outcome import Outcome
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Endpoint
from pyproxy.upstream.tcp import DialError, dial, hung_up

CLOCK = SystemClock()


def host(address: str, port: int, *, timeout: float = 5.0) -> HostState:
    cluster = Cluster("c", endpoints=(Endpoint(address, port),), connection=ConnectionSettings(connect_timeout=timeout))
    return ClusterState(cluster, CLOCK, random.Random(1)).hosts[0]


async def test_what_the_server_says_first_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = host(*server.getsockname())
        holding = await dial(one, None, b"")
        accepted, _ = server.accept()
        with accepted:
            accepted.send(b"hello")
            async with asyncio.timeout(30):
                while not holding.early:
                    await asyncio.sleep(0.005)
            assert holding.early == b"hello"
            stats = one.cluster.stats
            assert (stats.upstream_cx_total, stats.upstream_cx_active, one.stats.cx_active) == (1, 1, 1)
            holding.transport.abort()
            hung_up(one)
            assert (stats.upstream_cx_active, stats.upstream_cx_destroy, one.stats.cx_active) == (0, 1, 0)
            await asyncio.sleep(0)


async def test_nobody_there_is_a_failure_with_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    one = host("127.0.0.1", port)
    with pytest.raises(DialError) as raised:
        await dial(one, None, b"")
    assert raised.value.outcome is Outcome.REMOTE_CONNECTION_FAILURE
    assert "refused" in raised.value.reason
    assert one.cluster.stats.upstream_cx_connect_fail == 1


async def test_a_socket_that_does_not_take_us_in_time_is_a_timeout() -> None:
    with socket.socket() as full:  # its backlog is full: further connections hang
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            with pytest.raises(DialError) as raised:
                await dial(host(*full.getsockname(), timeout=0.05), None, b"")
        finally:
            for filler in fillers:
                filler.close()
    assert raised.value.outcome is Outcome.CONNECTION_TIMEOUT


async def test_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        one = host(f"unix://{tmp_path}/s", 0)
        holding = await dial(one, None, b"")
        accepted, _ = server.accept()
        accepted.close()
        holding.transport.abort()
        hung_up(one)
        await asyncio.sleep(0)
