"""`pyproxy export envoy` and a real Envoy: it takes what is written of every document that we have, and serves it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyproxy.cli.export import as_text
from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.tls import Certificates
from pyproxy.istio.loader import load
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.resources import Document
from pyproxy.snapshot.compile import compile_snapshot, identity_of
from pyproxy.snapshot.model import Identity, Listening, Snapshot
from pyproxy.snapshot.workloads import Workloads
from tests.certificates import Authority
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import EchoServer
from tests.ports import free_port
from tests.snapshot.documents import compiled, documents, entry, mesh, rules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
LAB = ROOT / "pyproxy" / "lab" / "documents"
FOLDERS = {
    "examples of every field": (ROOT / "tests" / "istio" / "examples",),
    "config": (ROOT / "config",),
    "lab": (LAB,),
    **{f"lab with {file.stem}": (LAB, file) for file in sorted((ROOT / "examples" / "documents").glob("*.yaml"))},
}


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with somebody's certificate."""
    return str(Authority().workload(tmp_path_factory.mktemp("certs")))


@dataclass(frozen=True)
class Exported:
    """One proxy's bootstrap."""

    name: str
    document: Any


def identities(found: tuple[Document, ...]) -> Iterator[tuple[str, Identity]]:
    """Everybody whom the documents know, and somebody whom they do not."""
    yield "nobody", Identity()
    for workload in Workloads(found).all:
        name = f"{workload.entry_name}.{workload.namespace}"
        yield name, identity_of(found, name)
    for document in found:
        if isinstance(document.spec, Gateway):
            labels = document.spec.selector
            yield f"gateway {document.name}", Identity(labels=labels, gateway=True, namespace=document.namespace)


def export_all(paths: tuple[Path, ...], address: str | None = None, certs: str = "") -> list[Exported]:
    loaded = load(paths)
    assert loaded.ok
    listening = Listening(address=address)
    process = Process(certificates=Certificates(certs, os.path.isfile))
    return [
        Exported(name, bootstrap(compile_snapshot(loaded.documents, identity, listening).snapshot, process))
        for name, identity in identities(loaded.documents)
    ]


