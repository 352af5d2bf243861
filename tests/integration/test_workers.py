"""Several worker processes as one proxy: what holds for one process holds for all of them together."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sidecar import SECONDS, Client, Lost, Refused, Sidecar, sidecar, until, upstream

pytestmark = pytest.mark.integration
HOST = {"host": "x.example"}


def documents(*ports: int, policy: str = "{loadBalancer: {simple: ROUND_ROBIN}}", extra: str = "") -> str:
    endpoints = "".join(f"  - {{address: 127.0.0.1, ports: {{http: {port}}}}}\n" for port in ports)
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: x}}
spec:
  hosts: [x.example]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints:
{endpoints}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: x}}
spec: {{host: x.example, trafficPolicy: {policy}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: x}}
spec:
  hosts: [x.example]
  http:
  - match: [{{uri: {{prefix: /direct}}}}]
    directResponse: {{status: 200, body: {{string: hello}}}}
  - route: [{{destination: {{host: x.example}}}}]
    retries: {{attempts: 0}}
{extra}"""


@asynccontextmanager
async def proxy(folder: Path, text: str, *flags: str, workers: int = 2) -> AsyncIterator[Sidecar]:
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "mesh.yaml").write_text(text)
    async with sidecar(folder, config, "--workers", str(workers), *flags) as running:
        yield running
        assert "Traceback" not in running.log.read_text(), running.log.read_text()


def outbound(running: Sidecar) -> Client:
    return Client(running.addresses["virtualOutbound"])


async def once(running: Sidecar, path: str) -> int:
    """The status of a request on a connection of its own, which the system gives to either worker."""
    client = outbound(running)
    try:
        return (await client.request(path, **HOST)).status
    finally:
        await client.close()


async def info(running: Sidecar) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await running.admin("/server_info")).body)
    return found


async def pids(running: Sidecar) -> list[int]:
    return [worker["pid"] for worker in (await info(running))["pyproxy"]["workers"]]


async def stats(running: Sidecar) -> dict[str, int]:
    body = json.loads((await running.admin("/stats?format=json")).body)
    return {stat["name"]: stat["value"] for stat in body["stats"]}


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


X = "cluster.outbound|80||x.example."


async def test_one_scrape_shows_the_sum(tmp_path: Path) -> None:
    async with upstream("x") as port, proxy(tmp_path, documents(port)) as running:
        assert Counter(await asyncio.gather(*(once(running, "/") for _ in range(40)))) == {200: 40}
        found = await stats(running)
        assert found[X + "upstream_rq_total"] == found[X + "upstream_rq_200"] == 40
        [prefix] = [name for name in found if re.fullmatch(r"http\.outbound_.*\.downstream_rq_total", name)]
        assert found[prefix] == 40
        assert found["server.concurrency"] == 2
        metrics = (await running.admin("/stats/prometheus")).body.decode()
        assert re.search(r'istio_requests_total\{.*response_code="200".*\} 40\n', metrics)
        assert re.search(r"istio_request_duration_milliseconds_count\{.*\} 40\n", metrics)
        clusters = (await running.admin("/clusters")).body.decode()
        assert f"outbound|80||x.example::127.0.0.1:{port}::rq_total::40\n" in clusters
        # and both took part, each over connections of its own
        assert found[X + "upstream_cx_active"] >= 2
        assert (await running.admin("/reset_counters", "POST")).status == 200
        assert (await stats(running))[X + "upstream_rq_total"] == 0
        assert await once(running, "/") == 200
        assert (await stats(running))[X + "upstream_rq_total"] == 1


async def test_all_are_ready_and_named(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1), workers=3) as running:
        found = await info(running)
        workers = found["pyproxy"]["workers"]
        assert found["command_line_options"]["concurrency"] == len({worker["pid"] for worker in workers}) == 3
        assert {worker["version"] for worker in workers} == {found["pyproxy"]["reload"]["version"]}
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready["pid"] == running.process.pid
        assert running.log.read_text().count("ready: ") == 1
        status = Client(running.addresses["status"])
        assert (await status.request("/healthz/ready")).status == 200
        await status.close()


