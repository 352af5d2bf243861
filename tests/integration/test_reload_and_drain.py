"""The promise: while traffic flows, changed documents and SIGTERM cost not one request."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sidecar import SECONDS, Client, Lost, Refused, Response, Sidecar, sidecar, until, upstream
from tests.ports import free_port

pytestmark = pytest.mark.integration
HOST = "x.example"
RATE = 200
"""Requests per second."""
RELOADS = 100


class Documents:
    """A folder that names one service, and a version that every response shows in `x-config`."""

    def __init__(self, folder: Path, ports: dict[str, int], service_ports: Sequence[int] = (80,)) -> None:
        self.folder = folder
        folder.mkdir()
        offered = ", ".join(f"{{number: {port}, name: http-{port}, protocol: HTTP}}" for port in service_ports)

        def served(port: int) -> str:
            return ", ".join(f"http-{number}: {port}" for number in service_ports)

        self._write(
            "service.yaml",
            f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: x}}
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{offered}]
  endpoints:
"""
            + "".join(
                f"  - {{address: 127.0.0.1, ports: {{{served(port)}}}, labels: {{version: {name}}}}}\n"
                for name, port in ports.items()
            )
            + f"""
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: x}}
spec:
  host: {HOST}
  subsets:
"""
            + "".join(f"  - {{name: {name}, labels: {{version: {name}}}}}\n" for name in ports),
        )
        self.route(0, "v1")

    def route(self, version: int, subset: str) -> None:
        """Everything goes to one subset; responses show the version."""
        self._write(
            "routes.yaml",
            f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: x}}
spec:
  hosts: [{HOST}]
  http:
  - route: [{{destination: {{host: {HOST}, subset: {subset}}}}}]
    headers: {{response: {{set: {{x-config: "{version}"}}}}}}
""",
        )

    def listen(self, *ports: int) -> None:
        """Local ports for the application's own calls, as the service has them."""
        listeners = "".join(
            f"  - {{port: {{number: {port}, name: http, protocol: HTTP}}, captureMode: NONE, hosts: ['*/*']}}\n"
            for port in ports
        )
        self._write(
            "sidecar.yaml",
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: x}\nspec:\n  egress:\n"
            + listeners
            + "  - {hosts: ['*/*']}\n",
        )

    def break_routes(self, how: str) -> None:
        self._write("routes.yaml", BROKEN[how])

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


BROKEN = {
    "not YAML": "kind: [VirtualService\n",
    "unknown field": f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: x}}
spec: {{hosts: [{HOST}], htp: []}}
""",
    "bad value": f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: x}}
spec:
  hosts: [{HOST}]
  http: [{{timeout: soon, route: [{{destination: {{host: {HOST}}}}}]}}]
""",
}


@asynccontextmanager
async def mesh(
    folder: Path, *flags: str, service_ports: Sequence[int] = (80,)
) -> AsyncIterator[tuple[Documents, Sidecar]]:
    """Two upstreams, the documents that name them, and the proxy."""
    async with upstream("v1") as first, upstream("v2") as second:
        documents = Documents(folder / "config", {"v1": first, "v2": second}, service_ports)
        async with sidecar(folder, documents.folder, *flags) as proxy:
            yield documents, proxy


