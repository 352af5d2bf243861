"""Who may do what, by the certificate that is shown: a real Envoy with the exported chains and filters beside ours."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.tls import Certificates
from pyproxy.istio.loader import load
from pyproxy.snapshot.compile import compile_snapshot
from pyproxy.snapshot.model import Identity, Listening
from tests.certificates import PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.differential.envoy_process import Envoy
from tests.differential.routing_sides import EchoServer
from tests.in_process import worker
from tests.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Authority("mesh")
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
CALLERS: dict[str, Issued | None] = {
    "plaintext": None,
    "productpage": ROOT.issue(PRODUCTPAGE),
    "another account": ROOT.issue("spiffe://cluster.local/ns/default/sa/productpage-2"),
    "another namespace": ROOT.issue("spiffe://cluster.local/ns/shop/sa/productpage"),
    "an alias": ROOT.issue("spiffe://old.domain/ns/default/sa/productpage"),
    "with a DNS name": ROOT.issue(PRODUCTPAGE, "web.example.com"),
    "with a subject": ROOT.issue("spiffe://cluster.local/ns/default/sa/x", subject=SUBJECT),
    "more in the path": ROOT.issue("spiffe://cluster.local/a/b/ns/default/c/d/sa/productpage/e"),
}
SOURCES: Sequence[dict[str, list[str]]] = [
    {"principals": ["*"]},
    {"principals": ["cluster.local/ns/default/sa/productpage"]},
    {"principals": ["old.domain/ns/default/sa/productpage"]},
    {"principals": ["else.where/ns/default/sa/productpage"]},
    {"principals": ["cluster.local/ns/default/*"]},
    {"principals": ["*/sa/productpage"]},
    {"principals": ["*.example.com"]},
    {"principals": ["CN=somebody"]},
    {"principals": ["*somebody"]},
    {"notPrincipals": ["*"]},
    {"notPrincipals": ["cluster.local/ns/default/sa/productpage"]},
    {"principals": ["*"], "notPrincipals": ["*/productpage"]},
    {"namespaces": ["default"]},
    {"namespaces": ["def*", "*op"]},
    {"namespaces": ["*"]},
    {"notNamespaces": ["default"]},
    {"serviceAccounts": ["productpage"]},
    {"serviceAccounts": ["shop/productpage"]},
    {"notServiceAccounts": ["default/productpage"]},
    {"trustDomains": ["cluster.local"]},
    {"trustDomains": ["old*"]},
    {"trustDomains": ["*"]},
    {"notTrustDomains": ["*.domain"]},
    {"trustDomains": ["*.local"], "notNamespaces": ["shop"]},
]
CONDITIONS: Sequence[dict[str, Any]] = [
    {"key": "connection.sni", "values": ["reviews"]},
    {"key": "connection.sni", "notValues": ["*"]},
    {"key": "source.principal", "values": ["cluster.local/ns/default/sa/productpage"]},
    {"key": "source.namespace", "notValues": ["shop"]},
]
RULES = [
    *({"from": [{"source": source}], "to": [{"operation": {"paths": [f"/s{n}"]}}]} for n, source in enumerate(SOURCES)),
    *({"when": [each], "to": [{"operation": {"paths": [f"/c{n}"]}}]} for n, each in enumerate(CONDITIONS)),
]
PATHS = [f"/s{number}" for number in range(len(SOURCES))] + [f"/c{number}" for number in range(len(CONDITIONS))]


def mesh(port: int, echo: int) -> str:
    found = [
        {
            "apiVersion": "install.istio.io/v1alpha1",
            "kind": "IstioOperator",
            "spec": {"meshConfig": {"trustDomainAliases": ["old.domain"]}},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": {"name": "s"},
            "spec": {
                "ingress": [
                    {
                        "port": {"number": port, "name": "http", "protocol": "HTTP"},
                        "bind": "127.0.0.1",
                        "captureMode": "NONE",
                        "defaultEndpoint": f"127.0.0.1:{echo}",
                    }
                ]
            },
        },
        {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "p"},
            "spec": {"rules": RULES},
        },
    ]
    return "\n---\n".join(json.dumps(each) for each in found)


def statuses(port: int, folder: Path, caller: Issued | None) -> list[str]:
    """What a caller is answered, path by path; one word when there is no connection."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            if caller is None:
                return [status(raw, path) for path in PATHS]
            context = ssl.create_default_context(cadata=ROOT.root_pem.decode())
            context.check_hostname = False
            (folder / "shown.pem").write_bytes(caller.pem + caller.key_pem)
            context.load_cert_chain(folder / "shown.pem")
            context.set_alpn_protocols(["istio-http/1.1", "istio", "http/1.1"])
            with context.wrap_socket(raw, server_hostname="reviews") as secured:
                return [status(secured, path) for path in PATHS]
    except OSError:
        return ["refused"]


def status(client: socket.socket, path: str) -> str:
    client.sendall(f"HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        chunk = client.recv(65536)
        if not chunk:
            raise ConnectionError
        answer += chunk
    return answer.split(b" ")[1].decode()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


def test_every_caller_is_judged_alike(echo: EchoServer, start_envoy: Callable[..., Envoy], tmp_path: Path) -> None:
    there, here = free_port(), free_port()
    certs = ROOT.workload(tmp_path / "certs", REVIEWS)
    file = tmp_path / "mesh.yaml"
    file.write_text(mesh(there, echo.port))
    loaded = load([file])
    assert loaded.ok, [str(problem) for problem in loaded.problems if problem.severity == "error"]
    snapshot = compile_snapshot(loaded.documents, Identity(), Listening(address="127.0.0.1")).snapshot
    document: Any = bootstrap(snapshot, Process(admin_port=0, certificates=Certificates(str(certs))))
    static = document["static_resources"]
    listeners = [each for each in static["listeners"] if each["name"].endswith(f"_{there}")]
    start_envoy(listeners, static["clusters"], node=document["node"])
    theirs = {name: statuses(there, tmp_path, caller) for name, caller in CALLERS.items()}
    ours = asyncio.run(ask_ours(tmp_path, mesh(here, echo.port), certs, here))
    asked = [*SOURCES, *CONDITIONS]
    different = {
        f"{name} under {asked[number]}": (expected, found)
        for name in CALLERS
        for number, (expected, found) in enumerate(zip(theirs[name], ours[name], strict=True))
        if expected != found
    }
    assert different == {}, "who under what: Envoy's, ours"
    assert {status for found in theirs.values() for status in found} == {"200", "403"}


async def ask_ours(folder: Path, text: str, certs: Path, port: int) -> dict[str, list[str]]:
    own = folder / "own"
    own.mkdir()
    async with worker(own, text, certs=certs):
        return {name: await asyncio.to_thread(statuses, port, folder, caller) for name, caller in CALLERS.items()}