async def test_zero_is_one_for_each_core(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1), workers=0) as running:
        cores = len(os.sched_getaffinity(0))
        assert (await info(running))["command_line_options"]["concurrency"] == cores


@pytest.mark.parametrize(
    ("policy", "refusal", "limit"),
    [
        ("{connectionPool: {http: {http2MaxRequests: 4}}}", "upstream_rq_active_overflow", 4),
        (
            "{connectionPool: {tcp: {maxConnections: 3}, http: {http1MaxPendingRequests: 2}}}",
            "upstream_rq_pending_overflow",
            5,
        ),
    ],
)
async def test_a_ceiling_holds_for_all_together(tmp_path: Path, policy: str, refusal: str, limit: int) -> None:
    async with upstream("x") as port, proxy(tmp_path, documents(port, policy=policy)) as running:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for _ in range(24):
                tasks.append(group.create_task(once(running, "/slow/3")))
                await asyncio.sleep(0.005)  # one after the other: a race may pass a ceiling by one for each worker
        answers = Counter(task.result() for task in tasks)
        assert limit <= answers[200] <= limit + 1
        assert answers[503] == 24 - answers[200]
        found = await stats(running)
        assert found[X + refusal] == answers[503]
        assert found[X + "upstream_rq_active"] == found[X + "upstream_rq_pending_active"] == 0
        assert await once(running, "/") == 200


async def test_a_gauge_shows_that_a_ceiling_is_reached(tmp_path: Path) -> None:
    policy = "{connectionPool: {http: {http2MaxRequests: 4}}}"
    async with upstream("x") as port, proxy(tmp_path, documents(port, policy=policy)) as running:
        slow = [asyncio.create_task(once(running, "/slow/3")) for _ in range(4)]

        async def reached() -> bool:
            return (await stats(running))[X + "circuit_breakers.default.rq_open"] == 1

        await until(reached, 3)
        assert (await stats(running))[X + "upstream_rq_active"] == 4
        assert await asyncio.gather(*slow) == [200] * 4
        assert not await reached()


async def test_all_see_an_ejection_and_the_return(tmp_path: Path) -> None:
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 6, interval: 100ms, baseEjectionTime: 5s, maxEjectionPercent: 100}}"
    )
    async with upstream("good") as good, AsyncExitStack() as stack:
        bad = await stack.enter_async_context(upstream("bad"))
        async with proxy(tmp_path, documents(bad, policy=policy)) as running:
            # Six in all, spread over both workers, are enough: one after the other on fresh connections.
            answers = [await once(running, "/status/500") for _ in range(6)]
            assert answers == [500] * 6

            async def ejected() -> bool:
                return b"failed_outlier_check" in (await running.admin("/clusters")).body

            await until(ejected, 4)
            await asyncio.sleep(0.3)
            # The one host is ejected everywhere: nobody sends to it (no panic threshold in Istio).
            assert {await once(running, "/") for _ in range(20)} == {503}
            found = await stats(running)
            assert found[X + "outlier_detection.ejections_active"] == 1
            assert found[X + "outlier_detection.ejections_enforced_total"] == 1
            assert found[X + "membership_healthy"] == 0
            assert running.log.read_text().count('"action":"EJECT"') == 1
            await until(lambda: '"action":"UNEJECT"' in running.log.read_text())
            await asyncio.sleep(0.3)
            assert {await once(running, "/") for _ in range(20)} == {200}
            assert good


