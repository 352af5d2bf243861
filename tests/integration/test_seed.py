"""`pyproxy run --seed N`: percentages, weights, random hosts and pauses repeat, route by route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import RawClient, Request, Upstream, UpstreamConnection
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

SERVICE = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec:
  host: {name}.test
  trafficPolicy: {{loadBalancer: {{simple: {balancer}}}}}
  subsets: [{{name: a, labels: {{v: a}}}}, {{name: b, labels: {{v: b}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{name}.test]
  http:
  - match: [{{uri: {{prefix: /hosts}}}}]
    route: [{{destination: {{host: {name}.test}}}}]
    retries: {{attempts: 0}}
  - match: [{{uri: {{prefix: /again}}}}]
    route: [{{destination: {{host: {name}.test}}}}]
    retries: {{attempts: 2, retryOn: 5xx, backoff: 1ms}}
  - fault: {{abort: {{httpStatus: 418, percentage: {{value: 30}}}}}}
    route:
    - {{destination: {{host: {name}.test, subset: a}}, weight: 60}}
    - {{destination: {{host: {name}.test, subset: b}}, weight: 40}}
---
"""
COUNT = 40


def answer(connection: UpstreamConnection, request: Request) -> None:
    """503 for what shall be tried again."""
    status = b"503" if request.target.startswith(b"/again") else b"200"
    connection.send(b"HTTP/1.1 %b -\r\ncontent-length: 0\r\n\r\n" % status)


@pytest.fixture
def hosts() -> Iterator[list[Upstream]]:
    found = [Upstream() for _ in range(4)]
    for host in found:
        host.answer = answer
    yield found
    for host in found:
        host.close()


class Proxy:
    """A proxy under a seed, with two services alike."""

    def __init__(self, folder: Path, hosts: list[Upstream], seed: str, balancer: str = "RANDOM") -> None:
        self._hosts = hosts
        for host in hosts:
            host.requests.clear()
        endpoints = ", ".join(
            f"{{address: 127.0.0.1, ports: {{http: {host.port}}}, labels: {{v: {'ab'[index % 2]}}}}}"
            for index, host in enumerate(hosts)
        )
        documents = "".join(
            SERVICE.format(name=name, endpoints=endpoints, balancer=balancer) for name in ("one", "two")
        )
        self._process = PyproxyProcess(folder, documents, "--seed", seed)
        self._client = RawClient(self._process.outbound)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()
        self._process.close()

    def ask(self, path: bytes, host: bytes = b"one.test") -> tuple[int, list[int]]:
        """The answer's status, and the hosts that were asked."""
        before = [len(each.requests) for each in self._hosts]
        response = self._client.ask(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (path, host))
        return response.status, [
            index for index, each in enumerate(self._hosts) for _ in each.requests[before[index] :]
        ]


PATHS = (b"/", b"/hosts", b"/again")


def alone(folder: Path, hosts: list[Upstream], seed: str, path: bytes, balancer: str = "RANDOM") -> list[object]:
    with Proxy(folder, hosts, seed, balancer) as proxy:
        return [proxy.ask(path) for _ in range(COUNT)]


@pytest.mark.parametrize("balancer", ["RANDOM", "LEAST_REQUEST", "ROUND_ROBIN"])
@pytest.mark.parametrize("path", PATHS)
def test_a_seed_repeats_what_happens(path: bytes, balancer: str, hosts: list[Upstream], tmp_path: Path) -> None:
    found = [alone(tmp_path / str(number), hosts, "7", path, balancer) for number in range(2)]
    assert found[0] == found[1]
    assert len(set(map(repr, found[0]))) > 1  # chance has a part in it


def test_another_seed_is_another_story(hosts: list[Upstream], tmp_path: Path) -> None:
    assert alone(tmp_path / "a", hosts, "7", b"/") != alone(tmp_path / "b", hosts, "8", b"/")


def test_what_other_routes_carry_changes_nothing(hosts: list[Upstream], tmp_path: Path) -> None:
    expected = {path: alone(tmp_path / path.decode().strip("/"), hosts, "7", path) for path in PATHS}
    with Proxy(tmp_path / "together", hosts, "7") as proxy:
        found: dict[bytes, list[object]] = {path: [] for path in PATHS}
        for number in range(COUNT):
            for path in PATHS:
                found[path].append(proxy.ask(path))
                for _ in range(number % 3):
                    proxy.ask(path, b"two.test")
    assert found == expected
