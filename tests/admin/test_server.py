"""The three ports over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import ClientSession

from pyproxy.admin.endpoints import Endpoint
from pyproxy.admin.pages import Page
from pyproxy.admin.port import Port
from pyproxy.admin.server import AdminServers
from pyproxy.core.errors import CommandError
from pyproxy.core.loop import SystemClock
from pyproxy.settings import Settings
from tests.admin.fake_app import FakeApp


@pytest.fixture
async def servers(app: FakeApp) -> AsyncIterator[AdminServers]:
    servers = AdminServers(app)
    await servers.start()
    yield servers
    await servers.stop()


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    async with ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session:
        yield session


async def test_port_zero_is_a_port_of_its_own_for_each(servers: AdminServers) -> None:
    addresses = servers.addresses()
    assert list(addresses) == ["admin", "status", "metrics"]
    assert all(address.startswith("127.0.0.1:") for address in addresses.values())
    assert len(set(addresses.values())) == 3


async def test_each_port_has_its_own_pages(app: FakeApp, servers: AdminServers, client: ClientSession) -> None:
    admin, status, metrics = (f"http://{address}" for address in servers.addresses().values())
    expected = {
        f"{admin}/ready": 200,
        f"{admin}/stats/prometheus": 200,
        f"{admin}/healthz/ready": 404,
        f"{status}/healthz/ready": 200,
        f"{status}/config_dump": 404,
        f"{metrics}/stats/prometheus": 200,
        f"{metrics}/quitquitquit": 404,
    }
    got = {}
    for url in expected:
        async with client.get(url) as response:
            got[url] = response.status
    assert got == expected
    app.state = "DRAINING"
    async with client.get(f"{status}/healthz/ready") as response:
        assert (response.status, await response.text()) == (503, "DRAINING\n")


async def test_answers_are_not_kept_not_guessed_at_and_not_framed(servers: AdminServers, client: ClientSession) -> None:
    async with client.get(f"http://{servers.addresses()['admin']}/") as response:
        headers = response.headers
    assert headers["Cache-Control"] == "no-cache, max-age=0"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Type"] == "text/html; charset=UTF-8"
    assert headers["Server"] == "pyproxy"


async def test_a_long_page_is_packed_for_who_takes_it(servers: AdminServers, client: ClientSession) -> None:
    url = f"http://{servers.addresses()['admin']}/config_dump"
    async with client.get(url) as response:
        plain = await response.read()
        assert "Content-Encoding" not in response.headers
    async with client.get(url, headers={"Accept-Encoding": "gzip"}) as response:
        packed = await response.read()
        assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain


async def test_head_has_no_body(servers: AdminServers, client: ClientSession) -> None:
    url = f"http://{servers.addresses()['admin']}/config_dump"
    async with client.head(url, headers={"Accept-Encoding": "gzip"}) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_a_rebound_name_gets_nothing_from_admin_but_may_scrape(
    servers: AdminServers, client: ClientSession
) -> None:
    status = {}
    for name, path in (("admin", "/config_dump"), ("status", "/healthz/ready"), ("metrics", "/stats/prometheus")):
        url = f"http://{servers.addresses()[name]}{path}"
        async with client.get(url, headers={"Host": "sidecar.example"}) as response:
            status[name] = response.status
    assert status == {"admin": 403, "status": 200, "metrics": 200}


async def test_a_form_of_another_site_cannot_stop_the_process(
    app: FakeApp, servers: AdminServers, client: ClientSession
) -> None:
    url = f"http://{servers.addresses()['admin']}/quitquitquit"
    async with client.post(url, headers={"Origin": "http://evil.example"}) as response:
        assert response.status == 403
    assert app.asked == []
    async with client.post(url, data=b"body is ignored") as response:
        assert (response.status, await response.text()) == (200, "OK\n")
    assert app.asked == ["stop"]


async def test_a_query_without_value_counts(app: FakeApp, servers: AdminServers, client: ClientSession) -> None:
    url = f"http://{servers.addresses()['admin']}/drain_listeners?graceful&inboundonly"
    async with client.post(url) as response:
        assert response.status == 200
    assert app.asked == [("drain_listeners", True, True, False)]


@pytest.mark.parametrize("name", ["admin", "status", "metrics"])
async def test_a_taken_port_is_named_by_its_flag(app: FakeApp, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"admin_port": 0, "status_port": 0, "metrics_port": 0, f"{name}_port": port}
        app.settings = Settings(address="127.0.0.1", **ports)
        with pytest.raises(
            CommandError, match=rf"127\.0\.0\.1:{port} \(--{name}-port\): Address already in use"
        ) as error:
            await AdminServers(app).start()
    assert error.value.exit_code == 1


async def test_traffic_runs_between_the_pieces_of_a_long_page(app: FakeApp) -> None:
    """The loop is never held for longer than a slice and a piece."""
    app.clock = SystemClock()  # type: ignore[assignment]
    turns = 0
    page = Page(spin(app, pieces=40))
    port = Port("admin", "127.0.0.1", 0, app, {})
    slices = port._slices(page)

    async def traffic() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(traffic())
    for _ in slices:
        await asyncio.sleep(0)
    task.cancel()
    assert turns >= 15


def spin(app: FakeApp, pieces: int) -> Iterator[str]:
    """Pieces that take half a slice each to make."""
    for _ in range(pieces):
        until = app.clock.monotonic() + 0.0005
        while app.clock.monotonic() < until:
            pass
        yield "x"


@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_a_client_that_leaves_before_the_end_is_no_error(
    app: FakeApp, caplog: pytest.LogCaptureFixture, coding: str
) -> None:
    app.clock = SystemClock()  # type: ignore[assignment]
    left = asyncio.Event()

    def endless() -> Iterator[str]:
        while not left.is_set():
            yield "x" * 10_000

    endpoint = Endpoint("/endless", "", lambda served, query: Page(endless()), {}, lambda query: False)
    port = Port("admin", "127.0.0.1", 0, app, {"/endless": endpoint})
    await port.start()
    reader, writer = await asyncio.open_connection(*port.bound.split(":"))
    writer.write(f"GET /endless HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {coding}\r\n\r\n".encode())
    await reader.readline()
    writer.transport.abort()
    await asyncio.sleep(0.05)
    left.set()
    await port.stop()
    assert caplog.records == []
