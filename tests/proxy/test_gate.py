"""At the gate: who is let in, what is counted, what is logged. Single verdicts: tests/policy/test_rbac.py."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.core.tls import Peer
from pyproxy.proxy.environment import ClientConnection
from pyproxy.proxy.gate import connection_facts
from pyproxy.runtime.counters import HttpStats
from pyproxy.settings import Settings
from pyproxy.snapshot.model import HttpSettings, Listener, ListenerKind
from tests.in_process import connected, get, header, status, until, upstream, worker

LOG = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% %UPSTREAM_CLUSTER_RAW%"
TCP_LOG = "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% %UPSTREAM_CLUSTER_RAW%"


def mesh(log: Path, form: str = LOG) -> str:
    return f"""
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec: {{meshConfig: {{accessLogFile: {log}, accessLogFormat: "{form}\\n"}}}}
"""


def policy(name: str, spec: str, *, dry_run: bool = False) -> str:
    return f"""
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, annotations: {{"istio.io/dry-run": "{str(dry_run).lower()}"}}}}
spec: {{{spec}}}
"""


def denying(path: str, more: str = "") -> str:
    return f"action: DENY, rules: [{{to: [{{operation: {{paths: [{path}]{more}}}}}]}}]"


def workload(*ports: int, protocol: str = "HTTP") -> str:
    """Services on these ports of the workload that the proxy stands beside."""
    services = "".join(
        f"""
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app-{port}}}
spec:
  hosts: [app-{port}]
  resolution: STATIC
  ports: [{{number: {port}, name: main, protocol: {protocol}}}]
  workloadSelector: {{labels: {{app: app}}}}
"""
        for port in ports
    )
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: app}}
spec: {{address: 127.0.0.1, labels: {{app: app}}}}
{services}"""


async def logged(log: Path) -> str:
    await until(lambda: log.exists() and log.read_text().endswith("\n"))
    return log.read_text()


async def test_who_is_denied_gets_a_403_that_says_no_more_and_the_log_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with (
        upstream() as there,
        worker(tmp_path, workload(there.port), mesh(log), policy("p", denying("/secret"))) as app,
        connected(app, "virtualInbound") as client,
    ):
        denied = await client.ask(get("/secret?x"))
        allowed = await client.ask(get("/other"))
        stats = app.http_stats["inbound_0.0.0.0_15006"]
        assert (status(denied), denied.partition(b"\r\n\r\n")[2]) == (403, b"RBAC: access denied")
        assert header(denied, b"content-type") == b"text/plain"
        assert status(allowed) == 200
        assert (stats.rbac_denied, stats.rbac_allowed) == (1, 1)
        assert there.heads[0].startswith(b"GET /other ")
        lines = (await logged(log)).splitlines()
    cluster = f"inbound|{there.port}||"
    assert lines == [
        f"/secret?x 403 - rbac_access_denied_matched_policy[ns[default]-policy[p]-rule[0]] default {cluster}",
        f"/other 200 - via_upstream default {cluster}",
    ]


async def test_requests_out_of_the_workload_do_not_pass_the_gate(tmp_path: Path) -> None:
    documents = workload(1), policy("p", "")
    async with worker(tmp_path, *documents) as app, connected(app) as client:
        assert status(await client.ask(get("/", "app-1"))) != 403


async def test_a_port_is_the_workloads_own_however_the_request_came(tmp_path: Path) -> None:
    """By name the Host chooses the port; what is denied there must be denied."""
    async with (
        upstream() as one,
        upstream() as other,
        worker(
            tmp_path, workload(one.port, other.port), policy("p", denying("'*'", f", ports: ['{other.port}']"))
        ) as app,
        connected(app, "virtualInbound") as client,
    ):
        assert status(await client.ask(get("/", f"x:{one.port}"))) == 200
        assert status(await client.ask(get("/", f"x:{other.port}"))) == 403
        assert other.heads == []


