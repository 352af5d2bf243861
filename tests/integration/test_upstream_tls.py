"""TLS towards services over real sockets: who is believed, what is said of who is not, and certificates that change."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.core.errors import CommandError
from pyproxy.mtls.rotation import LOOK_INTERVAL
from pyproxy.runtime.counters import ClusterStats
from tests.certificates import HOUR, PRODUCTPAGE, REVIEWS, Authority, Issued
from tests.in_process import (
    SECONDS,
    Upstream,
    cluster,
    connected,
    get,
    policy,
    port_of,
    rules,
    service,
    status,
    until,
    upstream,
    worker,
)
from tests.integration.sidecar import Client as ProcessClient
from tests.integration.sidecar import Sidecar, sidecar

pytestmark = pytest.mark.integration
MESH, OTHER = Authority("mesh"), Authority("somebody else")
MUTUAL = policy("x", f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{REVIEWS}']}}}}")
ONCE = rules("x", "{route: [{destination: {host: x}}], retries: {attempts: 0}}")
LOG = """
---
apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata: {name: mesh, namespace: istio-system}
spec:
  meshConfig:
    accessLogFile: %s
    accessLogFormat: "%%RESPONSE_FLAGS%% %%RESPONSE_CODE_DETAILS%% %%UPSTREAM_TRANSPORT_FAILURE_REASON%%\\n"
