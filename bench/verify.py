"""Checks, before anything is measured, that a proxy applies the scenario's policies: else its speed means nothing."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter
from http.client import HTTPConnection

from bench.contestants import Contestant
from bench.scenarios import HOST, SERVICE_PORT, Mesh

REQUESTS = 400
_COUNTERS = {
    "envoy": "envoy_cluster_upstream_rq_completed",
    "pyproxy": "istio_requests_total",
    "uncompiled": "istio_requests_total",
}
_FLOORS = ("parse", "copy")


def check(contestant: Contestant, mesh: Mesh) -> None:
    """Raises RuntimeError naming the first policy that a contestant does not apply. The copy floor has none."""
    if contestant.name == "copy":
        return
    headers = {"host": (mesh.hosts() or [f"{HOST}:{SERVICE_PORT}"])[0]}
    if mesh.header_match is not None:
        plain = _echoes(contestant, headers, REQUESTS // 10)
        if set(plain) != {mesh.split[0][0]}:
            raise RuntimeError(f"{contestant.name}: requests without the header went to {dict(plain)}")
        headers |= dict([mesh.header_match])
    if not mesh.extra_hosts:
        _check_split(contestant.name, _echoes(contestant, headers, REQUESTS), mesh)


def _check_split(name: str, found: Counter[str], mesh: Mesh) -> None:
    total = sum(weight for _, weight in mesh.split)
    for subset, weight in mesh.split:
        share, wanted = found[subset] / REQUESTS, weight / total
        if abs(share - wanted) > 5 * (wanted * (1 - wanted) / REQUESTS) ** 0.5:
            raise RuntimeError(f"{name}: {subset} got {share:.0%} of the requests instead of {wanted:.0%}")


def _echoes(contestant: Contestant, headers: dict[str, str], count: int) -> Counter[str]:
    """Which subset answered how often; every request must have brought the upstream an id and a trace of its own."""
    subsets: Counter[str] = Counter()
    ids, traces = set(), set()
    connection = HTTPConnection("127.0.0.1", contestant.port, timeout=10)
    for _ in range(count):
        connection.request("GET", "/echo", headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{contestant.name}: answered {response.status} {body[:200]!r}")
        seen = json.loads(body)
        subsets[seen["subset"]] += 1
        ids.add(seen["request_id"])
        traces.add(seen["trace"])
    connection.close()
    if contestant.name not in _FLOORS and (len(ids) < count or len(traces) < count):
        raise RuntimeError(f"{contestant.name}: {len(ids)} request ids and {len(traces)} traces in {count} requests")
    return subsets


def counted(contestant: Contestant) -> int | None:
    """How many requests a contestant's own metrics speak of; None for one that has none."""
    name = _COUNTERS.get(contestant.name)
    if name is None:
        return None
    with urllib.request.urlopen(contestant.metrics_url, timeout=30) as response:
        text = response.read().decode()
    return total(text, name)


def total(text: str, name: str) -> int:
    """The sum of a family's samples in Prometheus text."""
    samples = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return int(sum(float(sample) for sample in samples))
