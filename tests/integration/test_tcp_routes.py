"""TCP and TLS routes over real sockets: captured connections, CONNECT, gateways, two sidecars with mutual TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxy.app import App
from pyproxy.settings import Settings
from tests.certificates import PRODUCTPAGE
from tests.in_process import SECONDS, Client, cluster, connected, port_of, status, until, worker
from tests.in_process import service as http_service
from tests.inbound_side import MESH, client_context, connection, workload
from tests.ports import free_port
from tests.snapshot.documents import entry, mesh, rules

pytestmark = pytest.mark.integration
GREETING = b"J\x00\x00\x00\x0a8.0.36\x00"
"""How a MySQL server begins."""
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Redirect = Callable[[str, int], None]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[int]:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


def named(name: bytes) -> Serve:
    """Says its name once it heard something, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(name)
        writer.close()

    return serve


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)
    await reader.read()
    writer.close()


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def one_and_two() -> AsyncIterator[tuple[int, int]]:
    async with server(named(b"one")) as one, server(named(b"two")) as two:
        yield one, two


def at(host: str, port: str, upstream: int, **more: str) -> str:
    number = port.partition("/")[0]
    return "\n---\n" + entry(host, port, endpoints=f"{{address: 127.0.0.1, ports: {{p{number}: {upstream}}}}}", **more)


def also(spec: str, name: str = "rules", kind: str = "VirtualService") -> str:
    return "\n---\n" + rules(spec, name, kind=kind)


@pytest.fixture
def redirect(monkeypatch: pytest.MonkeyPatch) -> Redirect:
    """Say where the next connections to the capture ports were going; iptables is not needed for that."""

    def to(address: str, port: int) -> None:
        monkeypatch.setattr("pyproxy.downstream.listener.original_destination", lambda *_: (address, port))

    return to


async def heard(app: App, data: bytes = b"x", listener: str = "virtualOutbound") -> bytes:
    """What a client hears that says something, or, with nothing to say, just listens."""
    async with connected(app, listener) as client:
        if data:
            client.send(data)
        return await client.rest()


