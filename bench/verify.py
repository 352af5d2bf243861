"""Checks, before anything is measured, that a proxy applies the scenario's policies: else its speed means nothing."""

from __future__ import annotations

import json
import math
import re
import ssl
import urllib.request
from collections import Counter
from http.client import HTTPConnection, HTTPSConnection

from bench.contestants import Contestant
from bench.scenarios import HOST, SERVICE_PORT, WITHOUT_RULES, WORKERS, Mesh
from bench.tokens import issued

REQUESTS = 400
LOST = 8
"""So many of them may stay without an answer where the upstream fails on purpose; all retries failing loses one."""
_COUNTERS = {
    "envoy": "envoy_cluster_upstream_rq_completed",
    "pyproxy": "istio_requests_total",
    "uncompiled": "istio_requests_total",
    WITHOUT_RULES: "istio_requests_total",
    **dict.fromkeys(WORKERS, "istio_requests_total"),
}
_FLOORS = ("parse", "copy")


def check(contestant: Contestant, mesh: Mesh) -> None:
    """Raises RuntimeError naming the first policy that a contestant does not apply. The copy floor has none."""
    if contestant.name == "copy":
        return
    if mesh.tcp:
        _check_bytes(contestant)
        return
    headers = {"host": (mesh.hosts() or [f"{HOST}:{SERVICE_PORT}"])[0]}
    if mesh.tokens:
        _check_refusals(contestant, headers)
        headers["authorization"] = issued().authorizations[0]
    if mesh.header_match is not None:
        plain = _echoes(contestant, headers, REQUESTS // 10, mesh.failing)
        if set(plain) != {mesh.split[0][0]}:
            raise RuntimeError(f"{contestant.name}: requests without the header went to {dict(plain)}")
        headers |= dict([mesh.header_match])
    if not mesh.extra_hosts:
        _check_split(contestant.name, _echoes(contestant, headers, REQUESTS, mesh.failing), mesh)


def _check_bytes(contestant: Contestant) -> None:
    """What passes as bytes passes as it is: nobody has added a header."""
    connection = _connection(contestant)
    connection.request("GET", "/echo", headers={"host": HOST})
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    if found["request_id"] or response.getheader("x-envoy-upstream-service-time") is not None:
        raise RuntimeError(f"{contestant.name}: took bytes for a request")


def _check_refusals(contestant: Contestant, headers: dict[str, str]) -> None:
    """No token is not enough, and a changed one is none."""
    changed = issued().authorizations[0][:-8] + "AAAAAAAA"
    for more, wanted in (({}, 403), ({"authorization": changed}, 401)):
        connection = _connection(contestant)
        connection.request("GET", "/echo", headers=headers | more)
        status = connection.getresponse().status
        connection.close()
        if status != wanted:
            raise RuntimeError(f"{contestant.name}: answered {status} to {more or 'no token'} instead of {wanted}")


def _check_split(name: str, found: Counter[str], mesh: Mesh) -> None:
    total, answered = sum(weight for _, weight in mesh.split), found.total()
    for subset, weight in mesh.split:
        share, wanted = found[subset] / answered, weight / total
        if _unlikely(share, wanted, answered):
            raise RuntimeError(f"{name}: {subset} got {share:.0%} of the requests instead of {wanted:.0%}")


def _unlikely(share: float, wanted: float, count: int) -> bool:
    return abs(share - wanted) > 5 * math.sqrt(wanted * (1 - wanted) / count)


def _echoes(contestant: Contestant, headers: dict[str, str], count: int, failing: int) -> Counter[str]:
    """Which subset answered how often; every request must have brought the upstream an id and a trace of its own.

    Where the upstream fails `failing` percent of the requests, so many must have needed another try.
    """
    found = _ask(contestant, headers, count, patience=LOST if failing else 0)
    if contestant.name not in _FLOORS:
        ids, traces = ({one[key] for one in found} for key in ("request_id", "trace"))
        if min(len(ids), len(traces)) < len(found):
            raise RuntimeError(f"{contestant.name}: {len(ids)} ids and {len(traces)} traces in {len(found)} requests")
    again = sum(one["attempt"] not in ("", "1") for one in found) / len(found)
    if _unlikely(again, failing / 100, len(found)):
        raise RuntimeError(f"{contestant.name}: {again:.0%} of the requests were retried instead of {failing}%")
    return Counter(one["subset"] for one in found)


def _ask(contestant: Contestant, headers: dict[str, str], count: int, *, patience: int) -> list[dict[str, str]]:
    """What the upstream saw of the requests that it answered; `patience` of them may stay without."""
    found = []
    connection = _connection(contestant)
    for _ in range(count):
        connection.request("GET", "/echo", headers=headers)
        response = connection.getresponse()
        body = response.read()
        if response.status == 200:
            found.append(json.loads(body))
            continue
        patience -= 1
        if patience < 0:
            raise RuntimeError(f"{contestant.name}: answered {response.status} {body[:200]!r}")
    connection.close()
    return found


def _connection(contestant: Contestant) -> HTTPConnection:
    if contestant.certificate is None:
        return HTTPConnection("127.0.0.1", contestant.port, timeout=10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # who answers is not in question here
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(contestant.certificate)
    return HTTPSConnection("127.0.0.1", contestant.port, timeout=10, context=context)


def counted(contestant: Contestant) -> int | None:
    """How many requests a contestant's own metrics speak of; None for one that has none."""
    name = _COUNTERS.get(contestant.name)
    if name is None or not contestant.metrics_url:
        return None
    with urllib.request.urlopen(contestant.metrics_url, timeout=30) as response:
        text = response.read().decode()
    return total(text, name)


def total(text: str, name: str) -> int:
    """The sum of a family's samples in Prometheus text."""
    samples = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
    return int(sum(float(sample) for sample in samples))
