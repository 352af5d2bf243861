"""Sidecars of either kind on either side of mutual TLS: whatever the pair, both sides see what two Envoys see.

Each case is asked by our proxy and by an exported Envoy, of our proxy and of an exported Envoy, with the same documents
and the same certificates. What the two Envoys make of it among themselves is what is right.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.interop.mesh import CLIENT_FORMAT, ISSUER, called, caller, modes, operator, shown, towards
from tests.interop.proxies import Proxy
from tests.peers import Headers, RawClient, Upstream
from tests.ports import free_port
from tests.tokens import token

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
MESH, OTHER = Authority("mesh"), Authority("somebody else")
KINDS = ("envoy", "pyproxy")
PAIRS = [(client, server) for client in KINDS for server in KINDS]
RATINGS = "spiffe://cluster.local/ns/default/sa/ratings"
SHOPPER = "spiffe://cluster.local/ns/shop/sa/shopper"
ELSEWHERE = "spiffe://elsewhere/ns/default/sa/reviews"
OLD = "spiffe://old.local/ns/default/sa/"
BOTH_DOMAINS = "trustDomainAliases: [old.local]"
CALLED = {
    "good": MESH.issue(REVIEWS),
    "account": MESH.issue(RATINGS),
    "domain": MESH.issue(ELSEWHERE),
    "alias": MESH.issue(OLD + "reviews"),
    "root": OTHER.issue(REVIEWS),
    "intermediate": Authority("intermediate", MESH).issue(REVIEWS),
    "rsa": MESH.issue(REVIEWS, key=rsa.generate_private_key(65537, 2048)),
    "modern": MESH.issue(REVIEWS),
    "expired": MESH.issue(REVIEWS, start=-3 * HOUR, end=-HOUR),
    "tomorrow": MESH.issue(REVIEWS, start=HOUR, end=2 * HOUR),
}
"""Certificates of who is called, by the name of a server."""
ENVOYS_ALONE = ("expired", "tomorrow", "root")
"""Our own proxy does not serve with them at all: `mtls/material.py` refuses them."""
CALLERS: dict[str, Issued] = {
    "ratings": MESH.issue(RATINGS),
    "shopper": MESH.issue(SHOPPER),
    "old": MESH.issue(OLD + "productpage"),
    "stranger": MESH.issue("spiffe://elsewhere/ns/default/sa/productpage"),
    "no-identity": MESH.issue("productpage.example.com"),
    "no-name": MESH.issue(),
    "forged": OTHER.issue(PRODUCTPAGE),
    "chained": Authority("intermediate", MESH).issue(PRODUCTPAGE),
    "with-rsa": MESH.issue(PRODUCTPAGE, key=rsa.generate_private_key(65537, 2048)),
}
"""Certificates of other callers than the one that the mesh means."""


@dataclass(frozen=True)
class Case:
    """One request: of which server, at which of its ports, shown what."""

    server: str = "good"
    port: str = "strict"
    path: str = "/open/x"
    tls: str = ""
    """DestinationRule's; automatic when empty. `CALLER:name` shows that caller's certificate."""
    expect: int = 200
    headers: tuple[str, ...] = ()
    times: int = 1
    policy: str = ""


def claims(**more: object) -> dict[str, object]:
    return {"iss": ISSUER, "sub": "jane", "exp": int(time.time()) + 3600, "group": "staff", **more}


def bearer(**more: object) -> tuple[str, ...]:
    return (f"authorization: Bearer {token(claims(**more))}",)


ISTIO_MUTUAL = "mode: ISTIO_MUTUAL"
DISABLE = "mode: DISABLE"
HTTP2 = "connectionPool: {http: {h2UpgradePolicy: UPGRADE}}"
CASES = {
    # who is called
    "right": Case(),
    "wrong-account": Case("account", expect=503),
    "wrong-account-that-is-expected": Case("account", tls=f"{ISTIO_MUTUAL}, subjectAltNames: ['{RATINGS}']"),
    "wrong-trust-domain": Case("domain", expect=503),
    "trust-domain-alias": Case("alias"),
    "other-root": Case("root", expect=503),
    "expired": Case("expired", expect=503),
    "not-yet-valid": Case("tomorrow", expect=503),
    "intermediate": Case("intermediate"),
    "rsa": Case("rsa"),
    "modern": Case("modern"),
    # who calls
    "another-account": Case(tls="CALLER:ratings"),
    "old-domain": Case(tls="CALLER:old", path="/principal"),
    "other-domain": Case(tls="CALLER:stranger", expect=503),
    "client-without-identity": Case(tls="CALLER:no-identity", expect=503),
    "client-without-name": Case(tls="CALLER:no-name", expect=503),
    "client-of-another-root": Case(tls="CALLER:forged", expect=503),
    "client-by-an-intermediate": Case(tls="CALLER:chained", path="/principal"),
    "client-with-rsa": Case(tls="CALLER:with-rsa", path="/principal"),
    "no-certificate": Case(tls="mode: SIMPLE, caCertificates: ROOT", expect=503),
    # plaintext, and ports of other modes
    "plaintext-to-strict": Case(tls=DISABLE, expect=503),
    "plaintext-to-permissive": Case(port="permissive", tls=DISABLE),
    "plaintext-to-disable": Case(port="disable", tls=DISABLE),
    "automatic-to-permissive": Case(port="permissive"),
    "automatic-to-disable": Case(port="disable"),
    "mutual-to-disable": Case(port="disable", tls=ISTIO_MUTUAL, expect=503),
    "no-certificate-to-permissive": Case(port="permissive", tls="mode: SIMPLE, caCertificates: ROOT", expect=503),
    # what the application is told
    "told-before": Case(headers=("x-forwarded-client-cert: By=x;Hash=y",)),
    "told-in-plaintext": Case(port="permissive", tls=DISABLE, headers=("x-forwarded-client-cert: By=x;Hash=y",)),
    # who may
    "principal": Case(path="/principal"),
    "namespace": Case(path="/namespace"),
    "account": Case(path="/account"),
    "no-principal": Case(path="/principal", tls="CALLER:ratings", expect=403),
    "no-namespace": Case(path="/namespace", tls="CALLER:shopper", expect=403),
    "no-account": Case(path="/account", tls="CALLER:ratings", expect=403),
    "nobody-may": Case(path="/closed", expect=403),
    "plaintext-is-nobody": Case(port="permissive", path="/principal", tls=DISABLE, expect=403),
    "plaintext-is-denied": Case(port="permissive", path="/open/known", tls=DISABLE, expect=403),
    "known-is-not-denied": Case(port="permissive", path="/open/known"),
    # tokens beside certificates
    "token": Case(path="/token", headers=bearer()),
    "token-of-another": Case(path="/token", headers=bearer(sub="joe"), expect=403),
    "token-without-the-claim": Case(path="/token", headers=bearer(group="guests"), expect=403),
    "token-from-another-namespace": Case(path="/token", headers=bearer(), tls="CALLER:shopper", expect=403),
    "token-in-plaintext": Case(port="permissive", path="/token", headers=bearer(), tls=DISABLE, expect=403),
    "no-token": Case(path="/token", expect=403),
    "bad-token": Case(headers=("authorization: Bearer a.b.c",), expect=401),
    "expired-token": Case(headers=bearer(exp=1000), expect=401),
    # HTTP/2
    "http2": Case(path="/principal", policy=HTTP2),
    "http2-to-permissive": Case(path="/principal", port="permissive", policy=HTTP2),
    "http2-in-plaintext": Case(port="disable", policy=HTTP2),
    "http2-wrong-account": Case("account", expect=503, policy=HTTP2),
    "http2-not-allowed": Case(path="/closed", expect=403, policy=HTTP2),
    "http2-told-before": Case(headers=("x-forwarded-client-cert: By=x;Hash=y",), policy=HTTP2),
    "http2-plaintext-to-strict": Case(tls=DISABLE, expect=503, policy=HTTP2),
    "http2-no-certificate": Case(tls="mode: SIMPLE, caCertificates: ROOT", expect=503, policy=HTTP2),
    "http2-token": Case(path="/token", headers=bearer(), policy=HTTP2),
    # connections
    "resumed": Case(times=3, policy="connectionPool: {http: {maxRequestsPerConnection: 1}}"),
}


@dataclass
class Told:
    """What everybody heard of one case."""

    status: int = 0
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    client_line: str = ""
    server_line: str = ""
    """Of a sidecar's access log; empty where the request never came that far."""
    application: list[tuple[bytes, bytes]] = field(default_factory=list)
    """What it was told of who calls."""


