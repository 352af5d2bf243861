"""The same responses make a real Envoy and us eject the same, and log the same."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pyproxy.core.loop import SystemClock
from pyproxy.core.outcome import Outcome
from pyproxy.policy.ejections import Ejection, EjectionEvent
from pyproxy.policy.outlier import OutlierDetector, OutlierPolicy, grpc_as_http
from tests.differential.envoy_process import Envoy, Upstreams, http_listener, loopback
from tests.peers import until
from tests.policy.fakes import FakeHost

pytestmark = pytest.mark.integration

FIELDS = {
    "consecutive_5xx": "consecutive_5xx",
    "enforcing_5xx": "enforcing_consecutive_5xx",
    "consecutive_gateway": "consecutive_gateway_failure",
    "enforcing_gateway": "enforcing_consecutive_gateway_failure",
    "consecutive_local_origin": "consecutive_local_origin_failure",
    "split_local_origin": "split_external_local_origin_errors",
    "max_ejection_percent": "max_ejection_percent",
    "always_eject_one": "always_eject_one_host",
}


@dataclass
class Case:
    """A policy, so many hosts, and what they are asked: statuses, `grpc-<n>`, or `close`."""

    settings: dict[str, Any]
    hosts: int = 1
    asks: list[str] = field(default_factory=list)

    def cluster(self, name: str, ports: list[int]) -> dict[str, Any]:
        endpoints = [{"endpoint": {"address": loopback(port)}} for port in ports[: self.hosts]]
        detection = {FIELDS[name]: value for name, value in self.settings.items()}
        return {
            "name": name,
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
            "outlier_detection": {**detection, "enforcing_success_rate": 0, "interval": "300s"},
            "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        }


def generated(settings: dict[str, Any], seed: int) -> Case:
    rng = random.Random(seed)
    asks = rng.choices(["200", "404", "500", "502", "503", "504", "close", "grpc-0", "grpc-14", "grpc-13"], k=40)
    if seed % 2:
        asks = [ask for ask in asks if ask not in ("200", "404", "grpc-0")]
    return Case({"max_ejection_percent": 100, **settings}, 1, asks)


CASES = {
    "five": Case({"max_ejection_percent": 100}, 1, ["500"] * 7),
    "gateway": Case(
        {"max_ejection_percent": 100, "consecutive_gateway": 3, "enforcing_gateway": 100, "consecutive_5xx": 9},
        1,
        ["503", "503", "500", "502", "503", "504", "503"],
    ),
    "unenforced": Case({"max_ejection_percent": 100, "enforcing_5xx": 0, "consecutive_5xx": 2}, 1, ["500"] * 9),
    "zero": Case({"max_ejection_percent": 100, "consecutive_5xx": 0, "consecutive_gateway": 0}, 1, ["503"] * 9),
    "split": Case(
        {"max_ejection_percent": 100, "split_local_origin": True, "consecutive_local_origin": 3}, 1, ["close"] * 12
    ),
    **{f"any-{seed}": generated({"consecutive_5xx": 3, "consecutive_gateway": 2}, seed) for seed in range(6)},
    **{
        f"strict-{seed}": generated({"consecutive_5xx": 4, "consecutive_gateway": 3, "enforcing_gateway": 100}, seed)
        for seed in range(6)
    },
    **{
        f"of-{count}-{percent}": Case({"max_ejection_percent": percent, "consecutive_5xx": 1}, count, ["500"] * 40)
        for count, percent in [(1, 10), (2, 50), (3, 10), (3, 33), (3, 34), (4, 50), (7, 100), (10, 10), (10, 25)]
    },
    "of-3-one": Case({"max_ejection_percent": 10, "consecutive_5xx": 1, "always_eject_one": True}, 3, ["500"] * 12),
}


@dataclass
class Side:
    envoy: Envoy
    ports: list[int]

    def ask(self, cluster: str, what: str) -> int | None:
        """The port of the host that was asked; None when there was none left."""
        headers = {"x-cluster": cluster}
        if what == "close":
            headers["x-end"] = "close"
        elif what.startswith("grpc-"):
            headers |= {"x-answer": f"grpc-status={what[5:]}", "content-type": "application/grpc"}
        else:
            headers["x-status"] = what
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.ports["all"], timeout=10)
        connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if body == b"no healthy upstream" or response.headers.get("grpc-message") == "no healthy upstream":
            return None
        return int(response.headers.get("x-who") or self.ports[0])

    def counts(self, cluster: str) -> dict[str, int]:
        lines = self.envoy.get_admin(f"/stats?filter=^cluster\\.{cluster}\\.outlier").split("\n")
        return {line.rpartition(".")[2].partition(":")[0]: int(line.rpartition(":")[2]) for line in lines if line}


@pytest.fixture(scope="module")
def side(start_envoy: Callable[..., Envoy], start_upstreams: Callable[[int], Upstreams]) -> Iterator[Side]:
    ports = start_upstreams(10).ports
    clusters = [case.cluster(name, ports) for name, case in CASES.items()]
    route = {"match": {"prefix": "/"}, "route": {"cluster_header": "x-cluster"}}
    yield Side(start_envoy([http_listener("all", [route])], clusters), ports)


@pytest.mark.parametrize("name", CASES)
def test_the_same_answers_make_the_same_ejections(name: str, side: Side) -> None:
    case = CASES[name]
    members = {port: FakeHost(f"127.0.0.1:{port}") for port in side.ports[: case.hosts]}
    detector: OutlierDetector[FakeHost] = OutlierDetector(
        OutlierPolicy(**case.settings), name, SystemClock(), random.Random(1), lambda host: None
    )
    events: list[EjectionEvent] = []
    detector.on_event = events.append
    detector.watch(members.values())

    for ask in case.asks:
        port = side.ask(name, ask)
        assert (port is None) is not any(host.healthy for host in members.values()), ask
        if port is None:
            continue
        assert members[port].healthy
        monitor = detector.monitor(members[port])
        if case.settings.get("split_local_origin"):
            monitor.record_connected()
        if ask == "close":
            monitor.record_failure(Outcome.CONNECTION_TERMINATION)
        elif ask.startswith("grpc-"):
            monitor.record_response(grpc_as_http(ask[5:].encode()))
        else:
            monitor.record_response(int(ask))
        # Envoy ejects on another thread than it serves on.
        until(lambda: side.counts(name)["ejections_active"] == detector.active)

    theirs = side.counts(name)
    assert detector.active == theirs["ejections_active"]
    assert detector.overflow == theirs["ejections_overflow"]
    assert detector.total == theirs["ejections_total"]
    assert detector.enforced.total() == theirs["ejections_enforced_total"]
    for kind in Ejection:
        assert detector.detected[kind] == theirs[f"ejections_detected_{kind.value}"], kind
        assert detector.enforced[kind] == theirs[f"ejections_enforced_{kind.value}"], kind
    assert all(json.loads(event.to_json()) for event in events)