class Traffic:
    """An open loop: requests leave on time, whether or not those before them have come back."""

    def __init__(self, address: str, path: Callable[[int], str] = lambda number: "/") -> None:
        self._client = Client(address)
        self._path = path
        self._requests: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self.outcomes: Counter[str] = Counter()
        self.last: Response | None = None
        self.sent = 0

    async def run(self) -> None:
        """Send until stopped, then wait for what is under way."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while not self._stopped.is_set():
            task = loop.create_task(self._one(self._path(self.sent)))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
            self.sent += 1
            await asyncio.sleep(max(0.0, start + self.sent / RATE - loop.time()))
        await asyncio.gather(*self._requests)
        await self._client.close()

    def stop(self) -> None:
        self._stopped.set()

    def shows(self, version: int) -> bool:
        """Whether the last response was made by that version of the documents."""
        return self.last is not None and self.last.headers["x-config"] == str(version)

    async def _one(self, path: str) -> None:
        try:
            self.last = await self._client.request(path, HOST)
        except Refused:
            self.outcomes["refused"] += 1
        except Lost as error:
            self.outcomes[f"lost: {error}"] += 1
        else:
            self.outcomes[str(self.last.status)] += 1


async def status(proxy: Sidecar) -> Any:
    return json.loads((await proxy.admin("/reload_status")).body)


async def scraped(proxy: Sidecar, metric: str) -> str:
    text = (await proxy.admin(f"/stats/prometheus?filter=^{metric}$")).body.decode()
    return text.splitlines()[-1].split()[-1]


async def test_a_hundred_reloads_good_and_bad_cost_no_request(tmp_path: Path) -> None:
    async with mesh(tmp_path) as (documents, proxy):
        traffic = Traffic(proxy.addresses["virtualOutbound"])
        running = asyncio.create_task(traffic.run())
        serving, slowest = 0, 0.0
        for number in range(1, RELOADS + 1):
            before = await status(proxy)
            if number % 2:
                serving = number
                documents.route(number, "v1" if number % 4 == 1 else "v2")
            else:
                documents.break_routes(list(BROKEN)[number // 2 % len(BROKEN)])

            async def counted(before: Any = before) -> bool:
                now = await status(proxy)
                return bool(now["accepted"] + now["rejected"] > before["accepted"] + before["rejected"])

            took = await until(counted)
            slowest = max(slowest, took)
            assert (await status(proxy))["last_reload_successful"] is bool(number % 2)
            await until(partial(traffic.shows, serving))
        traffic.stop()
        await running
        assert traffic.outcomes == {"200": traffic.sent}
        assert traffic.sent > RELOADS
        assert slowest < 1.0, "a change is taken up within a second"
        final = await status(proxy)
        assert (final["accepted"], final["rejected"]) == (1 + RELOADS // 2, RELOADS // 2)


async def test_a_bad_change_keeps_the_last_good_documents_and_says_so_everywhere(tmp_path: Path) -> None:
    async with mesh(tmp_path) as (documents, proxy):
        client = Client(proxy.addresses["virtualOutbound"])
        documents.break_routes("bad value")

        async def refused() -> bool:
            return await scraped(proxy, "pyproxy_config_last_reload_successful") == "0.0"

        assert await until(refused, 5) < 1.0
        response = await client.request("/", HOST)
        assert (response.status, response.headers["x-config"]) == (200, "0")
        shown = await status(proxy)
        assert shown["last_reload_successful"] is False
        assert "routes.yaml:7:" in shown["errors"][0]
        log = proxy.log.read_text()
        assert shown["errors"][0] in log
        assert "kept the last good configuration" in log

        documents.route(1, "v2")

        async def taken_up() -> bool:
            return (await client.request("/", HOST)).headers["x-config"] == "1"

        assert await until(taken_up, 5) < 1.0
        shown = await status(proxy)
        assert (shown["last_reload_successful"], shown["errors"]) == (True, [])
        assert await scraped(proxy, "pyproxy_config_last_reload_successful") == "1.0"
        await client.close()


async def begun(proxy: Sidecar) -> None:
    """Wait until a request is under way."""

    async def active() -> bool:
        found = json.loads((await proxy.admin("/stats?format=json&filter=upstream_rq_active")).body)["stats"]
        return sum(one["value"] for one in found) > 0

    await until(active)


async def test_a_request_under_way_ends_under_the_rules_it_began_with(tmp_path: Path) -> None:
    async with mesh(tmp_path) as (documents, proxy):
        slow, quick = (Client(proxy.addresses["virtualOutbound"]) for _ in range(2))
        under_way = asyncio.create_task(slow.request("/slow/4", HOST))
        await begun(proxy)
        documents.route(1, "v2")

        async def taken_up() -> bool:
            return (await quick.request("/", HOST)).headers["x-config"] == "1"

        await until(taken_up, 3.5)
        response = await under_way
        assert (response.body, response.headers["x-config"]) == (b"v1", "0")
        for client in (slow, quick):
            await client.close()


async def test_connections_to_unchanged_endpoints_stay_open(tmp_path: Path) -> None:
    async with mesh(tmp_path) as (documents, proxy):
        client = Client(proxy.addresses["virtualOutbound"])

        async def connections() -> int:
            found = json.loads((await proxy.admin("/stats?format=json&filter=v1.*upstream_cx_total")).body)["stats"]
            return sum(one["value"] for one in found)

        await client.request("/", HOST)
        assert await connections() == 1
        for number in (1, 2):
            documents.route(number, "v1")

            async def taken_up(number: int = number) -> bool:
                return (await client.request("/", HOST)).headers["x-config"] == str(number)

            await until(taken_up, 5)
        assert await connections() == 1
        await client.close()


async def test_listeners_come_and_go_with_the_documents(tmp_path: Path, free_ports: list[int]) -> None:
    first, second = free_ports
    async with mesh(tmp_path, service_ports=(80, first, second)) as (documents, proxy):
        main = Traffic(proxy.addresses["virtualOutbound"])
        running = asyncio.create_task(main.run())
        client = Client(f"127.0.0.1:{first}")
        with pytest.raises(Refused):
            await client.request("/", HOST)

        documents.listen(first)

        async def serves() -> bool:
            try:
                return (await client.request("/", HOST)).status == 200
            except Refused:
                return False

        assert await until(serves, 5) < 1.0
        under_way = asyncio.create_task(client.request("/slow/3", HOST))
        await asyncio.sleep(0.3)

        documents.listen(second)
        other = Client(f"127.0.0.1:{second}")

        async def moved() -> bool:
            try:
                return (await other.request("/", HOST)).status == 200
            except Refused:
                return False

        assert await until(moved, 5) < 1.0
        with pytest.raises(Refused):
            await Client(f"127.0.0.1:{first}").request("/", HOST)
        response = await under_way
        assert (response.status, response.headers["connection"]) == (200, "close")
        names = (await proxy.admin("/listeners")).body.decode()
        assert f"127.0.0.1:{second}" in names
        assert f"127.0.0.1:{first}" not in names
        main.stop()
        await running
        assert main.outcomes == {"200": main.sent}
        for each in (client, other):
            await each.close()


@pytest.mark.parametrize("slow", [0.0, 0.7])
async def test_sigterm_loses_no_request(tmp_path: Path, slow: float) -> None:
    """What was sent is answered; once the port is closed, clients are refused and know that nothing happened."""
    async with mesh(tmp_path, "--drain-duration", "20s") as (_, proxy):

        def path(number: int) -> str:
            return f"/slow/{slow}" if slow and number % 10 == 0 else "/"

        traffic = Traffic(proxy.addresses["virtualOutbound"], path)
        running = asyncio.create_task(traffic.run())
        await until(lambda: traffic.outcomes["200"] >= RATE)
        proxy.process.send_signal(signal.SIGTERM)
        await until(lambda: traffic.outcomes["refused"] > 5)
        traffic.stop()
        await running
        assert await asyncio.wait_for(proxy.process.wait(), SECONDS) == 0
        assert traffic.outcomes.keys() == {"200", "refused"}
        assert traffic.outcomes["200"] >= RATE * 0.9


async def test_a_request_that_outlives_the_drain_is_cut(tmp_path: Path) -> None:
    async with mesh(tmp_path, "--drain-duration", "0.5s") as (_, proxy):
        client = Client(proxy.addresses["virtualOutbound"])
        under_way = asyncio.create_task(client.request("/slow/60", HOST))
        await begun(proxy)
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert await proxy.terminate() == 0
        assert 0.4 < loop.time() - start < 10
        with pytest.raises(Lost):
            await under_way


async def test_a_draining_process_is_not_ready(tmp_path: Path) -> None:
    async with mesh(tmp_path, "--drain-duration", "20s") as (_, proxy):
        client, probe = Client(proxy.addresses["virtualOutbound"]), Client(proxy.addresses["status"])
        assert (await probe.request("/healthz/ready")).status == 200
        under_way = asyncio.create_task(client.request("/slow/3", HOST))
        await begun(proxy)
        proxy.process.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            ready = await probe.request("/healthz/ready")
            return (ready.status, ready.body) == (503, b"DRAINING\n")

        await until(draining, 3)
        response = await under_way
        assert (response.status, response.headers["connection"]) == (200, "close")
        await probe.close()


@pytest.fixture
def free_ports() -> list[int]:
    return [free_port(), free_port()]
