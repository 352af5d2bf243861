"""Filters of access logs: expressions are true of the same requests here and in a real Envoy.

Both read the same documents: Envoy by way of `pyproxy export envoy`. Each expression has a file of its own.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.peers import Stream, until
from tests.pyproxy_process import PyproxyProcess
from tests.snapshot.documents import documents, entry, mesh, rules

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXPRESSIONS = (
    "response.code >= 400",
    "response.code == 404 || response.code == 418",
    "request.url_path == '/p'",
    "request.path == '/p?q=1'",
    "request.method == 'GET'",
    "request.host == 'web'",
    "request.query == 'q=1'",
    "request.scheme == 'http'",
    "request.protocol == 'HTTP/1.1'",
    "request.method",
    "response.flags > 0",
    "response.flags == 1024",
    "response.grpc_status == 12",
    "response.code_details == 'direct_response'",
    "has(response.code)",
    "has(response.backend_latency)",
    "has(response.headers.location)",
    "'location' in response.headers",
    "response.headers['location'] == '/there'",
    "request.headers['X-A'] == 'v'",
    "request.headers['x-m'] == 'a,b'",
    "request.headers[':path'] == '/p?q=1'",
    "request.headers[':authority'] == 'web'",
    "'x-a' in request.headers",
    "has(request.headers.foo)",
    "request.headers['no'] == 'x' || true",
    "request.headers['no'] == 'x' && true",
    "request.useragent == 'test'",
    "has(request.useragent)",
    "has(request.referer)",
    "request.id == request.headers['x-request-id']",
    "request.duration > duration('0s')",
    "request.duration > duration('1h')",
    "timestamp('2020-01-01T00:00:00Z') < request.time",
    "request.size == 0",
    "request.size == 3",
    "request.total_size > 0",
    "response.size > 0",
    "response.total_size > 20",
    "source.port > 0",
    "source.address.startsWith('127.0.0.1:')",
    "destination.address.contains(':')",
    "connection.mtls",
    "!connection.mtls",
    "connection.requested_server_name == ''",
    "has(connection.tls_version)",
    "has(connection.termination_details)",
    "has(upstream.address)",
    "has(upstream.port)",
    "upstream.address.startsWith('127.0.0.1:')",
    "has(upstream.transport_failure_reason)",
    "upstream.request_attempt_count == 1",
    "xds.listener_direction == 2",
    "has(xds.cluster_name)",
    "xds.cluster_name == 'outbound|80||dead.default.svc.cluster.local'",
    "xds.route_name == 'teapot'",
    "has(upstream_peer.app)",
    "has(filter_state.upstream_peer)",
    "request.method in ['GET', 'HEAD']",
    "request.url_path.matches('^/[a-p]$')",
    "request.url_path.endsWith('p') ? true : response.code == 418",
    "size(request.url_path) == 2",
    "int('12') == 12 && double('1.5') == 1.5",
    "-5 / 2 == -2 && -5 % 3 == -2",
    "1 + 1.0 == 2.0",
    "1 == 1.0",
    "'a' == 1",
    "null == null",
    "[1, 2][0] == 1",
    "9223372036854775807 + 1 > 0",
    "true && 'x' == 'x'",
    "1u < 2",
    r"'é' == '\u00e9'",
)
ALL = "source.port > 0"
REQUESTS = (
    "GET /p?q=1 HTTP/1.1\r\nhost: web\r\nx-a: v\r\nx-m: a\r\nx-m: b\r\nuser-agent: test\r\n\r\n",
    "POST /t HTTP/1.1\r\nhost: web\r\ncontent-length: 3\r\n\r\nabc",
    "GET /there HTTP/1.1\r\nhost: web\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: dead\r\n\r\n",
)


def mesh_text(folder: Path, dead: int) -> str:
    line = "logFormat: {text: '%REQ(:PATH)%'}"
    files = [
        f"{{name: p{number}, envoyFileAccessLog: {{path: {folder / str(number)}, {line}}}}}"
        for number in range(len(EXPRESSIONS))
    ]
    logs = [
        f"{{providers: [{{name: p{number}}}], filter: {{expression: {json.dumps(expression)}}}}}"
        for number, expression in enumerate(EXPRESSIONS)
    ]
    web = "hosts: [web]\nhttp:\n"
    web += "- {name: teapot, match: [{uri: {prefix: /t, }, method: {exact: POST}}], "
    web += "fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: web}}]}\n"
    web += "- {match: [{uri: {prefix: /there}}], redirect: {uri: /there}}\n"
    web += "- {directResponse: {status: 404, body: {string: nothing}}}"
    return "\n---\n".join(
        (
            entry("web.default.svc.cluster.local", "80/HTTP"),
            entry(
                "dead.default.svc.cluster.local", "80/HTTP", endpoints=f"{{address: 127.0.0.1, ports: {{p80: {dead}}}}}"
            ),
            rules(web),
            mesh(f"extensionProviders: [{', '.join(files)}]"),
            "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: istio-system}\n"
            f"spec: {{accessLogging: [{', '.join(logs)}]}}",
        )
    )


def test_each_is_true_of_the_same_requests(start_envoy: Callable[..., Envoy], tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and never listens
        dead = unused.getsockname()[1]
        ours, theirs = tmp_path / "pyproxy", tmp_path / "envoy"
        theirs.mkdir()
        (ours / "logs").mkdir(parents=True)
        at = Listening(address="127.0.0.1", outbound_port=0, http_proxy_port=None)
        snapshot = compile_snapshot(documents(mesh_text(theirs, dead)), Identity(), at).snapshot
        document: Any = bootstrap(snapshot, Process())
        static = document["static_resources"]
        listeners = [each for each in static["listeners"] if each["name"] == "virtualOutbound"]
        envoy = start_envoy(listeners, static["clusters"], node=document["node"])
        process = PyproxyProcess(ours / "run", mesh_text(ours / "logs", dead))
        for port in (envoy.ports["virtualOutbound"], process.outbound):
            for text in REQUESTS:
                ask(port, text)
        with suppress(AssertionError):  # both write once a second, each file by itself
            until(lambda: len(logged(theirs)[ALL]) == len(REQUESTS) and logged(theirs) == logged(ours / "logs"))
        process.close()
        envoy.close()
    found = logged(ours / "logs")
    assert found == logged(theirs)
    assert found["response.code >= 400"] == ["/p?q=1", "/t", "/"]


def logged(folder: Path) -> dict[str, list[str]]:
    """What was written for each expression."""
    files = {text: folder / str(number) for number, text in enumerate(EXPRESSIONS)}
    return {text: file.read_text().splitlines() if file.exists() else [] for text, file in files.items()}


def ask(port: int, text: str) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        stream = Stream(connection)
        stream.send(text.encode())
        head = stream.until(b"\r\n\r\n").lower()
        stream.exactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0))
