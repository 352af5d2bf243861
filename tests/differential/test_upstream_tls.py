"""TLS towards services: what a client gets, what the access log says and what is counted, as with a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyproxy.runtime.counters import ClusterStats
from tests import peers
from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.differential.envoy_process import EXTENSIONS, Envoy, http_listener, loopback
from tests.in_process import connected, get, policy, rules, service, status, until, worker

pytestmark = pytest.mark.integration
MESH, OTHER = Authority("mesh"), Authority("somebody else")
RATINGS = "spiffe://cluster.local/ns/default/sa/ratings"
FORMAT = (
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %UPSTREAM_PEER_URI_SAN%"
)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
STATS = ("ssl.handshake", "ssl.connection_error", "ssl.fail_verify_error", "ssl.fail_verify_san")


@dataclass(frozen=True)
class Case:
    """One server, and how it is asked for."""

    name: str
    issued: Issued | None = None
    """Its certificate; None: `bytes` is what it answers to whatever it reads."""
    answer: bytes = b""
    trusts: Authority = MESH
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    by_host: bool = False
    """SNI and expected name come from the request; else REVIEWS is expected."""
    stays: bool = True
    """It leaves the end of the connection to the proxy."""

    @property
    def host(self) -> str:
        return f"{self.name}.example.com"


CASES = (
    Case("good", MESH.issue(REVIEWS)),
    Case("intermediate", Authority("intermediate", MESH).issue(REVIEWS)),
    Case("old-tls", MESH.issue(REVIEWS), version=ssl.TLSVersion.TLSv1_2),
    Case("another-name", MESH.issue(RATINGS, "reviews.example.com")),
    Case("no-name", MESH.issue()),
    Case("another-root", OTHER.issue(REVIEWS)),
    Case("expired", MESH.issue(REVIEWS, start=-3 * HOUR, end=-HOUR)),
    Case("tomorrow", MESH.issue(REVIEWS, start=HOUR, end=2 * HOUR)),
    Case("refuses-us", MESH.issue(REVIEWS), trusts=OTHER, version=ssl.TLSVersion.TLSv1_2),
    Case("refuses-us-later", MESH.issue(REVIEWS), trusts=OTHER),
    Case("tls11", answer=b"\x15\x03\x02\x00\x02\x02\x46"),
    Case("no-cipher", answer=b"\x15\x03\x03\x00\x02\x02\x28"),
    Case("plaintext", answer=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    Case("leaves", stays=False),
    Case("by-host", MESH.issue("by-host.example.com"), by_host=True),
    Case("by-wildcard", MESH.issue("*.example.com"), by_host=True),
    Case("by-host-and-not-it", MESH.issue("a.example.com", REVIEWS, "10.0.0.1"), by_host=True),
)


class Server:
    """A thread for each connection, so that alerts leave as OpenSSL sends them."""

    def __init__(self, case: Case, folder: Path) -> None:
        self._case = case
        self._context = self._make_context(folder) if case.issued is not None else None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _make_context(self, folder: Path) -> ssl.SSLContext:
        case = self._case
        assert case.issued is not None
        MESH.write(folder, case.issued)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
        context.maximum_version = case.version
        context.load_verify_locations(cadata=case.trusts.root_pem.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        accepted.settimeout(20)
        with contextlib.suppress(OSError), accepted:
            if self._context is None:
                accepted.recv(4096)
                accepted.sendall(self._case.answer)
                raw = accepted
            else:
                tls = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
                with contextlib.suppress(ssl.SSLError):
                    tls.do_handshake()
                    tls.recv(4096)
                    tls.sendall(OK)
                raw = socket.socket(fileno=tls.detach())
            with raw:
                raw.settimeout(20)
                while self._case.stays and raw.recv(4096):  # a close or a reset would overtake what was sent
                    pass


@dataclass
class Told:
    """What one proxy made of one case."""

    status: int = 0
    body: bytes = b""
    line: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    made = {case.name: Server(case, tmp_path_factory.mktemp(case.name)) for case in CASES}
    yield {name: server.port for name, server in made.items()}
    for server in made.values():
        server.close()


def envoy_cluster(case: Case, port: int, certs: Path) -> dict[str, Any]:
    """As Istio configures it: ISTIO_MUTUAL with a name that is expected, or MUTUAL with one that the request has."""
    validation: dict[str, Any] = {"trusted_ca": {"filename": str(certs / "root-cert.pem")}}
    if not case.by_host:
        expected = [{"san_type": "URI", "matcher": {"exact": REVIEWS}}]
        validation["match_typed_subject_alt_names"] = expected
    pair = {
        "certificate_chain": {"filename": str(certs / "cert-chain.pem")},
        "private_key": {"filename": str(certs / "key.pem")},
    }
    common = {
        "validation_context": validation,
        "tls_certificates": [pair],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
    }
    sockets: dict[str, Any] = {"@type": f"{EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"}
    sockets["common_tls_context"] = common
    cluster: dict[str, Any] = {
        "name": case.name,
        "load_assignment": {
            "cluster_name": case.name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": loopback(port)}}]}],
        },
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": sockets},
    }
    if case.by_host:
        name = f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
        cluster["typed_extension_protocol_options"] = {
            name.removeprefix("type.googleapis.com/"): {
                "@type": name,
                "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        }
    else:
        sockets["sni"] = f"outbound_.80_._.{case.host}"
    return cluster


@pytest.fixture(scope="module")
def envoys(
    start_envoy: Callable[..., Envoy], servers: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Told]:
    folder = tmp_path_factory.mktemp("told")
    certs = MESH.workload(folder / "certs", PRODUCTPAGE)
    routes = [{"match": {"prefix": f"/{case.name}/"}, "route": {"cluster": case.name}} for case in CASES]
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": str(folder / "log"),
            "log_format": {"text_format_source": {"inline_string": FORMAT + "\n"}},
        },
    }
    clusters = [envoy_cluster(case, servers[case.name], certs) for case in CASES]
    envoy = start_envoy([http_listener("main", routes, access_log=[log])], clusters)
    told: dict[str, Told] = {}
    for case in CASES:
        connection = http.client.HTTPConnection("127.0.0.1", envoy.ports["main"], timeout=20)
        connection.request("GET", f"/{case.name}/", headers={"host": case.host})
        response = connection.getresponse()
        told[case.name] = Told(response.status, response.read())
        connection.close()
    peers.until(lambda: len(peers.whole_lines(folder / "log")) == len(CASES))
    peers.until(lambda: not re.search(r": [1-9]", envoy.get_admin("/stats?filter=upstream_cx_active$")))
    for case, line in zip(CASES, (folder / "log").read_text().splitlines(), strict=True):
        told[case.name].line = line
    stats = {
        one["name"]: one["value"] for one in json.loads(envoy.get_admin("/stats?format=json"))["stats"] if "name" in one
    }
    for case in CASES:
        names = [*STATS, "upstream_cx_connect_fail", "upstream_cx_destroy_remote"]
        told[case.name].counts = {name: stats[f"cluster.{case.name}.{name}"] for name in names}
    return told


def documents(case: Case, port: int, certs: Path) -> list[str]:
    """A service of the case, its rule, and no retries."""
    host = case.host
    if case.by_host:
        files = {"clientCertificate": "cert-chain.pem", "privateKey": "key.pem", "caCertificates": "root-cert.pem"}
        tls = "".join(f", {name}: {certs / file}" for name, file in files.items())
        rule = f"{{tls: {{mode: MUTUAL{tls}}}}}"
    else:
        rule = f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{REVIEWS}']}}}}"
    once = rules(case.name, f"{{route: [{{destination: {{host: {host}}}}}], retries: {{attempts: 0}}}}")
    entry = service(case.name, port, external=True).replace(f"{case.name}.default.svc.cluster.local", host)
    return [
        entry,
        policy(case.name, rule).replace(f"host: {case.name}", f"host: {host}"),
        once.replace(f"hosts: [{case.name}]", f"hosts: [{host}]"),
    ]


@pytest.fixture(scope="module")
def ours(servers: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return asyncio.run(_ask_ours(servers, tmp_path_factory.mktemp("ours")))


async def _ask_ours(servers: dict[str, int], folder: Path) -> dict[str, Told]:
    certs = MESH.workload(folder / "certs", PRODUCTPAGE)
    (folder / "config").mkdir()
    log = f"""
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {{name: mesh, namespace: istio-system}}
spec:
  meshConfig: {{accessLogFile: {folder / "log"}, accessLogFormat: "{FORMAT}\\n"}}
"""
    everything = [text for case in CASES for text in documents(case, servers[case.name], certs)]
    told: dict[str, Told] = {}
    counted: dict[str, ClusterStats] = {}
    async with worker(folder / "config", log, *everything, certs=certs) as app:
        for case in CASES:
            async with connected(app) as client:
                response = await client.ask(get(host=case.host))
            told[case.name] = Told(status(response), response.partition(b"\r\n\r\n")[2])
            counted[case.name] = app.live.serving.clusters[f"outbound|80||{case.host}"].stats
        await until(lambda: not any(stats.upstream_cx_active for stats in counted.values()))
        for name, stats in counted.items():
            told[name].counts = {
                **{each: getattr(stats, each.replace(".", "_")) for each in STATS},
                "upstream_cx_connect_fail": stats.upstream_cx_connect_fail,
                "upstream_cx_destroy_remote": stats.upstream_cx_destroy_remote,
            }
    for case, line in zip(CASES, (folder / "log").read_text().splitlines(), strict=True):
        told[case.name].line = line
    return told


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_server_gets_what_it_gets_from_envoy(name: str, envoys: dict[str, Told], ours: dict[str, Told]) -> None:
    assert ours[name] == envoys[name]