def hello(name: str | None) -> bytes:
    """The first bytes of TLS to a server name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


# Routes of captured connections


async def test_subnets_and_weights(tmp_path: Path, redirect: Redirect) -> None:
    routes = also(
        "hosts: [one.test]\ntcp:\n- match: [{destinationSubnets: [10.1.0.0/16], port: 5432}]\n"
        "  route: [{destination: {host: two.test}}]\n"
        "- match: [{destinationSubnets: [10.0.0.0/8]}]\n"
        "  route: [{destination: {host: one.test}, weight: 50}, {destination: {host: two.test}, weight: 50}]"
    )
    async with one_and_two() as (one, two):
        documents = at("one.test", "5432/TCP", one), at("two.test", "5433/TCP", two), routes
        async with worker(tmp_path, *documents) as app:
            redirect("10.1.2.3", 5432)
            assert await heard(app) == b"two"
            redirect("11.1.2.3", 5432)
            assert await heard(app) == b"one"
            redirect("10.2.2.3", 5432)
            found = Counter([await heard(app) for _ in range(40)])
    assert set(found) == {b"one", b"two"}
    assert min(found.values()) > 6


async def test_a_seed_repeats_whom_weights_choose(tmp_path: Path, redirect: Redirect) -> None:
    routes = also(
        "hosts: [one.test]\ntcp:\n- route:\n  - {destination: {host: one.test}, weight: 50}\n"
        "  - {destination: {host: two.test}, weight: 50}"
    )
    redirect("10.1.2.3", 5432)
    async with one_and_two() as (one, two):
        (tmp_path / "mesh.yaml").write_text(at("one.test", "5432/TCP", one) + at("two.test", "5433/TCP", two) + routes)
        names = ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port")
        base = Settings(config=(tmp_path,), address="127.0.0.1", drain_duration=0.1, seed=7)
        settings = replace(base, **dict.fromkeys(names, 0))  # type: ignore[arg-type]
        found = []
        for _ in range(2):
            app = App(settings)
            await app.start()
            found.append([await heard(app) for _ in range(12)])
            await app.shut_down()
    assert found[0] == found[1]
    assert set(found[0]) == {b"one", b"two"}


async def test_tls_goes_by_server_name_and_nobody_ends_it(tmp_path: Path, redirect: Redirect) -> None:
    routes = also(
        "hosts: ['*.wiki.test']\ntls:\n"
        "- match: [{sniHosts: ['*.wiki.test']}]\n  route: [{destination: {host: two.test}}]\n"
        "- match: [{sniHosts: [en.wiki.test]}]\n  route: [{destination: {host: one.test}}]"
    )
    async with one_and_two() as (one, two):
        documents = (
            at("one.test", "443/TLS", one),
            at("two.test", "443/HTTPS", two),
            at("*.wiki.test", "443/TLS", one, name="wiki"),
            routes,
            "\n---\n" + mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"),
        )
        redirect("10.9.9.9", 443)
        async with worker(tmp_path, *documents) as app:
            assert await heard(app, hello("en.wiki.test")) == b"one"
            assert await heard(app, hello("DE.wiki.test")) == b"two"
            assert await heard(app, hello("two.test")) == b"two"
            assert await heard(app, hello("other.test")) == b""
            assert await heard(app, hello(None)) == b""
            assert await heard(app, b"no TLS") == b""
            blackhole = app.live.serving.clusters["BlackHoleCluster"].stats
            assert blackhole.upstream_cx_none_healthy == 3


async def test_a_name_in_pieces_is_waited_for(tmp_path: Path, redirect: Redirect) -> None:
    async with server(named(b"one")) as one:
        redirect("10.9.9.9", 443)
        async with worker(tmp_path, at("one.test", "443/TLS", one)) as app, connected(app) as client:
            data = hello("one.test")
            client.send(data[:50])
            await asyncio.sleep(0.05)
            client.send(data[50:])
            assert await client.rest() == b"one"


async def test_connect_is_divided_by_weight_too(tmp_path: Path) -> None:
    routes = also(
        "hosts: [one.test]\ntcp:\n- route:\n  - {destination: {host: one.test}, weight: 50}\n"
        "  - {destination: {host: two.test}, weight: 50}"
    )
    async with one_and_two() as (one, two):
        documents = at("one.test", "5432/TCP", one), at("two.test", "5433/TCP", two), routes
        async with worker(tmp_path, *documents) as app:
            found = Counter([await connect(app, "one.test:5432") for _ in range(40)])
            stats = app.live.serving.clusters["outbound|5432||one.test"].stats
            assert stats.upstream_cx_total == found[b"one"]
            await until(lambda: stats.upstream_cx_active == stats.upstream_rq_active == 0)
    assert min(found[b"one"], found[b"two"]) > 6


@pytest.mark.parametrize("way", ["tcp", "connect"])
async def test_a_server_that_says_all_it_has_before_anybody_asks(way: str, tmp_path: Path, redirect: Redirect) -> None:
    heard_last = asyncio.Event()

    async def brief(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        writer.write_eof()
        assert await reader.read() == b"thanks"
        heard_last.set()
        writer.close()

    redirect("10.1.1.1", 3306)
    listener = "virtualOutbound" if way == "tcp" else "http_proxy"
    async with (
        server(brief) as upstream,
        worker(tmp_path, at("db.test", "3306/TCP", upstream)) as app,
        connected(app, listener) as client,
    ):
        if way == "connect":
            assert status(await client.ask(b"CONNECT db.test:3306 HTTP/1.1\r\nhost: x\r\n\r\n")) == 200
        assert await client.rest() == GREETING
        client.send(b"thanks")
        client.writer.write_eof()
        await asyncio.wait_for(heard_last.wait(), SECONDS)


async def test_a_client_that_leaves_while_its_service_is_called(tmp_path: Path, redirect: Redirect) -> None:
    slow = also(
        "host: db.test\ntrafficPolicy: {connectionPool: {tcp: {connectTimeout: 0.3s}}}", "slow", kind="DestinationRule"
    )
    with socket.socket() as full:  # its backlog is full: further connections hang
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        redirect("10.1.1.1", 5432)
        async with worker(tmp_path, at("db.test", "5432/TCP", full.getsockname()[1]), slow) as app:
            async with connected(app) as client:
                client.send(b"x")
                await asyncio.sleep(0.1)
            stats = app.live.serving.clusters["outbound|5432||db.test"].stats
            await until(lambda: stats.upstream_cx_connect_timeout == 1)
            await until(lambda: sample(app, b"istio_tcp_connections_closed_total") == 1)
            assert stats.upstream_cx_active == stats.upstream_rq_pending_active == 0
        for filler in fillers:
            filler.close()


async def connect(app: App, target: str) -> bytes:
    async with connected(app, "http_proxy") as client:
        answer = await client.ask(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
        assert status(answer) == 200
        client.send(b"x")
        return await client.rest()


async def test_one_connection_too_many(tmp_path: Path, redirect: Redirect) -> None:
    limit = also(
        "host: one.test\ntrafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}", "limit", kind="DestinationRule"
    )
    async with server(echoing) as one:
        redirect("10.1.1.1", 5432)
        async with worker(tmp_path, at("one.test", "5432/TCP", one), limit) as app:
            stats = app.live.serving.clusters["outbound|5432||one.test"].stats
            async with connected(app) as first:
                first.send(b"first")
                assert await first.reader.readexactly(5) == b"first"
                assert await heard(app, b"") == b""
                assert (stats.upstream_cx_overflow, stats.upstream_cx_active) == (1, 1)
                async with connected(app, "http_proxy") as tunnel:
                    assert status(await tunnel.ask(b"CONNECT one.test:5432 HTTP/1.1\r\nhost: x\r\n\r\n")) == 503
            await until(lambda: stats.upstream_cx_active == 0)
            async with connected(app) as again:
                again.send(b"again")
                assert await again.reader.readexactly(5) == b"again"
            metrics = app.metrics.render()
    assert b'response_flags="UO"' in metrics


async def test_a_client_keeps_to_its_host_where_its_address_is_hashed(tmp_path: Path, redirect: Redirect) -> None:
    hashed = also(
        "host: both.test\ntrafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}",
        "hashed",
        kind="DestinationRule",
    )
    async with one_and_two() as (one, two):
        both = "\n---\n" + entry(
            "both.test",
            "5432/TCP",
            endpoints=", ".join(f"{{address: 127.0.0.1, ports: {{p5432: {port}}}}}" for port in (one, two)),
        )
        redirect("10.1.1.1", 5432)
        async with worker(tmp_path, both, hashed) as app:
            assert len({await heard(app) for _ in range(8)}) == 1


async def test_a_host_that_takes_no_connections_is_ejected(tmp_path: Path, redirect: Redirect) -> None:
    outliers = also(
        "host: both.test\ntrafficPolicy:\n  loadBalancer: {simple: ROUND_ROBIN}\n"
        "  outlierDetection: {consecutive5xxErrors: 2, maxEjectionPercent: 100, interval: 60s, baseEjectionTime: 60s}",
        "outliers",
        kind="DestinationRule",
    )
    async with server(named(b"gone")) as gone:
        pass
    async with server(named(b"one")) as one:
        endpoints = ", ".join(f"{{address: 127.0.0.1, ports: {{p5432: {port}}}}}" for port in (gone, one))
        redirect("10.1.1.1", 5432)
        async with worker(tmp_path, "\n---\n" + entry("both.test", "5432/TCP", endpoints=endpoints), outliers) as app:
            found = [await heard(app) for _ in range(12)]
            stats = app.live.serving.clusters["outbound|5432||both.test"].stats
            assert stats.membership_healthy == 1
            assert stats.upstream_cx_connect_attempts_exceeded == 2
    assert found.count(b"") == 2
    assert found[-8:] == [b"one"] * 8


# Protocols nobody declared, and servers that speak first


@pytest.mark.parametrize("port", ["3306/TCP", "3306/MySQL", "27017/MONGO", "6379/REDIS"])
async def test_a_server_that_speaks_first_is_heard_where_the_port_says_so(
    port: str, tmp_path: Path, redirect: Redirect
) -> None:
    async with server(greeting) as upstream:
        redirect("10.1.1.1", int(port.partition("/")[0]))
        async with worker(tmp_path, at("db.test", port, upstream)) as app, connected(app) as client:
            assert await asyncio.wait_for(client.reader.readexactly(len(GREETING)), SECONDS) == GREETING


async def test_where_nothing_is_declared_the_client_is_waited_for(tmp_path: Path, redirect: Redirect) -> None:
    async with server(greeting) as upstream:
        redirect("10.1.1.1", 9000)
        async with worker(tmp_path, at("db.test", "9000", upstream)) as app, connected(app) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.reader.readexactly(1), 0.3)
            client.send(b"\x01hello")
            assert await client.reader.readexactly(len(GREETING)) == GREETING


async def test_the_mesh_may_say_how_long(tmp_path: Path, redirect: Redirect) -> None:
    async with server(greeting) as upstream:
        redirect("10.1.1.1", 9000)
        documents = at("db.test", "9000", upstream), "\n---\n" + mesh("protocolDetectionTimeout: 0.1s")
        async with worker(tmp_path, *documents) as app, connected(app) as client:
            assert await asyncio.wait_for(client.reader.readexactly(len(GREETING)), SECONDS) == GREETING


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\nhost: one.test:9000\r\n\r\n", "http1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5), "http2"),
        (hello("one.test"), "tcp"),
        (b"\x01\x02", "tcp"),
        (b"get / HTTP/1.1\r\n", "tcp"),
    ],
)
async def test_what_the_first_bytes_say(data: bytes, expected: str, tmp_path: Path, redirect: Redirect) -> None:
    async with server(named(b"one")) as upstream:
        redirect("10.1.1.1", 9000)
        async with worker(tmp_path, at("one.test", "9000", upstream)) as app, connected(app) as client:
            client.send(data)
            answer = await asyncio.wait_for(client.reader.read(100), SECONDS)
            (stats,) = [each for prefix, each in app.http_stats.items() if prefix.startswith("outbound")][:1]
            tunnels = [each.downstream_cx_total for each in app.tcp_proxies.values()]
    assert answer
    assert {"http1": stats.downstream_rq_http1_total, "http2": stats.downstream_cx_http2_total, "tcp": sum(tunnels)}[
        expected
    ]
    assert (answer == b"one") is (expected == "tcp")


# Telemetry


REPORT_OFTEN = """
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: often, namespace: istio-system}
spec: {metrics: [{providers: [{name: prometheus}], reportingInterval: 0.05s}]}
"""


async def test_bytes_of_an_open_connection_are_reported_as_often_as_telemetry_says(
    tmp_path: Path, redirect: Redirect
) -> None:
    async with server(echoing) as upstream:
        redirect("10.1.1.1", 5432)
        documents = at("one.test", "5432/TCP", upstream) + REPORT_OFTEN
        async with worker(tmp_path, documents) as app, connected(app) as client:
            await say(client, b"12345")
            await until(lambda: sample(app, b"istio_tcp_sent_bytes_total") == 5)
            assert sample(app, b"istio_tcp_received_bytes_total") == 5
            assert sample(app, b"istio_tcp_connections_opened_total") == 1
            assert sample(app, b"istio_tcp_connections_closed_total") == 0
            await say(client, b"678")
            client.close()
            await until(lambda: sample(app, b"istio_tcp_connections_closed_total") == 1)
            assert sample(app, b"istio_tcp_sent_bytes_total") == sample(app, b"istio_tcp_received_bytes_total") == 8
            (stats,) = app.tcp_proxies.values()
            assert (stats.downstream_cx_rx_bytes_total, stats.downstream_cx_tx_bytes_total) == (8, 8)


async def say(client: Client, data: bytes) -> None:
    client.send(data)
    assert await client.reader.readexactly(len(data)) == data


def line(app: App, name: bytes) -> bytes:
    (found,) = [each for each in app.metrics.render().splitlines() if each.startswith(name + b"{")]
    return found


def sample(app: App, name: bytes) -> int:
    return int(line(app, name).rpartition(b" ")[2])


async def test_a_line_of_the_access_log(tmp_path: Path, redirect: Redirect) -> None:
    log = tmp_path / "access.log"
    logging = f'accessLogFile: {log}\naccessLogFormat: "%DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_CLUSTER% %BYTES_SENT%"'
    async with server(named(b"one")) as upstream:
        redirect("10.1.1.1", 5432)
        documents = at("one.test", "5432/TCP", upstream), "\n---\n" + mesh(logging)
        (tmp_path / "own").mkdir()
        async with worker(tmp_path / "own", *documents) as app:
            assert await heard(app) == b"one"
            await until(lambda: sample(app, b"istio_tcp_connections_closed_total") == 1)
    assert log.read_text() == "10.1.1.1:5432 outbound|5432||one.test; 3\n"


# Mutual TLS


async def test_tcp_between_two_sidecars(tmp_path: Path, redirect: Redirect) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "client").mkdir()
    async with workload(tmp_path / "server", "STRICT", "TCP") as side:
        inbound, number = port_of(side.app, "virtualInbound"), free_port()
        endpoint = f"{{address: 127.0.0.1, ports: {{p{number}: {inbound}}}, serviceAccount: reviews}}"
        local = f"egress: [{{port: {{number: {number}, name: tcp, protocol: TCP}}, captureMode: NONE, hosts: ['*/*']}}]"
        documents = "\n---\n" + entry("reviews.mesh", f"{number}/TCP", endpoints=endpoint), also(local, kind="Sidecar")
        certs = MESH.workload(tmp_path / "certs", PRODUCTPAGE)
        async with worker(tmp_path / "client", *documents, certs=certs) as app:
            redirect("127.0.0.1", side.application.port)  # what the server's side sees
            async with connected(app, f"127.0.0.1_{number}") as client:
                client.send(b"over mutual TLS")
                assert await client.reader.readexactly(8) == b"not HTTP"
            assert side.application.began == [b"over mutual TLS"]
            for each in (app, side.app):
                await until(lambda each=each: sample(each, b"istio_tcp_connections_closed_total") == 1)  # type: ignore[misc]
            source, destination = (line(each, b"istio_tcp_sent_bytes_total") for each in (app, side.app))
    for text in (b'reporter="source"', b'connection_security_policy="unknown"', b'destination_service="reviews.mesh"'):
        assert text in source
    for text in (
        b'reporter="destination"',
        b'connection_security_policy="mutual_tls"',
        b'source_principal="spiffe://cluster.local/ns/default/sa/productpage"',
        b'destination_principal="spiffe://cluster.local/ns/default/sa/reviews"',
        b'request_protocol="tcp"',
        b'response_flags="-"',
    ):
        assert text in destination
    assert source.endswith(b" 8")
    assert destination.endswith(b" 8")


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
async def test_an_istio_proxy_that_offers_its_own_protocols_alone(
    mode: str, tmp_path: Path, redirect: Redirect
) -> None:
    """No common protocol is no refusal, and nobody sends metadata before the first byte."""
    async with workload(tmp_path, mode, "TCP") as side:
        redirect("127.0.0.1", side.application.port)
        context = client_context(tmp_path, MESH.issue(PRODUCTPAGE), ["istio"])
        async with connection(side, context) as (reader, writer):
            writer.write(b"bytes")
            assert await asyncio.wait_for(reader.readexactly(8), SECONDS) == b"not HTTP"
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        assert side.application.began == [b"bytes"]


async def test_other_tls_passes_a_permissive_port_as_it_is(tmp_path: Path, redirect: Redirect) -> None:
    async with workload(tmp_path, "PERMISSIVE", "TCP") as side:
        redirect("127.0.0.1", side.application.port)
        data = hello("anything.test")
        assert (await heard_some(side.app, data)) == b"not HTTP"
        assert side.application.began == [data]


async def heard_some(app: App, data: bytes) -> bytes:
    async with connected(app, "virtualInbound") as client:
        client.send(data)
        return await client.reader.readexactly(8)


async def test_http_is_not_disturbed(tmp_path: Path) -> None:
    """A port of HTTP asks for no server name."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    async with (
        server(named(answer)) as upstream,
        worker(tmp_path, http_service("x", upstream)) as app,
        connected(app) as client,
    ):
        assert status(await client.ask(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")) == 200
        assert cluster(app, "x").stats.upstream_rq_total == 1