async def test_grpc_is_denied_in_its_own_way(tmp_path: Path) -> None:
    async with (
        worker(tmp_path, workload(1), policy("p", "")) as app,
        connected(app, "virtualInbound") as client,
    ):
        answer = await client.ask(get("/", "x", "content-type: application/grpc", method="POST"))
        assert status(answer) == 200
        assert header(answer, b"grpc-status") == b"7"
        assert header(answer, b"grpc-message") == b"RBAC: access denied"


async def test_what_is_tried_out_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pyproxy.rbac")
    documents = policy("d", denying("/a"), dry_run=True), policy("a", "", dry_run=True)
    async with (
        upstream() as there,
        worker(tmp_path, workload(there.port), *documents) as app,
        connected(app, "virtualInbound") as client,
    ):
        assert status(await client.ask(get("/a"))) == 200
        stats = app.http_stats["inbound_0.0.0.0_15006"]
        assert (stats.rbac_allowed, stats.rbac_denied) == (0, 0)
        assert stats.rbac_istio_dry_run_deny_shadow_denied == 1
        assert stats.rbac_istio_dry_run_allow_shadow_denied == 1
    told = [record.getMessage().partition(": ")[2] for record in caplog.records if record.name == "pyproxy.rbac"]
    assert told == [
        "dry run DENY would have denied it, matched policy ns[default]-policy[d]-rule[0]",
        "dry run ALLOW would have denied it, matched policy none",
    ]


async def test_at_a_gateway_what_has_no_route_is_denied_before_that_is_said(tmp_path: Path) -> None:
    gateway = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec:
  selector: {istio: ingress}
  servers: [{port: {number: 18917, name: http, protocol: HTTP}, hosts: ['x.test']}]
"""
    (tmp_path / "documents.yaml").write_text(gateway + policy("p", denying("/secret")))
    ports = dict.fromkeys(("admin_port", "status_port", "metrics_port"), 0)
    app = App(Settings(config=(tmp_path,), address="127.0.0.1", gateway=True, labels={"istio": "ingress"}, **ports))  # type: ignore[arg-type]
    await app.start()
    try:
        async with connected(app, "127.0.0.1_18917") as client:
            assert status(await client.ask(get("/secret", "x.test"))) == 403
            assert status(await client.ask(get("/other", "x.test"))) == 404
    finally:
        await app.shut_down()


async def test_a_connection_that_is_denied_never_reaches_the_workload(tmp_path: Path) -> None:
    log = tmp_path / "log"
    called = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal called
        called += 1
        writer.close()

    ingress = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s}
spec:
  ingress:
  - {port: {number: 18918, name: tcp, protocol: TCP}, defaultEndpoint: "127.0.0.1:%d", captureMode: NONE}
"""
    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        documents = ingress % port, mesh(log, TCP_LOG), policy("p", "rules: [{to: [{operation: {ports: ['1']}}]}]")
        async with worker(tmp_path, *documents) as app, connected(app, "127.0.0.1_18918") as client:
            assert await client.rest() == b""
            assert (app.tcp_stats.rbac_denied, app.tcp_stats.rbac_allowed) == (1, 0)
            assert await logged(log) == "- rbac_access_denied_matched_policy[none] inbound|18918||\n"
    assert called == 0


def test_what_is_known_of_a_connection() -> None:
    listener = Listener("x", ListenerKind.NAMED, "127.0.0.1", 1, HttpSettings(), workload_port=9080)
    connection = ClientConnection(
        listener,
        HttpSettings(),
        HttpStats(),
        local_address="[fd00::1]:8080",
        local_port=8080,
        remote_ip="10.0.0.1",
    )
    connection.tls = Peer(uri_sans=("spiffe://a",), dns_sans=("b",), subject="CN=c")
    facts = connection_facts(connection)
    assert facts.names == ("spiffe://a", "b", "CN=c")
    assert (facts.direct_ip, facts.remote_ip) == ("10.0.0.1", "10.0.0.1")
    assert (facts.destination_ip, facts.destination_port) == ("fd00::1", 9080)
    connection.original_destination = ("10.0.0.9", 80)
    captured = connection_facts(connection)
    assert (captured.destination_ip, captured.destination_port) == ("10.0.0.9", 80)
