"""A host that joins under `warmup` takes its share step by step, as with a real Envoy that is told of it by EDS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.differential import istio_as_envoy
from tests.differential.envoy_process import Envoy, http_listener
from tests.differential.istio_as_envoy import Host
from tests.differential.resilience import Scenario, documents
from tests.differential.scripted_hosts import OK, Run, ScriptedHosts
from tests.pyproxy_process import PyproxyProcess

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

WINDOW = 4.0
PACE = 0.01
"""Seconds between two requests."""
CASES = {
    "linear": {"duration": f"{WINDOW:g}s", "minimumPercent": 10, "aggression": 1.0},
    "eager": {"duration": f"{WINDOW:g}s", "minimumPercent": 10, "aggression": 2.0},
    "from half on": {"duration": f"{WINDOW:g}s", "minimumPercent": 50, "aggression": 1.0},
}
NAMES = {name: f"out-{index}a.test" for index, name in enumerate(CASES)}


def policy(name: str) -> dict[str, Any]:
    return {"loadBalancer": {"simple": "ROUND_ROBIN", "warmup": CASES[name]}}


def expected(name: str, age: float) -> float:
    """The newcomer's part of all requests, beside one host that is warm."""
    case = CASES[name]
    grown = max((max(age, 0.001) / WINDOW) ** (1 / case["aggression"]), case["minimumPercent"] / 100)
    weight = 1.0 if age >= WINDOW else grown
    return weight / (1 + weight)


class Endpoints:
    """What EDS says, in files that Envoy watches."""

    def __init__(self, folder: Path, hosts: ScriptedHosts) -> None:
        self.folder = folder
        self._hosts = hosts

    def write(self, count: int) -> None:
        """So many hosts for each cluster."""
        kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        for name in NAMES.values():
            cluster = istio_as_envoy.cluster(name, [Host(index) for index in range(count)], self._hosts.ports, {})
            partial = self.folder / f"{name}.partial"
            partial.write_text(json.dumps({"resources": [{"@type": kind, **cluster["load_assignment"]}]}))
            partial.rename(self.folder / f"{name}.json")

    def cluster(self, case: str, name: str) -> dict[str, Any]:
        """An Envoy cluster that asks here."""
        found = istio_as_envoy.cluster(name, [], self._hosts.ports, policy(case))
        del found["load_assignment"]
        source = {"path_config_source": {"path": str(self.folder / f"{name}.json")}}
        return {**found, "type": "EDS", "eds_cluster_config": {"eds_config": source}}


@pytest.fixture(scope="module")
def shares(
    start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], list[tuple[float, int]]]]:
    """Of each case and side: the age of the newcomer, and who was asked (1 is the newcomer)."""
    folder = tmp_path_factory.mktemp("warmup")
    hosts = ScriptedHosts()
    process = None
    try:
        eds = Endpoints(folder, hosts)
        eds.write(1)
        virtual_hosts = [
            {"name": name, "domains": [name], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name}}]}
            for name in NAMES.values()
        ]
        listener = http_listener("outbound", [], route_config={"virtual_hosts": virtual_hosts})
        clusters = [eds.cluster(case, name) for case, name in NAMES.items()]
        envoy = start_envoy([listener], istio_as_envoy.in_seconds(clusters), node={"id": "test", "cluster": "test"})
        process = PyproxyProcess(folder / "pyproxy", mesh(hosts, folder, 1))
        ports = {"envoy": envoy.ports["outbound"], "pyproxy": process.outbound}
        time.sleep(WINDOW + 0.5)  # the first hosts are warm

        def join() -> None:
            eds.write(2)
            (folder / "pyproxy" / "config" / "mesh.yaml").write_text(mesh(hosts, folder, 2))

        yield asyncio.run(_ask_all(hosts, ports, join))
    finally:
        if process is not None:
            process.close()
        hosts.close()


def mesh(hosts: ScriptedHosts, folder: Path, count: int) -> str:
    named = {
        name: Scenario(hosts=[Host(index) for index in range(count)], policy=policy(case))
        for case, name in NAMES.items()
    }
    return documents(named, folder / "access.log", hosts)


async def _ask_all(
    hosts: ScriptedHosts, ports: dict[str, int], join: Callable[[], None]
) -> dict[tuple[str, str], list[tuple[float, int]]]:
    runs = {}
    tasks = []
    for case, name in NAMES.items():
        for side, port in ports.items():
            run = hosts.runs[f"{name}/{side}"] = Run([OK])
            runs[case, side] = run
            tasks.append(asyncio.ensure_future(_keep_asking(port, name, f"{name}/{side}", WINDOW + 3.5)))
    await asyncio.sleep(0.5)
    join()
    await asyncio.gather(*tasks)
    found = {}
    for key, run in runs.items():
        began = next((attempt.at for attempt in run.attempts if attempt.host == 1), None)
        assert began is not None, f"nobody asked the newcomer: {key}, {len(run.attempts)} requests"
        found[key] = [(attempt.at - began, attempt.host) for attempt in run.attempts]
    return found


async def _keep_asking(port: int, name: str, run: str, seconds: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        writer.write(f"GET / HTTP/1.1\r\nhost: {name}\r\nx-run: {run}/{number}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        await asyncio.sleep(PACE)
    writer.close()


@pytest.mark.parametrize("side", ["envoy", "pyproxy"])
@pytest.mark.parametrize("case", CASES)
def test_a_newcomer_warms_up(case: str, side: str, shares: dict[tuple[str, str], list[tuple[float, int]]]) -> None:
    asked = shares[case, side]
    for first, last in [(0.2, 1.2), (1.2, 2.2), (2.2, 3.2), (3.2, 3.9), (4.5, 6.5)]:
        found = [host for age, host in asked if first <= age < last]
        if len(found) < 20:  # a machine too busy to say
            continue
        wanted = sum(expected(case, first + (last - first) * step / 10) for step in range(10)) / 10
        assert abs(sum(found) / len(found) - wanted) < 0.1, (first, last, sum(found), len(found), wanted)


@pytest.mark.parametrize("case", CASES)
def test_both_warm_up_alike(case: str, shares: dict[tuple[str, str], list[tuple[float, int]]]) -> None:
    parts = []
    for side in ("envoy", "pyproxy"):
        found = [host for age, host in shares[case, side] if 0 <= age < WINDOW]
        parts.append(sum(found) / len(found))
    assert abs(parts[0] - parts[1]) < 0.06, parts