@pytest.mark.parametrize("certified", [False, True], ids=["without a certificate", "with one"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_envoy_takes_the_bootstrap_of_every_proxy(
    folder: str, certified: bool, envoy_path: str, tmp_path: Path, certs: str
) -> None:
    exported = export_all(FOLDERS[folder], certs=certs if certified else "")
    for index, each in enumerate(exported):
        form = ("yaml", "json")[index % 2]
        file = tmp_path / f"envoy.{form}"
        file.write_text(as_text(each.document, form))
        command = [envoy_path, "--mode", "validate", "-c", str(file), "-l", "error"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{each.name}: {ran.stderr}"


@pytest.mark.parametrize("folder", ["examples of every field", "config", "lab"])
def test_envoy_serves_the_bootstrap_of_every_proxy(
    folder: str, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> None:
    for index, each in enumerate(export_all(FOLDERS[folder], "127.0.0.1")):
        document = elsewhere(each.document, tmp_path / str(index))
        names = {listener["name"] for listener in document["static_resources"]["listeners"]}
        envoy = serve(start_envoy, document)
        bound = json.loads(envoy.get_admin("/listeners?format=json"))["listener_statuses"]
        assert {listener["name"] for listener in bound} == names, each.name
        envoy.close()


def elsewhere(document: Any, sockets: Path, *stays: str) -> Any:
    """The same on free ports, but for listeners that stay where they are, and on sockets in a folder of the test's."""
    sockets.mkdir(exist_ok=True)
    for number, listener in enumerate(document["static_resources"]["listeners"]):
        if listener["name"] in stays:
            continue
        if "pipe" in listener["address"]:
            listener["address"]["pipe"]["path"] = str(sockets / str(number))
        else:
            listener["address"]["socket_address"]["port_value"] = 0
    return document


def serve(start_envoy: Callable[..., Envoy], document: Any) -> Envoy:
    rest = {name: value for name, value in document.items() if name not in ("static_resources", "admin")}
    static = document["static_resources"]
    return start_envoy(static["listeners"], static["clusters"], **rest)


# One mesh, asked in every way


WEB = "web.default.svc.cluster.local"


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def served(echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path_factory: pytest.TempPathFactory) -> Envoy:
    """The sidecar of a workload that calls services and is called."""
    log = tmp_path_factory.mktemp("export") / "access.log"
    endpoint = f"{{address: 127.0.0.1, ports: {{p80: {echo.port}, p5432: {echo.port}}}}}"
    texts = (
        entry(WEB, "80/HTTP", "5432/TCP", endpoints=endpoint),
        entry("127.0.0.1.sslip.test", "80/HTTP", resolution="NONE"),
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: own}\n"
        "spec: {address: 127.0.0.5, labels: {app: own}}",
        entry("own.com", f"{echo.port}/HTTP", more="workloadSelector: {labels: {app: own}}"),
        rules(
            "egress:\n"
            "- {port: {number: 6001, protocol: TCP, name: t}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}\n"
            "- {port: {number: 6002, name: a}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}\n"
            "- {port: {number: 5432, protocol: TCP, name: d}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}\n"
            "- {hosts: ['*/*']}",
            kind="Sidecar",
        ),
        mesh(f"accessLogFile: {log}\naccessLogFormat: '%REQ(:AUTHORITY)% %UPSTREAM_CLUSTER_RAW%'"),
    )
    found = documents("\n---\n".join(texts))
    at = Listening(address="127.0.0.1", outbound_port=free_port(), inbound_port=free_port())
    snapshot = compile_snapshot(found, identity_of(found, "own"), at).snapshot
    folder = tmp_path_factory.mktemp("sockets")
    return serve(start_envoy, elsewhere(bootstrap(snapshot, Process()), folder, "virtualOutbound", "virtualInbound"))


def ask(port: int, path: str = "/", **headers: str) -> tuple[int, Any]:
    """Status and body; what the echo saw as a mapping."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else body.decode()


@pytest.mark.parametrize("host", ["web", "WEB", "web:80", f"{WEB}:80", "web:1234"])
def test_a_request_addressed_to_the_outbound_port(host: str, served: Envoy) -> None:
    status, seen = ask(served.ports["virtualOutbound"], "/a?b=1", Host=host)
    assert (status, seen["target"]) == (200, "/a?b=1")
    assert ["host", host] in seen["headers"]


@pytest.mark.parametrize("listener", ["virtualOutbound", "http_proxy"])
def test_a_host_that_nobody_names_is_looked_up(listener: str, served: Envoy, echo: EchoServer) -> None:
    status, seen = ask(served.ports[listener], "/", Host=f"localhost:{echo.port}")
    assert (status, seen["method"]) == (200, "GET")


def test_a_request_through_the_http_proxy(served: Envoy) -> None:
    status, seen = ask(served.ports["http_proxy"], "http://web/a")
    assert (status, seen["target"]) == (200, "/a")


@pytest.mark.parametrize("target", ["web:80", f"{WEB}:5432", "localhost:{port}"])
def test_connect_through_the_http_proxy(target: str, served: Envoy, echo: EchoServer) -> None:
    to = target.format(port=echo.port)
    with socket.create_connection(("127.0.0.1", served.ports["http_proxy"]), timeout=10) as client:
        client.sendall(f"CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        client.sendall(b"GET /inside HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"target": "/inside"' in client.recv(65536)


@pytest.mark.parametrize("host", ["anything", "anything:{port}"])
def test_a_request_addressed_to_the_inbound_port(host: str, served: Envoy, echo: EchoServer) -> None:
    status, seen = ask(served.ports["virtualInbound"], "/in", Host=host.format(port=echo.port))
    assert (status, seen["target"]) == (200, "/in")


def test_bytes_pass_through_a_listener_for_tcp(served: Envoy) -> None:
    with socket.create_connection(("127.0.0.1", served.ports["127.0.0.1_5432"]), timeout=10) as client:
        client.sendall(b"GET /raw HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"target": "/raw"' in client.recv(65536)


def test_a_listener_that_leads_nowhere_closes(served: Envoy) -> None:
    with socket.create_connection(("127.0.0.1", served.ports["127.0.0.1_6001"]), timeout=10) as client:
        assert client.recv(1) == b""


def test_what_is_not_http_on_a_port_without_a_protocol(
    start_envoy: Callable[..., Envoy], echo: EchoServer, tmp_path: Path
) -> None:
    """Envoy knows no way back from a transport protocol that some chain names."""
    endpoint = f"{{address: 127.0.0.1, ports: {{p6002: {echo.port}}}}}"
    sidecar = rules(
        "egress:\n- {port: {number: 6002, name: a}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}\n"
        "- {hosts: ['*/*']}",
        kind="Sidecar",
    )
    snapshot = compiled(entry("web.com", "6002", endpoints=endpoint), sidecar, listening=Listening(address="127.0.0.1"))
    envoy = serve(start_envoy, elsewhere(bootstrap(snapshot, Process(admin_port=0)), tmp_path / "s"))
    with socket.create_connection(("127.0.0.1", envoy.ports["127.0.0.1_6002"]), timeout=10) as client:
        client.sendall(b"\x01 /raw bytes\r\nhost: x\r\n\r\n")
        assert b'"target": "/raw"' in client.recv(65536)
    envoy.close()


def test_statistics_have_istios_names(served: Envoy) -> None:
    ask(served.ports["virtualOutbound"], Host="web")
    page = served.get_admin("/stats/prometheus")
    assert f'envoy_cluster_upstream_rq_total{{cluster_name="outbound|80||{WEB}"}}' in page
    prefix = f"outbound_127.0.0.1_{served.ports['virtualOutbound']}"
    assert f'envoy_http_downstream_rq_total{{http_conn_manager_prefix="{prefix}"}}' in page


def test_the_ports_for_readiness_and_metrics(
    start_envoy: Callable[..., Envoy], envoy_path: str, tmp_path: Path
) -> None:
    snapshot: Snapshot = compiled(entry("web.com", "80/HTTP"), listening=Listening(address="127.0.0.1"))
    admin = free_port()
    document = elsewhere(bootstrap(snapshot, Process(admin_port=admin, status_address="127.0.0.1")), tmp_path / "s")
    envoy = start_envoy(
        document["static_resources"]["listeners"], document["static_resources"]["clusters"], admin=document["admin"]
    )
    assert ask(envoy.ports["status"], "/healthz/ready")[0] == 200
    assert "envoy_server_live" in ask(envoy.ports["metrics"], "/stats/prometheus")[1]
    assert ask(envoy.ports["status"], "/config_dump")[0] == 404
