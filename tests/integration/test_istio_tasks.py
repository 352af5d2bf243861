"""Istio's tasks, with only the kubectl lines removed: request routing, traffic shifting, mirroring, egress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import RawClient, Upstream, answer_with
from tests.pyproxy_process import PyproxyProcess

pytestmark = pytest.mark.integration

REVIEWS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: reviews}}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 9080, name: http, protocol: HTTP}}]
  endpoints:
    - {{address: 127.0.0.1, ports: {{http: {v1}}}, labels: {{version: v1}}}}
    - {{address: 127.0.0.1, ports: {{http: {v2}}}, labels: {{version: v2}}}}
    - {{address: 127.0.0.1, ports: {{http: {v3}}}, labels: {{version: v3}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: reviews}}
spec:
  host: reviews
  subsets:
    - {{name: v1, labels: {{version: v1}}}}
    - {{name: v2, labels: {{version: v2}}}}
    - {{name: v3, labels: {{version: v3}}}}
"""
RULES = """
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
"""
REQUESTS = 1000


class Mesh:
    """Three versions of reviews behind one proxy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = {name: Upstream() for name in ("v1", "v2", "v3")}
        for name, upstream in self.versions.items():
            body = name.encode()
            upstream.answer = answer_with(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + body)
        self._proxy: PyproxyProcess | None = None

    def run(self, rules: str, extra: str = "") -> PyproxyProcess:
        ports = {name: upstream.port for name, upstream in self.versions.items()}
        documents = REVIEWS.format(**ports) + (RULES + rules if rules else "") + extra
        self._proxy = PyproxyProcess(self.folder, documents, "--seed", "1")
        return self._proxy

    def close(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
        for upstream in self.versions.values():
            upstream.close()


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path / "proxy")
    yield mesh
    mesh.close()


def shares(port: int, headers: bytes = b"", count: int = REQUESTS) -> Counter[str]:
    """Who answers so many requests to reviews."""
    client = RawClient(port)
    try:
        request = b"GET /reviews/0 HTTP/1.1\r\nhost: reviews:9080\r\n" + headers + b"\r\n"
        return Counter(client.ask(request).body.decode() for _ in range(count))
    finally:
        client.close()


def test_request_routing_sends_everyone_to_v1_and_jason_to_v2(mesh: Mesh) -> None:
    proxy = mesh.run("""
    - match: [{headers: {end-user: {exact: jason}}}]
      route: [{destination: {host: reviews, subset: v2}}]
    - route: [{destination: {host: reviews, subset: v1}}]
""")
    assert shares(proxy.outbound, count=50) == {"v1": 50}
    assert shares(proxy.outbound, b"end-user: jason\r\n", count=50) == {"v2": 50}


@pytest.mark.parametrize(("first", "second"), [(50, 50), (90, 10), (80, 20)])
def test_traffic_shifting_splits_by_weight(mesh: Mesh, first: int, second: int) -> None:
    proxy = mesh.run(f"""
    - route:
        - {{destination: {{host: reviews, subset: v1}}, weight: {first}}}
        - {{destination: {{host: reviews, subset: v3}}, weight: {second}}}
""")
    found = shares(proxy.outbound)
    assert set(found) == {"v1", "v3"}
    # Five standard deviations of the binomial: one run in two million is outside by chance.
    bound = 5 * (REQUESTS * first * second) ** 0.5 / 100
    assert abs(found["v1"] - REQUESTS * first / 100) <= bound


def test_mirroring_sends_a_copy_and_throws_its_answer_away(mesh: Mesh) -> None:
    proxy = mesh.run("""
    - route: [{destination: {host: reviews, subset: v1}}]
      mirror: {host: reviews, subset: v2}
      mirrorPercentage: {value: 100.0}
""")
    mesh.versions["v2"].answer = answer_with(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nv2")
    assert shares(proxy.outbound, count=40) == {"v1": 40}
    until = time.monotonic() + 20
    while len(mesh.versions["v2"].requests) < 40 and time.monotonic() < until:
        time.sleep(0.01)
    copies = mesh.versions["v2"].requests
    assert len(copies) == 40
    assert {copy.get(b"host") for copy in copies} == {b"reviews:9080"}


def test_egress_reaches_what_a_service_entry_names_and_nothing_else_under_registry_only(mesh: Mesh) -> None:
    outside = mesh.versions["v3"]
    proxy = mesh.run(
        "",
        f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: httpbin-ext}}
spec:
  hosts: [httpbin.example]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {outside.port}}}}}]
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh}}
spec: {{meshConfig: {{outboundTrafficPolicy: {{mode: REGISTRY_ONLY}}}}}}
""",
    )
    client = RawClient(proxy.ports["http_proxy"])
    answered = client.ask(b"GET http://httpbin.example/headers HTTP/1.1\r\nhost: httpbin.example\r\n\r\n")
    assert (answered.status, answered.body) == (200, b"v3")
    refused = client.ask(b"GET http://elsewhere.example/ HTTP/1.1\r\nhost: elsewhere.example\r\n\r\n")
    assert (refused.status, refused.body) == (502, b"")
    client.close()


def test_without_a_policy_unknown_hosts_are_reached(mesh: Mesh) -> None:
    proxy = mesh.run("")
    outside = mesh.versions["v2"]
    client = RawClient(proxy.ports["http_proxy"])
    address = b"127.0.0.1:%d" % outside.port
    answered = client.ask(b"GET http://" + address + b"/x HTTP/1.1\r\nhost: " + address + b"\r\n\r\n")
    assert (answered.status, answered.body) == (200, b"v2")
    client.close()
