"""docker-compose.yml does what its head says: a canary of a Go service, a gRPC call, and Prometheus sees them."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.compose import engine, standins
from tests.compose.project import Project

pytestmark = [pytest.mark.compose, pytest.mark.integration, pytest.mark.timeout(1200)]

REQUESTS = 1000
# The mean of a binomial with n = 1000 and p = 0.1, and five standard deviations around it: a right split fails less
# than once in a million runs.
CANARY = range(100 - 47, 100 + 48)


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """The compose file, up and healthy on an engine of its own."""
    if reason := engine.missing():
        pytest.skip(f"LOUD SKIP: {reason}")
    with tempfile.TemporaryDirectory() as folder, engine.started(Path(folder)) as docker:
        standins.make_all(docker)
        project = Project(docker, Path(folder, "project"))
        project.down()  # what a killed run left in the cached engine
        try:
            project.build()
            project.up()
            yield project
        finally:
            project.down()


@pytest.fixture(scope="module")
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def split(project: Project, client: requests.Session) -> Counter[str]:
    """How many of a thousand orders each version of user-service helped with."""
    answers = (get_order(client, project) for _ in range(REQUESTS))
    return Counter(answer["user"]["version"] for answer in answers)


def get_order(client: requests.Session, project: Project, **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.get(f"{project.orders}/orders/1", headers=named, timeout=10)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_every_container_is_healthy(project: Project) -> None:
    assert project.health() == dict.fromkeys(
        (
            *("user-service-v1", "user-service-v1-sidecar", "user-service-v2", "user-service-v2-sidecar"),
            *("inventory-service-v1", "inventory-service-v1-sidecar"),
            *("order-service", "order-service-sidecar", "gateway", "certs"),
            *("prometheus", "grafana", "jaeger"),
        ),
        "healthy",
    )


def test_a_sidecar_runs_as_istios_proxy_user(project: Project) -> None:
    assert project.python("order-service-sidecar", "import os; print(os.getuid(), os.getgid())").split() == [
        "1337",
        "1337",
    ]


def test_a_sidecars_data_path_is_compiled(project: Project) -> None:
    printed = project.python("order-service-sidecar", "import pyproxy.proxy.exchange as module; print(module.__file__)")
    assert printed.strip().endswith(".so")


def test_a_sidecar_has_its_own_certificate_and_nobody_elses(project: Project) -> None:
    program = "from os import *; print(sorted(listdir('/certs')), listdir('/ca'), oct(stat('/certs/key.pem').st_mode))"
    printed = project.python("user-service-v1-sidecar", program)
    assert printed.strip() == "['cert-chain.pem', 'key.pem', 'root-cert.pem'] [] 0o100600"
    shown = json.loads(project.compose("exec", "-T", "certs", "pyproxy", "certs", "show", "--output", "json"))
    assert {each["name"]: each["identity"].rpartition("/")[2] for each in shown[1:]} == {
        "gateway.default": "gateway",
        "inventory-service-v1.default": "inventory-service",
        "order-service.default": "order-service",
        "user-service-v1.default": "user-service",
        "user-service-v2.default": "user-service",
    }
    project.compose("exec", "-T", "certs", "pyproxy", "certs", "verify")


def test_the_canary_takes_a_tenth(split: Counter[str]) -> None:
    assert split["v1"] + split["v2"] == REQUESTS
    assert split["v2"] in CANARY


def test_jason_always_gets_v2(project: Project, client: requests.Session) -> None:
    assert {get_order(client, project, end_user="jason")["user"]["version"] for _ in range(50)} == {"v2"}


def test_an_answer_names_the_container_that_gave_it(project: Project, client: requests.Session) -> None:
    hosts = {str(container["service"]): str(container["Id"])[:12] for container in project.containers()}
    answer = get_order(client, project, end_user="jason")
    assert (answer["host"], answer["user"]["host"]) == (hosts["order-service"], hosts["user-service-v2"])


def test_trace_headers_reach_the_last_service(project: Project, client: requests.Session) -> None:
    trace = "80f198ee56343ba864fe8b2a57d3eff7"
    sent = {
        "traceparent": f"00-{trace}-e457b5a2e4d86bd1-01",
        "tracestate": "vendor=1",
        "x_b3_traceid": trace,
        "x_b3_spanid": "e457b5a2e4d86bd1",
        "x_b3_sampled": "1",
    }
    seen = get_order(client, project, **sent)["user"]["headers"]
    assert seen["traceparent"].split("-")[1] == trace
    assert seen["tracestate"] == "vendor=1"
    assert (seen["x-b3-traceid"], seen["x-b3-sampled"]) == (trace, "1")


def test_a_request_without_an_id_is_given_one_that_reaches_the_last_service(
    project: Project, client: requests.Session
) -> None:
    ids = {get_order(client, project)["user"]["headers"]["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert {len(request_id) for request_id in ids} == {36}


def test_a_program_without_http_proxy_may_call_through_the_egress_listener(project: Project) -> None:
    program = """
