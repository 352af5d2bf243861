"""Every query of every dashboard finds numbers in a real Prometheus that scrapes a real mesh."""

from __future__ import annotations

import math
import re
import subprocess
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyproxy.istio.loader import load as load_documents
from tests.monitoring import dashboards
from tests.monitoring.prometheus import CONFIG, Prometheus, missing, pointed_at, prometheus

TOP = Path(__file__).parents[2]
GRAFANA = TOP / "config" / "grafana"
TRAFFIC_SECONDS = 12
WANTED: dict[str, dict[str, str]] = {
    "istio-service": {"service": "reviews.default.svc.cluster.local"},
    "istio-workload": {"namespace": "default", "workload": "reviews-v1"},
}
ZERO = {
    "Overflows · C": "no ceiling on requests is reached",
    "Overflows · D": "no ceiling on retries is reached",
    "Ejections · B": "no ejection is spared",
    "Timeouts · C": "connections are refused, none takes long",
    "Connection failures · B": "no host closes under a request",
    "Full now · C": "no ceiling on requests is reached",
    "Full now · D": "no ceiling on retries is reached",
    "TLS refusals · A": "every service shows the right certificate",
}
"""Queries whose value may be 0 all through the run, and why; every other must find something above."""
ANY_SIGN = {"Time between the sidecars (mean) · A"}


# Files


@pytest.mark.parametrize("name", dashboards.names())
def test_a_dashboard_is_in_order(name: str) -> None:
    document = dashboards.load(name)
    assert document["uid"] == name
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    for one, two in combinations(document["panels"], 2):
        assert not overlap(one["gridPos"], two["gridPos"]), f"{one['title']} lies on {two['title']}"
    for panel in document["panels"]:
        assert panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for panel in dashboards.panels(document):
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


def overlap(one: dict[str, int], two: dict[str, int]) -> bool:
    return all(one[at] < two[at] + two[size] and two[at] < one[at] + one[size] for at, size in (("x", "w"), ("y", "h")))


def test_what_may_be_zero_is_there() -> None:
    shown = {
        f"{panel['title']} · {target['refId']}"
        for name in dashboards.names()
        for panel in dashboards.panels(dashboards.load(name))
        for target in panel["targets"]
    }
    assert {*ZERO, *ANY_SIGN} <= shown


def test_the_names_are_those_that_kiali_links_to() -> None:
    titles = {dashboards.load(name)["title"] for name in dashboards.names()}
    assert {f"Istio {kind} Dashboard" for kind in ("Mesh", "Service", "Workload", "Performance")} <= titles
    for name, variables in (("istio-service", {"service"}), ("istio-workload", {"namespace", "workload"})):
        assert variables <= {variable["name"] for variable in dashboards.load(name)["templating"]["list"]}


def test_grafana_is_told_of_prometheus_and_of_the_dashboards() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/datasources.yaml").read_text())
    providers = yaml.safe_load((GRAFANA / "provisioning/dashboards/dashboards.yaml").read_text())
    compose = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
    assert sources["apiVersion"] == providers["apiVersion"] == 1
    for source in sources["datasources"]:
        assert source["url"].removeprefix("http://").partition(":")[0] in compose
    interval = yaml.safe_load((CONFIG / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert sources["datasources"][0]["jsonData"]["timeInterval"] == interval
    mounts = {volume.split(":")[1] for volume in compose["grafana"]["volumes"]}
    assert {provider["options"]["path"] for provider in providers["providers"]} <= mounts


def test_none_of_it_is_taken_for_a_document_of_the_mesh() -> None:
    loaded = load_documents([TOP / "config"])
    assert [str(problem) for problem in loaded.problems] == []


def test_prometheus_accepts_what_it_is_given(tmp_path: Path) -> None:
    need_prometheus()
    for name in ("prometheus.yml", "lab.yml"):
        promtool("check", "config", str(CONFIG / name))
    changed = tmp_path / "prometheus.yml"
    changed.write_text(yaml.safe_dump(pointed_at([{"targets": ["127.0.0.1:1"]}])))
    promtool("check", "config", str(changed))


def test_the_alerts_fire_when_they_should() -> None:
    need_prometheus()
    promtool("test", "rules", str(Path(__file__).parent / "alerts.yml"))


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def need_prometheus() -> None:
    if reason := missing():
        pytest.skip(f"LOUD SKIP: {reason}; on Debian: apt install prometheus")


# A run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has watched the mesh for some seconds; traffic still runs."""
    need_prometheus()
    pytest.importorskip("grpc")
    from tests.monitoring.busy_mesh import SERVICES, busy_mesh

    with (
        busy_mesh(tmp_path_factory.mktemp("mesh")) as mesh,
        prometheus(tmp_path_factory.mktemp("prometheus"), mesh.targets()) as server,
        mesh.traffic(),
    ):
        ends = time.monotonic() + TRAFFIC_SECONDS
        mesh.reload()
        for service in SERVICES:
            mesh.write_certificates(service)
        time.sleep(max(0.0, ends - time.monotonic()))
        yield server


@pytest.mark.integration
@pytest.mark.parametrize("name", dashboards.names())
def test_every_query_finds_data(server: Prometheus, name: str) -> None:
    document = dashboards.load(name)
    values = dashboards.choose(document, server, WANTED.get(name, {}))
    empty = [str(query) for query in dashboards.queries(document, values) if not finds(server, query)]
    assert not empty, "\n".join(empty)


def finds(server: Prometheus, query: dashboards.Query) -> bool:
    """Whether there is a number, and where there should be one above zero, such a one."""
    samples: list[Any] = server.query(query.expression)
    numbers = [float(sample["value"][1]) for sample in samples]
    name = f"{query.panel} · {query.reference}"
    if name in ZERO or name in ANY_SIGN:
        return any(math.isfinite(number) for number in numbers)
    return any(math.isfinite(number) and number > 0 for number in numbers)


@pytest.mark.integration
def test_no_alert_is_out_of_order(server: Prometheus) -> None:
    rules = server.rules()
    assert {rule["name"] for rule in rules if rule["health"] != "ok"} == set()
    assert len(rules) == sum(len(group["rules"]) for group in alerts()["groups"])


@pytest.mark.integration
def test_every_metric_that_an_alert_names_is_there(server: Prometheus) -> None:
    for group in alerts()["groups"]:
        for rule in group["rules"]:
            watched, *threshold = re.split(r" (?:>|<|==) ", rule["expr"])
            assert len(threshold) == 1
            assert server.query(watched), rule["alert"]


def alerts() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIG / "alerts.yml").read_text())
    return document
