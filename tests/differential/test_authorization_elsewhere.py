"""AuthorizationPolicy at a gateway, and on connections that are not HTTP: Envoy with the exported filters beside us."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyproxy.app import App
from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.istio.loader import load
from pyproxy.settings import Settings
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import LOG_FIELDS, EchoServer, Side
from tests.differential.test_authorization import ask, portless
from tests.in_process import worker
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

TOPOLOGY = "gatewayTopology: {numTrustedProxies: 1}, tracing: {sampling: 0}"
GATEWAY = """
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec: {meshConfig: {accessLogFile: LOG, accessLogEncoding: JSON, accessLogFormat: 'FIELDS', defaultConfig: {TOPOLOGY}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec:
  selector: {istio: ingress}
  servers:
  - {port: {number: PORT, name: http, protocol: HTTP}, hosts: ['x.test']}
  - {port: {number: PORT, name: http2, protocol: HTTP}, hosts: ['s.test'], tls: {httpsRedirect: true}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [x.test]
  gateways: [g]
  http:
  - match: [{uri: {prefix: /redirect}}]
    redirect: {uri: /elsewhere}
    headers: {response: {set: {x-route: r}}}
  - match: [{uri: {prefix: /direct}}]
    directResponse: {status: 201, body: {string: hi}}
    headers: {response: {set: {x-route: d}}}
  - match: [{uri: {prefix: /fault}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: echo.test}}]
    headers: {response: {set: {x-route: f}}}
    corsPolicy: {allowOrigins: [{exact: "http://o"}]}
  - match: [{uri: {prefix: /a}}]
    route: [{destination: {host: echo.test}, headers: {response: {set: {x-dest: d}}}}]
    headers: {response: {set: {x-route: a}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e}
spec:
  hosts: [echo.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: ECHO}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec:
  action: DENY
  rules:
  - when: [{key: "request.headers[x-deny]", values: ["*"]}]
  - from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]
  - from: [{source: {notIpBlocks: [127.0.0.0/8]}}]
  - to: [{operation: {ports: ["PORT"], paths: ["*/port"]}}]
""".replace("FIELDS", json.dumps(LOG_FIELDS)).replace("TOPOLOGY", TOPOLOGY)
CORS = ("origin: http://o", "access-control-request-method: GET")
REQUESTS = [
    ask(path, method, host, *lines)
    for path, method, host, lines in itertools.product(
        ("/redirect", "/direct", "/fault", "/a", "/none", "/a/port", "/redirect/port"),
        ("GET", "OPTIONS"),
        ("x.test", "s.test", "n.test"),
        (
            (),
            ("x-deny: 1",),
            ("x-deny: 1", *CORS),
            CORS,
            ("x-forwarded-for: 10.1.1.1",),
            ("x-forwarded-for: 10.1.1.1, 9.9.9.9",),
            ("x-forwarded-for: 9.9.9.9, 10.1.1.1",),
        ),
    )
]
OWN_ADDRESS = "upstream header x-forwarded-for"
"""Envoy puts its machine's address in the place of a loopback peer's."""


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


def exported(text: str, folder: Path, identity: Identity, port: int) -> tuple[list[Any], list[Any], Any]:
    """The listener at a port, clusters, and the node."""
    file = folder / "exported.yaml"
    file.write_text(text)
    loaded = load([file])
    assert loaded.ok, [str(problem) for problem in loaded.problems if problem.severity == "error"]
    document: Any = bootstrap(
        compile_snapshot(loaded.documents, identity, Listening(address="127.0.0.1")).snapshot, Process(admin_port=0)
    )
    static = document["static_resources"]
    listeners = [each for each in static["listeners"] if each["name"].endswith(f"_{port}")]
    return listeners, static["clusters"], document["node"]


def test_a_gateway_denies_before_it_redirects_answers_fails_or_routes(
    echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> None:
    there, here = free_port(), free_port()

    def mesh(port: int, log: Path) -> str:
        return GATEWAY.replace("PORT", str(port)).replace("ECHO", str(echo.port)).replace("LOG", str(log), 1)

    identity = Identity(labels={"istio": "ingress"}, gateway=True)
    listeners, clusters, node = exported(mesh(there, tmp_path / "envoy.log"), tmp_path, identity, there)
    start_envoy(listeners, clusters, node=node)
    raw = [
        (f"case-{number}", f"{each}\r\nx-case: case-{number}\r\n\r\n".encode()) for number, each in enumerate(REQUESTS)
    ]
    theirs, ours = Side(there, tmp_path / "envoy.log"), Side(here, tmp_path / "own.log")
    theirs.ask_all(raw)
    own = tmp_path / "own"
    own.mkdir()
    (own / "mesh.yaml").write_text(mesh(here, tmp_path / "own.log"))
    asyncio.run(ask_gateway(own, ours, raw))
    different = {
        request: found
        for request, (identifier, _) in zip(REQUESTS, raw, strict=True)
        if (
            found := [
                each
                for each in portless(theirs.outcomes[identifier], there).differences(
                    portless(ours.outcomes[identifier], here)
                )
                if each[0] != OWN_ADDRESS
            ]
        )
    }
    assert different == {}, "request: what differs, Envoy's, ours"
    statuses = {outcome.status.split(" ")[1] for outcome in ours.outcomes.values()}
    assert {"200", "201", "301", "403", "404", "418"} <= statuses


async def ask_gateway(folder: Path, side: Side, raw: list[tuple[str, bytes]]) -> None:
    ports: Any = dict.fromkeys(("admin_port", "status_port", "metrics_port"), 0)
    app = App(Settings(config=(folder,), address="127.0.0.1", gateway=True, labels={"istio": "ingress"}, **ports))
    await app.start()
    try:
        asking = asyncio.create_task(asyncio.to_thread(side.ask_all, raw))
        while not asking.done():
            await asyncio.sleep(0.02)
            if app.env.access_log is not None:
                app.env.access_log.flush()
        await asking
    finally:
        await app.shut_down()


# Connections

TCP = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: s}
spec:
  ingress:
  - port: {number: PORT, name: tcp, protocol: TCP}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:ECHO
  egress: [{hosts: ['*/*']}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p}
spec: {SPEC}
"""
POLICIES = {
    "nothing allowed": "",
    "everything allowed": "rules: [{}]",
    "its port allowed": "rules: [{to: [{operation: {ports: ['PORT']}}]}]",
    "another port allowed": "rules: [{to: [{operation: {ports: ['1']}}]}]",
    "a method allowed": "rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {ports: ['1']}}]}]",
    "a path denied": "action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]",
    "a path on another port denied": "action: DENY, rules: [{to: [{operation: {paths: [/a], ports: ['1']}}]}]",
    "an address denied": "action: DENY, rules: [{from: [{source: {ipBlocks: [127.0.0.1]}}]}]",
    "a client denied": "action: DENY, rules: [{from: [{source: {remoteIpBlocks: [127.0.0.0/8]}}]}]",
    "another address denied": "action: DENY, rules: [{from: [{source: {notIpBlocks: [127.0.0.1]}}]}]",
    "who is nobody denied": "action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]",
    "a header denied": "action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]",
    "a token denied": "action: DENY, rules: [{from: [{source: {requestPrincipals: ['*'], namespaces: [a]}}]}]",
    "a server name denied": "action: DENY, rules: [{when: [{key: connection.sni, notValues: ['*']}]}]",
    "an unknown authorizer": "action: CUSTOM, provider: {name: nobody}, rules: [{}]",
    "audited": "action: AUDIT, rules: [{}]",
}


def test_connections_are_judged_and_counted_alike(
    echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path: Path
) -> None:
    found = {}
    ports = [free_port() for _ in range(2 * len(POLICIES))]
    for (name, spec), there, here in zip(POLICIES.items(), ports[::2], ports[1::2], strict=True):
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()

        def mesh(port: int, spec: str = spec) -> str:
            return TCP.replace("SPEC", spec).replace("PORT", str(port)).replace("ECHO", str(echo.port))

        listeners, clusters, node = exported(mesh(there), tmp_path, Identity(), there)
        envoy = start_envoy(listeners, clusters, node=node)
        theirs = spoken(there), counted(envoy.get_admin("/stats?filter=^tcp.rbac"))
        envoy.close()
        found[name] = (theirs, asyncio.run(ask_sidecar(folder, mesh(here), here)))
    different = {name: both for name, both in found.items() if both[0] != both[1]}
    assert different == {}, "policy: (let through, counts): Envoy's, ours"
    assert {answered for (answered, _), _ in found.values()} == {True, False}


def spoken(port: int) -> bool:
    """Whether an answer comes through."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            return bool(client.recv(65536))
        except ConnectionError:  # closed with our bytes unread
            return False


def counted(stats: str) -> dict[str, int]:
    lines = (line.partition(": ") for line in stats.splitlines())
    return {name: int(value) for name, _, value in lines if int(value)}


async def ask_sidecar(folder: Path, text: str, port: int) -> tuple[bool, dict[str, int]]:
    async with worker(folder, text) as app:
        answered = await asyncio.to_thread(spoken, port)
        stats = app.tcp_stats
        counts = {"tcp.rbac.allowed": stats.rbac_allowed, "tcp.rbac.denied": stats.rbac_denied}
        return answered, {name: count for name, count in counts.items() if count}