async def test_a_worker_that_takes_a_place_knows_who_is_ejected(tmp_path: Path) -> None:
    policy = (
        "{outlierDetection: {consecutive5xxErrors: 1, interval: 100ms, baseEjectionTime: 60s, maxEjectionPercent: 100}}"
    )
    async with upstream("x") as port, proxy(tmp_path, documents(port, policy=policy)) as running:
        assert await once(running, "/status/500") == 500
        await until(lambda: '"action":"EJECT"' in running.log.read_text())
        before = await pids(running)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await replaced(running, before)
        assert {await once(running, "/") for _ in range(10)} == {503}


async def under_way(running: Sidecar, count: int) -> None:
    """Wait until so many requests are."""

    async def all_are() -> bool:
        return (await stats(running))[X + "upstream_rq_active"] == count

    await until(all_are)


async def replaced(running: Sidecar, before: list[int]) -> None:
    """Wait until nobody of those before is there and all places are taken."""

    async def all_new() -> bool:
        found = (await info(running))["pyproxy"]["workers"]
        return all(worker["pid"] not in before and worker["version"] for worker in found)

    await until(all_new)


async def test_a_killed_worker_is_replaced_and_only_its_own_connections_notice(tmp_path: Path) -> None:
    policy = "{connectionPool: {http: {http2MaxRequests: 1000}}}"
    async with upstream("x") as port, proxy(tmp_path, documents(port, policy=policy)) as running:
        victim, other = await pids(running)
        clients = [outbound(running) for _ in range(32)]
        for client in clients:
            assert (await client.request("/", **HOST)).status == 200
        await running.admin("/stats")  # what was counted so far is known
        slow = [asyncio.create_task(client.request("/slow/3", **HOST)) for client in clients]
        await under_way(running, 32)
        os.kill(victim, signal.SIGKILL)
        results = await asyncio.gather(*slow, return_exceptions=True)
        lost = [client for client, result in zip(clients, results, strict=True) if isinstance(result, Lost)]
        kept = [client for client in clients if client not in lost]
        assert 0 < len(lost) < 32
        assert all(isinstance(result, Lost) or result.status == 200 for result in results)  # type: ignore[union-attr]
        await replaced(running, [victim])
        assert other in await pids(running)
        found = await stats(running)
        assert found[X + "upstream_rq_active"] == 0
        assert found[X + "circuit_breakers.default.remaining_rq"] == 1000
        # What the dead one had counted when it was last asked is still there.
        assert found[X + "upstream_rq_200"] == 32 + len(kept)
        for client in kept:
            assert (await client.request("/", **HOST)).status == 200
        for client in clients:
            await client.close()
        assert f"worker {victim} ended unasked" in running.log.read_text()


async def test_a_place_under_a_ceiling_is_free_again_when_its_worker_is_killed(tmp_path: Path) -> None:
    policy = "{connectionPool: {http: {http2MaxRequests: 4}}}"
    async with upstream("x") as port, proxy(tmp_path, documents(port, policy=policy)) as running:
        slow = [asyncio.create_task(once(running, "/slow/30")) for _ in range(4)]

        async def reached() -> bool:
            return (await stats(running))[X + "circuit_breakers.default.rq_open"] == 1

        await until(reached)
        before = await pids(running)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert all(isinstance(result, Lost) for result in await asyncio.gather(*slow, return_exceptions=True))
        await replaced(running, before)
        assert await once(running, "/") == 200


async def test_every_worker_takes_up_documents_that_are_good_and_none_that_are_not(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1)) as running:
        file = tmp_path / "config" / "mesh.yaml"
        file.write_text("kind: [half")

        async def status() -> dict[str, Any]:
            found: dict[str, Any] = json.loads((await running.admin("/reload_status")).body)
            return found

        async def rejected() -> bool:
            return (await status())["rejected"] == 1

        await until(rejected)
        first = (await info(running))["pyproxy"]["workers"][0]["version"]
        assert {await once(running, "/direct") for _ in range(10)} == {200}
        file.write_text(documents(1).replace("status: 200", "status: 418"))

        async def swapped() -> bool:
            workers = (await info(running))["pyproxy"]["workers"]
            version = (await status())["version"]
            return version != first and all(worker["version"] == version for worker in workers)

        await until(swapped)
        assert {await once(running, "/direct") for _ in range(10)} == {418}
        # and whoever takes a place later serves by the same
        before = await pids(running)
        os.kill(before[0], signal.SIGKILL)
        await replaced(running, before[:1])
        assert {await once(running, "/direct") for _ in range(20)} == {418}