"""


class Server(Upstream):
    """An upstream that speaks TLS and asks its clients for a certificate."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str | None, bytes, bool]] = []
        """Of each connection: SNI, the client's certificate, whether it was resumed."""
        self.names: list[str | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = writer.get_extra_info("ssl_object")
        if tls is not None:
            name = self.names[-1] if self.names else None
            self.seen.append((name, tls.getpeercert(True), tls.session_reused))
            self.alpn = tls.selected_alpn_protocol()
        await super().serve(reader, writer)


def server_context(folder: Path, issued: Issued, *, asks: bool = True, trusts: Authority = MESH) -> ssl.SSLContext:
    MESH.write(folder, issued)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
    context.load_verify_locations(cadata=trusts.root_pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@asynccontextmanager
async def tls_upstream(context: ssl.SSLContext) -> AsyncIterator[Server]:
    async with upstream(Server, context) as there:
        context.sni_callback = lambda _, name, __: there.names.append(name)
        yield there


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """Our own certificate."""
    return MESH.workload(tmp_path / "certs", PRODUCTPAGE)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


async def refused(
    tmp_path: Path, config: Path, certs: Path | None, port: int, rule: str = MUTUAL
) -> tuple[bytes, str, ClusterStats]:
    """What a client gets, the access log's line, and what was counted."""
    log = tmp_path / "access.log"
    documents = service("x", port), rule, ONCE, LOG % log
    async with worker(config, *documents, certs=certs) as app, connected(app) as client:
        response = await client.ask(get())
        stats = cluster(app, "x").stats
    return response, log.read_text().strip(), stats


VERIFY = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"
AT_LEAF = VERIFY + "X509_verify_cert:_certificate_verification_error_at_depth_0:_"
FAILED = "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"


async def test_the_right_identity_is_believed_and_told(tmp_path: Path, config: Path, certs: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with tls_upstream(context) as there, worker(config, service("x", there.port), MUTUAL, certs=certs) as app:
        async with connected(app) as client:
            for _ in range(3):
                assert status(await client.ask(get())) == 200
        stats = cluster(app, "x").stats
        assert (stats.ssl_handshake, stats.ssl_session_reused, stats.upstream_cx_total, there.connections) == (
            1,
            0,
            1,
            1,
        )
        name, certificate, _ = there.seen[0]
        assert name == "outbound_.80_._.x.default.svc.cluster.local"
        assert PRODUCTPAGE.encode() in certificate
        assert there.alpn == "http/1.1"
        metrics = b"".join(app.metrics.pieces()).decode()
        assert f'destination_principal="{REVIEWS}"' in metrics


@pytest.mark.parametrize(
    ("issued", "reason", "counted"),
    [
        (
            MESH.issue("spiffe://cluster.local/ns/default/sa/ratings"),
            VERIFY + "SAN_matcher,_certificate_SANs_are_[spiffe://cluster.local/ns/default/sa/ratings]:TLS_error_end",
            "ssl_fail_verify_san",
        ),
        (
            OTHER.issue(REVIEWS),
            AT_LEAF + "unable_to_get_local_issuer_certificate:TLS_error_end",
            "ssl_fail_verify_error",
        ),
        (
            MESH.issue(REVIEWS, start=-3 * HOUR, end=-HOUR),
            AT_LEAF + "certificate_has_expired:TLS_error_end",
            "ssl_fail_verify_error",
        ),
        (
            MESH.issue(REVIEWS, start=HOUR, end=2 * HOUR),
            AT_LEAF + "certificate_is_not_yet_valid:TLS_error_end",
            "ssl_fail_verify_error",
        ),
    ],
    ids=["another name", "another root", "expired", "not yet valid"],
)
async def test_somebody_else_is_not_spoken_to(
    tmp_path: Path, config: Path, certs: Path, issued: Issued, reason: str, counted: str
) -> None:
    async with tls_upstream(server_context(tmp_path / "server", issued)) as there:
        response, line, stats = await refused(tmp_path, config, certs, there.port)
        assert (status(response), response.endswith(FAILED.encode()), there.heads) == (503, True, [])
        assert line == f"UF upstream_reset_before_response_started{{remote_connection_failure|{reason}}} {reason}"
        assert (getattr(stats, counted), stats.ssl_handshake, stats.upstream_cx_connect_fail) == (1, 0, 1)


async def test_an_intermediate_that_comes_along_is_followed(tmp_path: Path, config: Path, certs: Path) -> None:
    issued = Authority("intermediate", MESH).issue(REVIEWS)
    async with tls_upstream(server_context(tmp_path / "server", issued)) as there:
        response, _, _ = await refused(tmp_path, config, certs, there.port)
        assert status(response) == 200


async def test_a_server_that_speaks_no_tls_is_said_to(tmp_path: Path, config: Path, certs: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    response, line, stats = await refused(tmp_path, config, certs, server.sockets[0].getsockname()[1])
    server.close()
    assert status(response) == 503
    assert line.endswith(" TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end")
    assert stats.ssl_connection_error == 1


async def test_a_server_that_only_speaks_an_old_version_is_refused(tmp_path: Path, config: Path, certs: Path) -> None:
    """It answers our hello with the alert protocol_version, as TLS 1.1 does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x15\x03\x02\x00\x02\x02\x46")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    response, line, stats = await refused(tmp_path, config, certs, server.sockets[0].getsockname()[1])
    server.close()
    assert status(response) == 503
    assert line.endswith("|268436526:SSL_routines:OPENSSL_internal:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end")
    assert stats.ssl_connection_error == 1


async def test_the_connect_timeout_covers_the_handshake(tmp_path: Path, config: Path, certs: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rule = policy("x", "{tls: {mode: ISTIO_MUTUAL}, connectionPool: {tcp: {connectTimeout: 50ms}}}")
    response, line, stats = await refused(tmp_path, config, certs, port, rule)
    server.close()
    assert response.endswith(b"reset reason: connection timeout")
    assert line == "UF upstream_reset_before_response_started{connection_timeout} -"
    assert (stats.upstream_cx_connect_timeout, stats.upstream_cx_connect_fail, stats.upstream_cx_active) == (1, 1, 0)


async def test_without_a_certificate_mutual_tls_fails_and_says_why_once(
    tmp_path: Path, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tls_upstream(server_context(tmp_path / "server", MESH.issue(REVIEWS))) as there:
        with caplog.at_level(logging.ERROR, "pyproxy"):
            response, line, _ = await refused(tmp_path, config, None, there.port)
        assert (status(response), there.connections) == (503, 0)
        assert line.endswith(" TLS_error:_Secret_is_not_supplied_by_SDS")
        assert len([each for each in caplog.messages if "give it one with --certs" in each]) == 1


async def test_the_next_connection_resumes_the_last_session(tmp_path: Path, config: Path, certs: Path) -> None:
    rule = policy(
        "x",
        f"{{tls: {{mode: ISTIO_MUTUAL, subjectAltNames: ['{REVIEWS}']}}, "
        "connectionPool: {http: {maxRequestsPerConnection: 1}}}",
    )
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with tls_upstream(context) as there, worker(config, service("x", there.port), rule, certs=certs) as app:
        async with connected(app) as client:
            for _ in range(3):
                assert status(await client.ask(get())) == 200
        stats = cluster(app, "x").stats
        assert (stats.ssl_handshake, stats.ssl_session_reused) == (3, 2)
        assert [resumed for _, _, resumed in there.seen] == [False, True, True]


def outside(tmp_path: Path, port: int) -> tuple[str, ...]:
    """Every host of example.com behind one server, with TLS of our making."""
    (tmp_path / "ca.pem").write_bytes(MESH.root_pem)
    entry = service("x", port, external=True).replace("x.default.svc.cluster.local", "'*.example.com'")
    rule = policy("x", f"{{tls: {{mode: SIMPLE, caCertificates: {tmp_path / 'ca.pem'}}}}}")
    return entry, rule.replace("host: x", "host: '*.example.com'")


async def test_tls_outside_of_the_mesh_asks_for_the_name_that_the_request_has(tmp_path: Path, config: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue("a.example.com", "*.wild.example.com"), asks=False)
    async with (
        tls_upstream(context) as there,
        worker(config, *outside(tmp_path, there.port)) as app,
        connected(app) as client,
    ):
        for host, code in [("a.example.com", 200), ("b.wild.example.com", 200), ("a.example.com:80", 200)]:
            assert status(await client.ask(get(host=host))) == code
        assert [name for name, _, _ in there.seen] == ["a.example.com", "b.wild.example.com"]
        assert there.connections == 2
        (state,) = [each for each in app.live.serving.clusters.values() if each.name.endswith("*.example.com")]
        (host_state,) = state.hosts
        assert host_state.pool is not None
        assert host_state.pool.connections == 2


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path, config: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue("other.example.com"), asks=False)
    log = tmp_path / "access.log"
    async with (
        tls_upstream(context) as there,
        worker(config, *outside(tmp_path, there.port), LOG % log) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(get(host="api.example.com"))) == 503
    expected = "verify_SAN_list,_expected_SANs:_[api.example.com],_certificate_SANs:_[other.example.com]"
    assert expected in log.read_text()


async def rotated(app: App) -> None:
    """Wait until the files that there are now are in use: a second is promised, on a machine that has time."""
    assert LOOK_INTERVAL < 0.5
    (holding,) = app.certificates
    before = holding.accepted
    async with asyncio.timeout(SECONDS):
        while holding.accepted == before:
            await asyncio.sleep(0.01)


async def test_a_new_certificate_is_used_within_a_second_and_open_connections_go_on(
    tmp_path: Path, config: Path, certs: Path
) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with (
        tls_upstream(context) as there,
        worker(config, service("x", there.port), MUTUAL, certs=certs) as app,
        connected(app) as client,
        connected(app) as second,
    ):
        assert status(await client.ask(get())) == 200
        first = there.seen[0][1]
        MESH.workload(certs, PRODUCTPAGE)
        await rotated(app)
        assert status(await client.ask(get())) == 200
        assert there.connections == 1
        release = asyncio.Event()

        async def hold() -> bytes:
            await release.wait()
            return b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

        there.answers = [hold]
        client.send(get())
        await until(lambda: len(there.heads) == 3)
        assert status(await second.ask(get())) == 200
        release.set()
        assert status(await client.response()) == 200
        assert there.connections == 2
        _, certificate, resumed = there.seen[1]
        assert certificate != first
        assert not resumed


async def test_a_new_root_ends_trust_in_the_old_one(tmp_path: Path, config: Path, certs: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    rule = policy("x", "{tls: {mode: ISTIO_MUTUAL}, connectionPool: {http: {maxRequestsPerConnection: 1}}}")
    async with (
        tls_upstream(context) as there,
        worker(config, service("x", there.port), rule, ONCE, certs=certs) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(get())) == 200
        OTHER.workload(certs, PRODUCTPAGE)
        await rotated(app)
        assert status(await client.ask(get())) == 503
        assert cluster(app, "x").stats.ssl_fail_verify_error == 1


async def test_a_broken_certificate_keeps_the_last_good_one_and_is_said_once(
    tmp_path: Path, config: Path, certs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with (
        tls_upstream(context) as there,
        worker(config, service("x", there.port), MUTUAL, certs=certs) as app,
        connected(app) as client,
    ):
        (holding,) = app.certificates
        (certs / "key.pem").write_bytes(MESH.issue(PRODUCTPAGE).key_pem)
        async with asyncio.timeout(SECONDS):
            while not holding.rejected:
                await asyncio.sleep(0.05)
        assert status(await client.ask(get())) == 200
        await asyncio.sleep(0.5)
        told = [each for each in caplog.messages if "key is not that of" in each]
        assert len(told) == 1
        assert told[0].endswith("kept the last good one")
        MESH.workload(certs, PRODUCTPAGE)
        await rotated(app)
        assert holding.error == ""


def able(port: int) -> str:
    """A service whose endpoint says that it takes mutual TLS."""
    label = "labels: {security.istio.io/tlsMode: istio}, serviceAccount: reviews"
    return service("x", port).replace("{address: 127.0.0.1,", f"{{address: 127.0.0.1, {label},")


async def test_mutual_tls_comes_by_itself_where_both_sides_can(tmp_path: Path, config: Path, certs: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with (
        tls_upstream(context) as there,
        worker(config, able(there.port), certs=certs) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(get())) == 200
        assert cluster(app, "x").stats.ssl_handshake == 1


@pytest.mark.parametrize("certified", [True, False])
async def test_else_it_is_plaintext(config: Path, certs: Path, *, certified: bool) -> None:
    async with upstream() as there:
        entry = service("x", there.port) if certified else able(there.port)
        async with worker(config, entry, certs=certs if certified else None) as app, connected(app) as client:
            assert status(await client.ask(get())) == 200
            assert cluster(app, "x").stats.ssl_handshake == 0


async def test_a_reload_that_turns_tls_on_makes_new_connections(tmp_path: Path, config: Path, certs: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    off = policy("x", "{tls: {mode: DISABLE}}")
    async with (
        tls_upstream(context) as there,
        worker(config, able(there.port), off, ONCE, certs=certs) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(get())) == 503
        (config / "documents.yaml").write_text(able(there.port) + MUTUAL + ONCE)
        await until(lambda: app.reload_status.accepted == 2)
        assert status(await client.ask(get())) == 200


async def test_an_upgrade_passes_through_tls(tmp_path: Path, config: Path, certs: Path) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello"
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with (
        tls_upstream(context) as there,
        worker(config, service("x", there.port), MUTUAL, certs=certs) as app,
        connected(app) as client,
    ):
        there.answers = [switch, b"and you"]
        client.send(get("/", "x", "upgrade: websocket", "connection: upgrade"))
        assert status(await client.head()) == 101
        assert await asyncio.wait_for(client.reader.readexactly(5), SECONDS) == b"hello"
        client.send(b"me\r\n\r\n")
        assert await asyncio.wait_for(client.reader.readexactly(7), SECONDS) == b"and you"


async def test_a_missing_folder_stops_the_start(tmp_path: Path, config: Path) -> None:
    with pytest.raises(CommandError, match="there is no such folder"):
        async with worker(config, service("x", 1), certs=tmp_path / "nowhere"):
            pass


async def fetch(app: App, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(app, "admin"))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    return text


async def test_no_page_and_no_log_shows_a_key(
    tmp_path: Path, config: Path, certs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    async with (
        tls_upstream(context) as there,
        worker(config, service("x", there.port), MUTUAL, certs=certs) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(get())) == 200
        paths = ["/certs", "/config_dump", "/server_info", "/stats", "/stats/prometheus", "/clusters", "/listeners"]
        shown = [await fetch(app, path) for path in paths]
        (certs / "cert-chain.pem").write_bytes((certs / "key.pem").read_bytes())
        async with asyncio.timeout(SECONDS):
            while not app.certificates[0].rejected:
                await asyncio.sleep(0.05)
        everything = "\n".join([*shown, await fetch(app, "/certs"), *caplog.messages, repr(app.tls.workload.material)])  # type: ignore[union-attr]
        secret = (certs / "key.pem").read_text().splitlines()
        assert not [line for line in secret if line in everything]
        assert "PRIVATE KEY" not in everything
        assert PRODUCTPAGE in shown[0]
        certificate = json.loads(shown[0][shown[0].index("{") : shown[0].rindex("}") + 1])["certificates"][0]
        assert certificate["cert_chain"][0]["subject_alt_names"] == [{"uri": PRODUCTPAGE}]
        assert "pyproxy_certificate_expiry_seconds" in shown[4]


async def test_every_worker_has_the_certificate_and_its_successor(tmp_path: Path, certs: Path) -> None:
    context = server_context(tmp_path / "server", MESH.issue(REVIEWS))
    (tmp_path / "documents").mkdir()
    async with upstream(Server, context) as there:
        (tmp_path / "documents" / "x.yaml").write_text(service("x", there.port) + MUTUAL)
        flags = ["--workers", "2", "--certs", str(certs)]
        async with sidecar(tmp_path, tmp_path / "documents", *flags) as running:
            assert await served_by_all(running, there) == 1
            MESH.workload(certs, PRODUCTPAGE)
            async with asyncio.timeout(SECONDS):
                while await served_by_all(running, there) < 2:
                    await asyncio.sleep(0.1)


async def served_by_all(running: Sidecar, there: Server) -> int:
    """Ask until both workers have been asked; how many certificates the service has seen by now."""
    for _ in range(40):
        client = ProcessClient(running.addresses["virtualOutbound"])
        assert (await client.request("/", host="x")).status == 200
        await client.close()
    there.hang_up()
    return len({certificate for _, certificate, _ in there.seen})
