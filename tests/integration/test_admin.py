"""The admin, status and metrics ports of a real process with traffic through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.sidecar import Client, Sidecar, sidecar, until, upstream

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
HOST = "x.example"
CLUSTER = f"outbound|80||{HOST}"


def documents(port: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: x}}
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: x}}
spec:
  host: {HOST}
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 1024}}}}}}
"""


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Sidecar]:
    async with upstream("one") as port:
        config = folder / "config"
        config.mkdir()
        (config / "x.yaml").write_text(documents(port))
        async with sidecar(folder, config) as process:
            yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sidecar]:
    """One process for every test that leaves it as it was."""
    async with running(tmp_path_factory.mktemp("proxy")) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="module")
async def mortal(tmp_path: Path) -> AsyncIterator[Sidecar]:
    """One process for one test."""
    async with running(tmp_path) as process:
        yield process


async def send(proxy: Sidecar, *paths: str) -> None:
    client = Client(proxy.addresses["virtualOutbound"])
    for path in paths:
        await client.request(path, HOST)
    await client.close()


async def values(proxy: Sidecar) -> dict[str, int]:
    """Envoy's statistics by name."""
    found = json.loads((await proxy.admin("/stats?format=json")).body)["stats"]
    return {one["name"]: one["value"] for one in found}


async def test_traffic_moves_counters_under_envoys_names(proxy: Sidecar) -> None:
    before = await values(proxy)
    await send(proxy, "/", "/", "/", "/status/404", "/status/500")
    after = await values(proxy)
    moved = {name: value - before.get(name, 0) for name, value in after.items()}
    assert moved[f"cluster.{CLUSTER}.upstream_rq_total"] == 5
    assert moved[f"cluster.{CLUSTER}.upstream_rq_200"] == 3
    assert moved[f"cluster.{CLUSTER}.upstream_rq_4xx"] == 1
    assert moved[f"cluster.{CLUSTER}.upstream_rq_500"] == 1
    assert moved[f"cluster.{CLUSTER}.upstream_cx_total"] == 1
    downstream = {name.rpartition(".")[2]: value for name, value in moved.items() if name.startswith("http.outbound_")}
    assert (downstream["downstream_rq_total"], downstream["downstream_rq_2xx"]) == (5, 3)


async def test_clusters_show_ceilings_and_hosts(proxy: Sidecar) -> None:
    await proxy.admin("/reset_counters", "POST")
    await send(proxy, "/", "/status/503")
    lines = (await proxy.admin("/clusters")).body.decode().splitlines()
    assert f"{CLUSTER}::default_priority::max_connections::1024" in lines
    [health] = [line for line in lines if line.startswith(CLUSTER) and "::health_flags::" in line]
    assert health.endswith("::health_flags::healthy")
    host = health.split("::")[1]
    counts = {line.split("::")[2]: line.split("::")[3] for line in lines if line.startswith(f"{CLUSTER}::{host}::")}
    assert int(counts["rq_total"]) == int(counts["rq_success"]) + int(counts["rq_error"]) > 0
    assert int(counts["rq_error"]) > 0
    statuses = json.loads((await proxy.admin("/clusters?format=json")).body)["cluster_statuses"]
    assert CLUSTER in [one["name"] for one in statuses]