async def test_a_listener_that_is_new_is_bound_by_all_and_one_that_is_gone_by_none(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1)) as running:
        sock = tmp_path / "egress.sock"
        (tmp_path / "config" / "sidecar.yaml").write_text(
            f"""
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: x}}
spec:
  egress:
  - {{port: {{number: 0, name: http, protocol: HTTP}}, bind: "unix://{sock}", captureMode: NONE, hosts: ["*/*"]}}
  - {{hosts: ["*/*"]}}
"""
        )

        async def answers() -> bool:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_unix_connection(str(sock))
                writer.write(b"GET /direct HTTP/1.1\r\nhost: x.example\r\nconnection: close\r\n\r\n")
                answer = await asyncio.wait_for(reader.read(), SECONDS)
                writer.close()
                return answer.startswith(b"HTTP/1.1 200")
            return False

        await until(answers)
        # A worker that takes a place is passed the socket too.
        before = await pids(running)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        await replaced(running, before)
        assert all([await answers() for _ in range(10)])
        (tmp_path / "config" / "sidecar.yaml").unlink()

        async def silent() -> bool:
            return not await answers()

        await until(silent)


async def test_sigterm_drains_all(tmp_path: Path) -> None:
    async with upstream("x") as port, proxy(tmp_path, documents(port)) as running:
        workers = await pids(running)
        slow = [asyncio.create_task(once(running, "/slow/2")) for _ in range(16)]
        await under_way(running, 16)
        code = asyncio.create_task(running.terminate())
        assert await asyncio.gather(*slow) == [200] * 16
        assert await code == 0
        await until(lambda: not any(alive(pid) for pid in workers))
        with pytest.raises(Refused):
            await once(running, "/")


async def test_a_request_that_is_longer_than_the_drain_is_cut_off(tmp_path: Path) -> None:
    async with upstream("x") as port, proxy(tmp_path, documents(port), "--drain-duration", "500ms") as running:
        slow = [asyncio.create_task(once(running, "/slow/30")) for _ in range(4)]
        await under_way(running, 4)
        assert await running.terminate() == 0
        assert all(isinstance(result, Lost) for result in await asyncio.gather(*slow, return_exceptions=True))


async def test_workers_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1), "--drain-duration", "200ms") as running:
        workers = await pids(running)
        running.process.kill()
        await running.process.wait()
        await until(lambda: not any(alive(pid) for pid in workers))


async def test_health_checks_fail_and_levels_change_at_every_worker(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1)) as running:
        assert (await running.admin("/healthcheck/fail", "POST")).status == 200
        client = outbound(running)
        assert (await client.request("/direct", **HOST)).headers.get("connection") == "close"
        assert (await running.admin("/ready")).status == 503
        assert (await running.admin("/healthcheck/ok", "POST")).status == 200
        assert "connection" not in (await client.request("/direct", **HOST)).headers
        await client.close()
        assert (await running.admin("/logging?level=debug", "POST")).status == 200
        assert (await running.admin("/drain_listeners", "POST")).status == 200

        async def refused() -> bool:
            try:
                await once(running, "/direct")
            except Refused:
                return True
            return False

        await until(refused)


async def test_an_address_that_is_taken_ends_the_start(tmp_path: Path) -> None:
    async with proxy(tmp_path, documents(1)) as running:
        other = tmp_path / "other"
        other.mkdir()
        port = running.addresses["virtualOutbound"].rpartition(":")[2]
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with proxy(other, documents(1), "--outbound-port", port):
                pass