from urllib.request import Request, urlopen
headers = {"Host": "user-service:9080", "end-user": "jason"}
print(urlopen(Request("http://127.0.0.1:9080/users/2", headers=headers)).read().decode())
"""
    printed = project.python("order-service-sidecar", program)
    assert "Grace" in printed
    assert '"version": "v2"' in printed


def test_who_shows_no_certificate_is_refused(project: Project) -> None:
    program = """
from http.client import HTTPConnection
connection = HTTPConnection("user-service-v1", 9080, timeout=10)
connection.request("GET", "/users/1")
try:
    print(connection.getresponse().status)
except ConnectionResetError:
    print("refused")
"""
    assert project.python("gateway", program).strip() == "refused"


def counted(client: requests.Session, project: Project, query: str) -> dict[str, float]:
    """The value of the one label that the query leaves → what Prometheus says."""
    answer = client.get(f"{project.prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
    return {next(iter(row["metric"].values()), ""): float(row["value"][1]) for row in answer["data"]["result"]}


def test_prometheus_has_what_the_sidecars_counted(
    project: Project, client: requests.Session, split: Counter[str]
) -> None:
    called = 'destination_service="user-service.default.svc.cluster.local",response_code="200"'
    source = f'reporter="source",source_workload="order-service",{called}'
    destination = f'reporter="destination",destination_workload=~"user-service-v.",{called}'
    for labels in (source, destination):
        query = f"sum by (destination_version) (istio_requests_total{{{labels}}})"
        rows: dict[str, float] = {}
        for _ in range(120):  # two scrapes are ten seconds apart at most
            rows = counted(client, project, query)
            if all(rows.get(version, 0) >= split[version] for version in ("v1", "v2")):
                break
            time.sleep(0.25)
        assert rows["v1"] >= split["v1"], query
        assert rows["v2"] >= split["v2"], query
    arrived = 'count by (connection_security_policy) (istio_requests_total{reporter="destination"})'
    assert set(counted(client, project, arrived)) == {"mutual_tls"}
    assert counted(client, project, "count by (job) (up == 1)") == {"sidecars": 5}


@pytest.fixture(scope="module")
def grpc_project(project: Project) -> Project:
    """The same, where Go can speak HTTP/2 without TLS."""
    if standins.go_version() < (1, 24):
        pytest.skip("LOUD SKIP: no gRPC: the stand-in for golang has this machine's Go, which is older than 1.24")
    return project


def test_an_answer_has_what_was_asked_over_grpc(grpc_project: Project, client: requests.Session) -> None:
    hosts = {str(container["service"]): str(container["Id"])[:12] for container in grpc_project.containers()}
    answers = [get_order(client, grpc_project)["stock"] for _ in range(50)]
    assert {answer.get("in_stock") for answer in answers} == {7}, answers
    assert {(answer["service"], answer["host"]) for answer in answers} == {
        ("inventory-service", hosts["inventory-service-v1"])
    }


def test_what_was_unavailable_over_grpc_was_asked_again(
    grpc_project: Project, client: requests.Session, split: Counter[str]
) -> None:
    called = 'destination_service="inventory-service.default.svc.cluster.local",request_protocol="grpc"'
    query = f'sum by (grpc_response_status) (istio_requests_total{{reporter="%s",response_code="200",{called}}})'
    for _ in range(120):  # as above
        sent = counted(client, grpc_project, query % "source")
        arrived = counted(client, grpc_project, query % "destination")
        if sent.get("0", 0) >= REQUESTS and arrived.get("0", 0) >= REQUESTS:
            break
        time.sleep(0.25)
    assert set(sent) == {"0"}
    assert sent["0"] >= REQUESTS
    assert set(arrived) == {"0", "14"}
    assert arrived["14"] >= REQUESTS / 10


def test_prometheus_has_the_alerts(project: Project, client: requests.Session) -> None:
    groups = client.get(f"{project.prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    rules = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert {"ProxyDown", "HostEjected", "CertificateExpiresSoon"} <= set(rules)
    assert set(rules.values()) <= {"ok", "unknown"}  # unknown: not looked at yet


def test_grafana_finds_its_dashboards_and_prometheus(project: Project, client: requests.Session) -> None:
    """LOUD: a stand-in is in Grafana's place (standins.py). This proves the mounts and addresses, not the drawing."""
    program = """
import json, pathlib, re, urllib.request
sources = pathlib.Path("/etc/grafana/provisioning/datasources/datasources.yaml").read_text()
providers = pathlib.Path("/etc/grafana/provisioning/dashboards/dashboards.yaml").read_text()
folder = pathlib.Path(re.search(r"path: (\\S+)", providers)[1])
found = {}
for url in re.findall(r"url: (\\S+)", sources):
    found[url] = urllib.request.urlopen(url + ("/-/ready" if "9090" in url else "/"), timeout=5).status
dashboards = [json.loads(path.read_text())["uid"] for path in sorted(folder.glob("*.json"))]
print(json.dumps({"sources": found, "dashboards": dashboards}))
"""
    found = json.loads(project.compose("exec", "-T", "grafana", "python3", "-c", program))
    assert found["sources"] == {"http://prometheus:9090": 200, "http://jaeger:16686": 200}
    assert found["dashboards"] == ["istio-mesh", "istio-performance", "istio-service", "istio-workload", "pyproxy"]
    for url in (project.grafana, project.jaeger):
        assert client.get(url, timeout=10).status_code == 200