async def test_the_scrape_is_prometheus_text(proxy: Sidecar) -> None:
    await proxy.admin("/reset_counters", "POST")
    await send(proxy, "/", "/status/404")
    client = Client(proxy.addresses["metrics"])
    response = await client.request("/stats/prometheus", host="user-service")
    await client.close()
    samples: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(response.body.decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    by_code = {sample.labels["response_code"]: sample.value for sample in samples["istio_requests_total"]}
    assert (by_code["200"], by_code["404"]) == (1, 1)
    [count] = [
        sample.value
        for sample in samples["envoy_cluster_upstream_rq_total"]
        if sample.labels == {"cluster_name": CLUSTER}
    ]
    assert count == 2
    assert samples["pyproxy_config_last_reload_successful"][0].value == 1
    assert samples["process_resident_memory_bytes"]


async def test_reset_counters_starts_again(proxy: Sidecar) -> None:
    await send(proxy, "/")
    assert (await proxy.admin("/reset_counters")).status == 405
    assert (await values(proxy))[f"cluster.{CLUSTER}.upstream_rq_total"] > 0
    assert (await proxy.admin("/reset_counters", "POST")).body == b"OK\n"
    assert (await values(proxy))[f"cluster.{CLUSTER}.upstream_rq_total"] == 0


async def test_listeners_are_where_the_ready_file_says(proxy: Sidecar) -> None:
    lines = (await proxy.admin("/listeners")).body.decode().splitlines()
    named = dict(line.split("::") for line in lines)
    assert named == {name: address for name, address in proxy.addresses.items() if name in named}
    assert "virtualOutbound" in named


async def test_the_dump_names_what_the_documents_name(proxy: Sidecar) -> None:
    dump = json.loads((await proxy.admin("/config_dump")).body)["configs"]
    clusters = [one["cluster"]["name"] for one in dump[1]["dynamic_active_clusters"]]
    assert CLUSTER in clusters
    assert [document["kind"] for document in dump[-1]["documents"]] == ["ServiceEntry", "DestinationRule"]


async def test_failing_health_checks_asks_clients_to_go_and_refuses_none(proxy: Sidecar) -> None:
    client, status = Client(proxy.addresses["virtualOutbound"]), Client(proxy.addresses["status"])
    assert "connection" not in (await client.request("/", HOST)).headers
    assert (await status.request("/healthz/ready")).status == 200
    await proxy.admin("/healthcheck/fail", "POST")
    assert (await status.request("/healthz/ready")).status == 503
    response = await client.request("/", HOST)
    assert (response.status, response.headers["connection"]) == (200, "close")
    await proxy.admin("/healthcheck/ok", "POST")
    assert (await status.request("/healthz/ready")).status == 200
    assert "connection" not in (await client.request("/", HOST)).headers
    await client.close()
    await status.close()


async def refuses(address: str) -> bool:
    """Whether there is no connection to be had."""
    try:
        _, writer = await asyncio.open_connection(*address.split(":"))
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_drained_listeners_refuse_new_connections_and_serve_open_ones(mortal: Sidecar) -> None:
    client = Client(mortal.addresses["virtualOutbound"])
    await client.request("/", HOST)
    await mortal.admin("/drain_listeners", "POST")
    await until(lambda: refuses(mortal.addresses["virtualOutbound"]))
    response = await client.request("/", HOST)
    assert (response.status, response.headers["connection"]) == (200, "close")
    assert (await mortal.admin("/ready")).body == b"LIVE\n"  # as in Envoy
    await client.close()


async def test_drain_only_inbound(mortal: Sidecar) -> None:
    await mortal.admin("/drain_listeners?inboundonly", "POST")
    await until(lambda: refuses(mortal.addresses["virtualInbound"]))
    await send(mortal, "/")


async def test_the_log_level_changes_while_running(proxy: Sidecar) -> None:
    listing = (await proxy.admin("/logging?paths=config:debug", "POST")).body.decode()
    assert "  pyproxy: info\n" in listing
    assert "  pyproxy.config: debug\n" in listing


async def test_quitting_ends_the_process_as_sigterm_does(mortal: Sidecar) -> None:
    assert (await mortal.admin("/quitquitquit", "POST", {"Origin": "http://evil.example"})).status == 403
    assert (await mortal.admin("/quitquitquit", "POST")).body == b"OK\n"
    await until(lambda: mortal.process.returncode is not None)
    assert mortal.process.returncode == 0


async def test_a_taken_admin_port_ends_the_start_with_the_flag_in_words(proxy: Sidecar, tmp_path: Path) -> None:
    port = proxy.addresses["admin"].rpartition(":")[2]
    (tmp_path / "config").mkdir()
    with pytest.raises(AssertionError, match=rf"127\.0\.0\.1:{port} \(--admin-port\)"):
        async with sidecar(tmp_path, tmp_path / "config", "--admin-port", port):
            pass