Everything = dict[tuple[str, str, str], Told]
"""By case, kind of client, kind of server."""


@dataclass
class Meeting:
    """Everything that was asked and heard."""

    told: Everything
    clients: dict[str, Proxy]
    servers: dict[tuple[str, str], Proxy]
    """By name and kind."""


@pytest.fixture(scope="module")
def meeting(envoy_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    folder = tmp_path_factory.mktemp("interop")
    application = Upstream()
    started: list[Proxy] = []
    try:
        servers, ports = start_servers(envoy_path, folder, application, started)
        clients = start_clients(envoy_path, folder, ports, started)
        yield Meeting(ask_everybody(clients, servers, application), clients, servers)
    finally:
        for proxy in started:
            proxy.close()
        application.close()


Ports = dict[tuple[str, str], dict[str, int]]
Servers = dict[tuple[str, str], Proxy]


def start_servers(envoy_path: str, folder: Path, application: Upstream, started: list[Proxy]) -> tuple[Servers, Ports]:
    wanted = [(name, kind) for name in CALLED for kind in KINDS if kind == "envoy" or name not in ENVOYS_ALONE]
    ports = {each: {mode: free_port() for mode in ("strict", "permissive", "disable")} for each in wanted}

    def start(which: tuple[str, str]) -> Proxy:
        name, kind = which
        certs = MESH.write(folder / f"certs-{name}-{kind}", CALLED[name])
        more = BOTH_DOMAINS + (", meshMTLS: {minProtocolVersion: TLSV1_3}" if name == "modern" else "")
        documents = called(application.port, ports[which], more)
        flags = ("--workload", "reviews-v1", "--certs", str(certs))
        proxy = Proxy(kind, envoy_path, folder / f"called-{name}-{kind}", documents, *flags)
        started.append(proxy)
        return proxy

    with ThreadPoolExecutor(3) as pool:
        return dict(zip(wanted, pool.map(start, wanted), strict=True)), ports


def start_clients(envoy_path: str, folder: Path, ports: Ports, started: list[Proxy]) -> dict[str, Proxy]:
    certs = MESH.workload(folder / "certs-client", PRODUCTPAGE)
    for name, issued in CALLERS.items():
        MESH.write(folder / f"certs-{name}", issued)
    services = "".join(
        towards(f"{name}-{kind}", ports[case.server, kind][case.port], tls_of(case, folder), policy=case.policy)
        for name, case in CASES.items()
        for kind in KINDS
        if (case.server, kind) in ports
    )
    documents = caller() + services + modes(*ports.values()) + operator(CLIENT_FORMAT, BOTH_DOMAINS)
    clients = {}
    for kind in KINDS:
        flags = ("--workload", "productpage-v1", "--certs", str(certs))
        clients[kind] = Proxy(kind, envoy_path, folder / f"caller-{kind}", documents, *flags)
        started.append(clients[kind])
    return clients


def tls_of(case: Case, folder: Path) -> str:
    if case.tls.startswith("CALLER:"):
        return shown(folder / f"certs-{case.tls.removeprefix('CALLER:')}", REVIEWS)
    return case.tls.replace("ROOT", str(folder / "certs-client" / "root-cert.pem"))


def ask_everybody(clients: dict[str, Proxy], servers: Servers, application: Upstream) -> Everything:
    told: Everything = {}
    for client, kind in PAIRS:
        for name, case in CASES.items():
            if (case.server, kind) in servers:
                told[name, client, kind] = ask(clients[client], f"{name}-{kind}", case, application)
    for client, proxy in clients.items():
        asked = [key for key in told if key[1] == client]
        lines = proxy.log_lines(sum(CASES[name].times for name, *_ in asked))
        for key in asked:
            told[key].client_line = of_case(lines, key)
    time.sleep(1.5)  # the longest that a log may keep a line
    for (server, kind), proxy in servers.items():
        lines = proxy.log_lines(0)
        for key in told:
            if CASES[key[0]].server == server and key[2] == kind:
                told[key].server_line = of_case(lines, key)
    return told


def of_case(lines: list[str], key: tuple[str, str, str]) -> str:
    """The last line of a case, without the mark that it is found by."""
    return next((line.split(" ", 1)[1] for line in reversed(lines) if line.startswith(f"{'/'.join(key)} ")), "")


def ask(proxy: Proxy, service: str, case: Case, application: Upstream) -> Told:
    application.forget()
    name, kind = service.rsplit("-", 1)
    lines = (f"GET {case.path} HTTP/1.1", f"host: {service}.test", f"x-case: {name}/{proxy.kind}/{kind}", *case.headers)
    for _ in range(case.times):
        client = RawClient(proxy.ports["virtualOutbound"])
        response = client.ask("\r\n".join((*lines, "", "")).encode())
        client.close()
    kept = (b"x-forwarded-client-cert", b"x-payload", b"authorization", b"x-forwarded-proto", b"host")
    heard = [pair for request in application.requests[:1] for pair in request.headers if pair[0] in kept]
    headers = without_service(comparable(response.headers), service)
    return Told(response.status, headers, response.body, application=without_service(heard, service))


def comparable(headers: Headers) -> Headers:
    changing = (b"date", b"x-envoy-upstream-service-time", b"x-envoy-peer-metadata", b"x-envoy-peer-metadata-id")
    return sorted(pair for pair in headers if pair[0] not in changing)


def without_service(headers: Headers, service: str) -> Headers:
    return [(name, value.replace(service.encode(), b"SERVICE")) for name, value in headers]


def neutral(line: str, *kinds: str) -> str:
    """A log line without the kind of proxy in its host names."""
    return re.sub(rf"-({'|'.join(kinds or KINDS)})\.test", ".test", line)


EXISTING = [
    (name, *pair)
    for name, case in CASES.items()
    for pair in PAIRS
    if pair[1] == "envoy" or case.server not in ENVOYS_ALONE
]


@pytest.mark.parametrize(("name", "client", "server"), EXISTING, ids=["/".join(each) for each in EXISTING])
def test_every_pair_agrees_with_two_envoys(name: str, client: str, server: str, meeting: Meeting) -> None:
    told, right = meeting.told[name, client, server], meeting.told[name, "envoy", "envoy"]

    assert told.status == CASES[name].expect, told
    assert (told.status, told.headers, told.body) == (right.status, right.headers, right.body)
    assert told.client_line == right.client_line
    assert neutral(told.server_line) == neutral(right.server_line)
    assert told.application == right.application


STATISTICS = (
    *(
        f"ssl.{each}"
        for each in ("handshake", "session_reused", "connection_error", "fail_verify_error", "fail_verify_san")
    ),
    *(f"upstream_cx_{each}" for each in ("total", "connect_fail", "destroy")),
    *(f"upstream_rq_{each}" for each in ("total", "completed", "retry", "rx_reset", "pending_failure_eject")),
)

OVERTAKEN = {"http2-no-certificate ssl.connection_error"}
"""A server that closes on what it has not read resets, and the reset may overtake its alert."""


@pytest.mark.parametrize("server", KINDS)
def test_both_callers_count_alike(server: str, meeting: Meeting) -> None:
    counted: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}
    for client, proxy in meeting.clients.items():
        pattern = rf"^cluster\.outbound\|80\|\|(.*)-{server}\.test;?\.(.*): (\d+)$"
        for name, statistic, value in re.findall(pattern, proxy.page("/stats?filter=test"), re.MULTILINE):
            if statistic in STATISTICS:
                counted[client][f"{name} {statistic}"] = int(value)
    ours, theirs = counted["pyproxy"], counted["envoy"]
    shared = ours.keys() & theirs.keys() - OVERTAKEN
    assert {each: ours[each] for each in shared} == {each: theirs[each] for each in shared}
    assert len(shared) > 500


