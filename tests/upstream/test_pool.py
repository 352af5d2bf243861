"""Connections to one host: lent, kept, limited, closed."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from pyproxy.core.outcome import Outcome
from pyproxy.upstream.pool import connect_failure
from tests.in_process import cluster, connected, get, header, policy, service, status, until, upstream, worker


async def test_a_connection_is_used_again(tmp_path: Path) -> None:
    async with upstream() as there, worker(tmp_path, service("x", there.port)) as app, connected(app) as client:
        for _ in range(3):
            await client.ask(get())
        assert (there.connections, len(there.heads)) == (1, 3)
        stats = cluster(app, "x").stats
        assert (stats.upstream_cx_total, stats.upstream_cx_active, stats.upstream_rq_total) == (1, 1, 3)


async def test_a_connection_may_have_had_enough_requests(tmp_path: Path) -> None:
    rule = policy("x", "{connectionPool: {http: {maxRequestsPerConnection: 2}}}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app, connected(app) as client:
        for _ in range(4):
            await client.ask(get())
        assert there.connections == 2
        assert cluster(app, "x").stats.upstream_cx_max_requests == 2


async def test_a_connection_that_idles_too_long_is_closed(tmp_path: Path) -> None:
    rule = policy("x", "{connectionPool: {http: {idleTimeout: 50ms}}}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app, connected(app) as client:
        await client.ask(get())
        state = cluster(app, "x")
        assert state.stats.upstream_cx_active == 1
        await until(lambda: state.stats.upstream_cx_active == 0)
        assert state.stats.upstream_cx_idle_timeout == 1


async def test_who_waits_for_a_host_is_limited(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def wait() -> bytes:
        await gate.wait()
        return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

    rule = policy("x", "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app:
        there.answers = [wait]
        stats = cluster(app, "x").stats
        async with connected(app) as first, connected(app) as second, connected(app) as third:
            first.send(get())
            await until(lambda: stats.upstream_rq_active == 1)
            second.send(get())
            await until(lambda: stats.upstream_rq_pending_active == 1)
            refused = await third.ask(get())
            assert (status(refused), header(refused, b"x-envoy-overloaded")) == (503, b"true")
            gate.set()
            assert [status(await client.response()) for client in (first, second)] == [200, 200]
        assert (there.connections, stats.upstream_rq_pending_overflow) == (1, 1)


async def test_a_connection_that_is_too_old_ends_with_its_request(tmp_path: Path) -> None:
    rule = policy("x", "{connectionPool: {tcp: {maxConnectionDuration: 50ms}}}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app, connected(app) as client:
        await client.ask(get())
        state = cluster(app, "x")
        await until(lambda: state.stats.upstream_cx_active == 0)
        assert state.stats.upstream_cx_max_duration_reached == 1
        await client.ask(get())
        assert there.connections == 2


async def test_an_ejected_hosts_connections_are_closed(tmp_path: Path) -> None:
    rule = policy("x", "{outlierDetection: {consecutive5xxErrors: 1, maxEjectionPercent: 100}}")
    async with upstream() as there, worker(tmp_path, service("x", there.port), rule) as app, connected(app) as client:
        state = cluster(app, "x")
        await client.ask(get())
        assert state.stats.upstream_cx_active == 1
        host = state.hosts[0]
        assert host.monitor is not None
        host.monitor.record_response(500)
        await until(lambda: state.stats.upstream_cx_active == 0)
        assert state.stats.upstream_cx_destroy_local == 1
        assert host.ejection is not None and host.ejection.times == 1


async def test_everyone_who_waits_fails_with_the_dial(tmp_path: Path) -> None:
    async with worker(tmp_path, service("x", 1)) as app, connected(app) as one, connected(app) as other:
        for client in (one, other):
            client.send(get())
        assert [status(await client.response()) for client in (one, other)] == [503, 503]
        state = cluster(app, "x")
        assert (state.ceilings.connections, state.ceilings.pending, state.ceilings.requests) == (0, 0, 0)


@pytest.mark.parametrize(
    ("number", "outcome", "reason"),
    [
        (errno.ECONNREFUSED, Outcome.REMOTE_CONNECTION_FAILURE, "Connection refused"),
        (errno.EHOSTUNREACH, Outcome.REMOTE_CONNECTION_FAILURE, "No route to host"),
        (errno.EADDRNOTAVAIL, Outcome.LOCAL_CONNECTION_FAILURE, "Cannot assign requested address"),
        (errno.EMFILE, Outcome.LOCAL_CONNECTION_FAILURE, "Too many open files"),
    ],
)
def test_whose_fault_a_failed_dial_is(number: int, outcome: Outcome, reason: str) -> None:
    found, words = connect_failure(OSError(number, "whatever"))
    assert found is outcome
    assert reason.replace(" ", "_") in words.replace(" ", "_")