def test_every_sidecar_sends_its_spans(project: Project, client: requests.Session) -> None:
    """LOUD: a stand-in is in Jaeger's place, which counts spans by service and keeps none."""
    get_order(client, project)
    get_order(client, project, end_user="jason")
    posted: dict[str, int] = {}
    for _ in range(60):  # spans are sent every few seconds
        posted = client.get(project.jaeger, timeout=10).json()
        if len(posted) == 4:
            break
        time.sleep(0.25)
    assert set(posted) == {
        f"{name}.default" for name in ("gateway", "order-service", "user-service", "inventory-service")
    }


def test_an_edited_route_is_taken_up_while_everything_runs(project: Project, client: requests.Session) -> None:
    document = project.config / "user-service.yaml"
    text = document.read_text()
    document.write_text(text.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 100"))
    assert document.read_text() != text
    streak = 0
    for _ in range(500):
        streak = streak + 1 if get_order(client, project)["user"]["version"] == "v2" else 0
        if streak == 50:
            return
        time.sleep(0.01)
    pytest.fail("v1 still answers")


def test_everything_stops_by_itself_when_asked_to(project: Project) -> None:
    project.compose("stop", timeout=60)
    codes = {container["service"]: container["State"]["ExitCode"] for container in project.containers()}
    assert set(codes.values()) == {0}, codes


def test_down_leaves_nothing(project: Project, client: requests.Session) -> None:
    project.down()
    assert project.leftovers() == []
    with pytest.raises(requests.ConnectionError):
        client.get(project.orders, timeout=5)