@pytest.mark.parametrize("server", KINDS)
def test_our_caller_knows_whom_it_called(server: str, meeting: Meeting) -> None:
    labels = {f'destination_principal="{REVIEWS}"', f'source_principal="{PRODUCTPAGE}"', 'reporter="source"'}
    (series,) = series_of(meeting.clients["pyproxy"], f'destination_service="right-{server}.test"')
    assert labels <= series


@pytest.mark.parametrize("client", KINDS)
def test_who_is_called_knows_who_called(client: str, meeting: Meeting) -> None:
    """An Envoy that is not Istio's sends no metadata: the certificate alone says who it is."""
    known = 'source_workload="productpage-v1"' if client == "pyproxy" else 'source_workload="unknown"'
    found = series_of(meeting.servers["modern", "pyproxy"], f'source_principal="{PRODUCTPAGE}"', known)
    wanted = {f'destination_principal="{REVIEWS}"', 'connection_security_policy="mutual_tls"', 'reporter="destination"'}
    assert len(found) == 1
    assert wanted <= found[0]


def test_plaintext_has_nobodys_name(meeting: Meeting) -> None:
    found = series_of(meeting.servers["good", "pyproxy"], 'connection_security_policy="none"')
    assert found
    for series in found:
        assert {'source_principal="unknown"', 'destination_principal="unknown"'} <= series


def series_of(proxy: Proxy, *labels: str) -> list[set[str]]:
    """The labels of each series of `istio_requests_total` that has these."""
    lines = re.findall(r"^istio_requests_total\{(.*)\} ", proxy.page("/stats/prometheus"), re.MULTILINE)
    found = [set(re.findall(r'\w+="[^"]*"', line)) for line in lines]
    return [each for each in found if set(labels) <= each]
