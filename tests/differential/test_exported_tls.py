"""Exported Envoys as ends of TLS: towards our own inbound port, and as a gateway for strangers."""

from __future__ import annotations

import asyncio
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.tls import Certificates
from pyproxy.snapshot.model import Listening, Snapshot
from tests.certificates import PRODUCTPAGE, REVIEWS, Issued
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import EchoServer
from tests.in_process import port_of
from tests.inbound_side import MESH, workload
from tests.snapshot.documents import compiled, entry, rules
from tests.snapshot.test_gateways import DOOR, gateway, named

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
StartEnvoy = Callable[..., Envoy]


def serve(start_envoy: StartEnvoy, snapshot: Snapshot, certs: str, listener: str) -> tuple[Envoy, int]:
    """An Envoy with one listener of the export, and the port that it chose."""
    static: Any = bootstrap(snapshot, Process(certificates=Certificates(certs)))["static_resources"]
    listeners = [each for each in static["listeners"] if each["name"] == listener]
    envoy = start_envoy(listeners, static["clusters"])
    return envoy, envoy.ports[listener]


@pytest.mark.parametrize(
    ("account", "rule", "status"),
    [
        ("reviews", "", 200),
        ("reviews", "tls: {mode: ISTIO_MUTUAL}", 200),
        ("somebody", "", 503),
        ("reviews", "tls: {mode: DISABLE}", 503),
    ],
)
async def test_an_exported_client_speaks_mutual_tls_to_us(
    account: str, rule: str, status: int, tmp_path: Path, start_envoy: StartEnvoy
) -> None:
    async with workload(tmp_path, "STRICT") as side:
        port = port_of(side.app, "virtualInbound")
        endpoint = f"{{address: 127.0.0.1, ports: {{p80: {port}}}, serviceAccount: {account}}}"
        texts = [entry("reviews.mesh", "80/HTTP", endpoints=endpoint)]
        if rule:
            texts.append(rules(f"host: reviews.mesh\ntrafficPolicy: {{{rule}}}", kind="DestinationRule"))
        snapshot = compiled(*texts, listening=Listening(address="127.0.0.1", outbound_port=0))
        certs = MESH.workload(tmp_path / "client", PRODUCTPAGE)
        envoy, outbound = serve(start_envoy, snapshot, str(certs), "virtualOutbound")
        assert await asyncio.to_thread(asked, outbound) == status
        envoy.close()
        heard = side.application.began
    assert (PRODUCTPAGE.encode() in heard[0] and REVIEWS.encode() in heard[0]) if status == 200 else heard == []


def asked(port: int) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "reviews.mesh"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


def write_credential(folder: Path, name: str, issued: Issued) -> None:
    own = folder / "credentials" / name
    own.mkdir(parents=True)
    for file, content in (("tls.crt", issued.pem), ("tls.key", issued.key_pem), ("ca.crt", MESH.root_pem)):
        (own / file).write_bytes(content)


@pytest.fixture(scope="module")
def door(echo: EchoServer, start_envoy: StartEnvoy, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The port of a gateway with two HTTPS servers, one that asks for certificates, and one that passes TLS on."""
    certs = tmp_path_factory.mktemp("certs")
    for name in ("a", "b"):
        write_credential(certs, name, MESH.issue(f"{name}.com"))
    servers = (
        named("a.com", "a", "mode: SIMPLE, credentialName: a")
        + named("b.com", "b", "mode: MUTUAL, credentialName: b")
        + named("c.com", "c", "mode: PASSTHROUGH", "TLS")
        + named("d.com", "d", "mode: SIMPLE, credentialName: none")
    )
    endpoint = f"{{address: 127.0.0.1, ports: {{p80: {echo.port}}}}}"
    snapshot = compiled(
        entry("web.com", "80/HTTP", endpoints=endpoint),
        gateway(servers),
        rules("hosts: [a.com, b.com]\ngateways: [door]\nhttp:\n- route: [{destination: {host: web.com}}]"),
        rules(
            "hosts: [c.com]\ngateways: [door]\ntls:\n- match: [{sniHosts: [c.com]}]\n"
            "  route: [{destination: {host: web.com}}]",
            "passed",
        ),
        identity=DOOR,
        listening=Listening(address="127.0.0.1", certs=str(certs)),
    )
    exists = Certificates(exists=lambda file: "none" not in file)
    static: Any = bootstrap(snapshot, Process(certificates=exists))["static_resources"]
    listeners = [each for each in static["listeners"] if each["name"] == "127.0.0.1_8443"]
    listeners[0]["address"]["socket_address"]["port_value"] = 0
    return start_envoy(listeners, static["clusters"]).ports["127.0.0.1_8443"]


def over_tls(port: int, name: str, shown: Path | None = None) -> bytes:
    """The answer to a request; empty when there is none."""
    context = ssl.create_default_context(cadata=MESH.root_pem.decode())
    if shown is not None:
        context.load_cert_chain(shown)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname=name) as client,
        ):
            client.sendall(b"GET / HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % name.encode())
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
            return answer
    except OSError:
        return b""


def test_a_gateways_server_is_chosen_by_name(door: int) -> None:
    assert over_tls(door, "a.com").startswith(b"HTTP/1.1 200")


def test_a_certificate_that_is_asked_for_is_told_to_the_service(door: int, tmp_path: Path) -> None:
    issued = MESH.issue(PRODUCTPAGE)
    shown = tmp_path / "shown.pem"
    shown.write_bytes(issued.pem + issued.key_pem)

    assert over_tls(door, "b.com") == b""
    answer = over_tls(door, "b.com", shown)
    assert answer.startswith(b"HTTP/1.1 200")
    assert f"URI={PRODUCTPAGE}".encode() in answer


def test_whose_files_are_not_there_answers_nobody(door: int) -> None:
    assert over_tls(door, "d.com") == over_tls(door, "nobody.com") == b""


def test_tls_is_passed_on_as_it_came(door: int, echo: EchoServer) -> None:
    """The service does not speak TLS: what it hears is a ClientHello, and it waits for the end of a request's head."""
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", door), timeout=10) as raw:
        raw.settimeout(0.5)
        with pytest.raises(TimeoutError):
            context.wrap_socket(raw, server_hostname="c.com")
