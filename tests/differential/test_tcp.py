"""TCP beside a real Envoy that runs our own export: what clients see, log lines, statistics."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyproxy.app import App
from pyproxy.envoy.bootstrap import Process, bootstrap
from pyproxy.envoy.tls import Certificates
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Identity, Listening
from pyproxy.telemetry.stats import text_stats
from pyproxy.wire.peer_exchange import FrameReader
from tests.certificates import PRODUCTPAGE, REVIEWS
from tests.differential.envoy_process import Envoy
from tests.in_process import connected, port_of, until, worker
from tests.inbound_side import MESH, workload
from tests.ports import free_port
from tests.snapshot.documents import HERE, compiled, entry, mesh, rules
from tests.snapshot.test_gateways import DOOR, gateway

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
StartEnvoy = Callable[..., Envoy]
Client = Callable[[int], Awaitable[bytes]]
"""Does something to the proxy's port; what it heard."""
FORMAT = (
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    "%UPSTREAM_TRANSPORT_FAILURE_REASON% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_CLUSTER% "
    "%REQUESTED_SERVER_NAME% %PROTOCOL% %REQ(:METHOD)% %ROUTE_NAME%\\n"
)
COUNTED = (
    "downstream_cx_total",
    "downstream_cx_no_route",
    "downstream_cx_rx_bytes_total",
    "downstream_cx_tx_bytes_total",
    "idle_timeout",
    "max_downstream_connection_duration",
    "upstream_cx_total",
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_cx_connect_timeout",
    "upstream_cx_connect_attempts_exceeded",
    "upstream_cx_overflow",
    "upstream_cx_none_healthy",
    "upstream_cx_destroy",
    "upstream_cx_destroy_local",
    "upstream_cx_destroy_remote",
    "upstream_cx_destroy_with_active_rq",
    "upstream_cx_destroy_local_with_active_rq",
    "upstream_cx_destroy_remote_with_active_rq",
    "upstream_cx_rx_bytes_total",
    "upstream_cx_tx_bytes_total",
    "upstream_rq_total",
    "upstream_rq_active",
    "upstream_rq_pending_total",
    "upstream_rq_pending_active",
    "upstream_rq_pending_overflow",
    "upstream_rq_pending_failure_eject",
)


# Upstreams


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything back, and at the end of it a last word."""
    with suppress(ConnectionResetError):
        while data := await reader.read(65536):
            writer.write(data)
        writer.write(b"bye")
    writer.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As MySQL does: speaks first, hangs up first."""
    writer.write(b"J\x00\x00\x00\x0a8.0.36")
    await reader.readexactly(4)
    writer.close()


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Resets once something comes."""
    await reader.read(1)
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def naming(name: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Says its name and hangs up, once it has heard something."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(name)
        writer.close()

    return serve


@asynccontextmanager
async def upstreams() -> AsyncIterator[dict[str, int]]:
    """Name → port."""
    serving = {"echo": echo, "greet": greet, "reset": break_off, "one": naming(b"one"), "two": naming(b"two")}
    servers = {name: await asyncio.start_server(serve, "127.0.0.1", 0) for name, serve in serving.items()}
    with socket.create_server(("127.0.0.1", 0)) as none, socket.socket() as full:
        refused = none.getsockname()[1]
        none.close()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        yield ports | {"refused": refused, "full": full.getsockname()[1]}
        for filler in fillers:
            filler.close()
    for server in servers.values():
        server.close()


# The mesh: a service and a listener for each case

SERVICES = {
    "echo": ("echo", "TCP", ""),
    "greet": ("greet", "MySQL", ""),
    "reset": ("reset", "TCP", ""),
    "refused": ("refused", "TCP", ""),
    "full": ("full", "TCP", "connectionPool: {tcp: {connectTimeout: 0.3s}}"),
    "nobody": ("", "TCP", ""),
    "single": ("echo", "TCP", "connectionPool: {tcp: {maxConnections: 1}}"),
    "idle": ("echo", "TCP", "connectionPool: {tcp: {idleTimeout: 0.5s}}"),
    "short": ("echo", "TCP", "connectionPool: {tcp: {maxConnectionDuration: 0.5s}}"),
    "lost": ("echo", "TCP", ""),
    "split": ("one", "TCP", ""),
    "two": ("two", "TCP", ""),
    "named": ("one", "TLS", ""),
    "auto": ("one", "", ""),
}
RULES = {
    "lost": "tcp:\n- route: [{destination: {host: nowhere.test}}]",
    "split": (
        "tcp:\n- route:\n  - {destination: {host: split.test}, weight: 75}\n"
        "  - {destination: {host: two.test}, weight: 25}"
    ),
    "named": (
        "tls:\n- match: [{sniHosts: [a.named.test]}]\n  route: [{destination: {host: named.test}}]\n"
        "- match: [{sniHosts: ['*.named.test']}]\n  route: [{destination: {host: two.test}}]"
    ),
}


def documents(ports: dict[str, int], numbers: dict[str, int], log: Path) -> list[str]:
    """Every service of SERVICES on a port of its own, `numbers`, with a listener there."""
    texts = [mesh(f'accessLogFile: {log}\naccessLogFormat: "{FORMAT}"')]
    listeners = []
    for name, (upstream, protocol, policy) in SERVICES.items():
        number = numbers[name]
        endpoints = f"{{address: 127.0.0.1, ports: {{p{number}: {ports[upstream]}}}}}" if upstream else ""
        texts.append(entry(f"{name}.test", f"{number}/{protocol}".rstrip("/"), endpoints=endpoints))
        more = f", {policy}" if policy else ""
        texts.append(
            rules(f"host: {name}.test\ntrafficPolicy: {{tls: {{mode: DISABLE}}{more}}}", name, kind="DestinationRule")
        )
        if name in RULES:
            hosts = "[named.test, '*.named.test']" if name == "named" else f"[{name}.test]"
            texts.append(rules(f"hosts: {hosts}\n{RULES[name]}", name))
        kind = f", protocol: {protocol}" if protocol else ""
        listeners.append(f"- {{port: {{number: {number}, name: {name}{kind}}}, captureMode: NONE, hosts: ['*/*']}}")
    texts.append(rules("egress:\n" + "\n".join(listeners), kind="Sidecar"))
    return texts


class Sides:
    """pyproxy and an Envoy with the same documents and the same upstreams."""

    def __init__(self, app: App, envoy: Envoy, numbers: dict[str, int], folder: Path) -> None:
        self._app = app
        self._envoy = envoy
        self._numbers = numbers
        self._folder = folder

    def ports(self, name: str) -> tuple[int, int]:
        """Ours and Envoy's."""
        listener = f"127.0.0.1_{self._numbers[name]}"
        return port_of(self._app, listener), self._envoy.ports[listener]

    async def lines(self, count: int) -> tuple[list[str], list[str]]:
        """Both access logs, once they have so many lines."""
        found = []
        for name in ("ours", "envoy"):
            file = self._folder / name

            def written(file: Path = file) -> bool:
                if self._app.env.access_log is not None:
                    self._app.env.access_log.flush()
                return file.exists() and file.read_text().count("\n") >= count

            with suppress(TimeoutError):  # a line that is missing shows soon enough
                await until(written)
            found.append(file.read_text().splitlines())
        return found[0], found[1]

    def counted(self) -> tuple[dict[str, int], dict[str, int]]:
        """What is not 0 among what both count."""
        groups: list[Any] = [(name, state.stats) for name, state in self._app.live.serving.clusters.items()]
        groups += self._app.tcp_proxies.items()
        ours = "".join(text_stats(groups))
        return _numbers(ours), _numbers(self._envoy.get_admin("/stats"))


def _numbers(text: str) -> dict[str, int]:
    pairs = (line.rpartition(": ")[::2] for line in text.splitlines() if line.startswith(("tcp.", "cluster.")))
    found = {name: int(value) for name, value in pairs if value.isdigit() and int(value)}
    # Istio ends a cluster's name in statistics with a semicolon, as a mark for its tags.
    return {name.replace(";.", "."): value for name, value in found.items() if name.rpartition(".")[2] in COUNTED}


Documents = Callable[[dict[str, int], dict[str, int], Path], list[str]]
"""Ports of upstreams, of listeners, and the access log → documents."""


@asynccontextmanager
async def both(
    folder: Path,
    start_envoy: StartEnvoy,
    documents: Documents = documents,
    names: Collection[str] = SERVICES,
    identity: Identity = HERE,
) -> AsyncIterator[Sides]:
    async with upstreams() as ports:
        numbers = {name: free_port() for name in names}
        snapshot = compiled(
            *documents(ports, numbers, folder / "envoy"),
            listening=Listening(address="127.0.0.1", http_proxy_port=None),
            identity=identity,
        )
        static: Any = bootstrap(snapshot, Process())["static_resources"]
        wanted = {f"127.0.0.1_{number}" for number in numbers.values()}
        listeners = [each for each in static["listeners"] if each["name"] in wanted]
        for each in listeners:
            each["address"]["socket_address"]["port_value"] = 0
        envoy = start_envoy(listeners, static["clusters"])
        try:
            own = folder / "documents"
            own.mkdir()
            texts = documents(ports, numbers, folder / "ours")
            (own / "documents.yaml").write_text("".join(f"\n---\n{text}" for text in texts))
            async with served(own, identity) as app:
                yield Sides(app, envoy, numbers, folder)
        finally:
            await asyncio.to_thread(envoy.close)


@asynccontextmanager
async def served(folder: Path, identity: Identity) -> AsyncIterator[App]:
    names = ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port")
    base = Settings(
        config=(folder,),
        address="127.0.0.1",
        gateway=identity.gateway,
        labels=dict(identity.labels),
        drain_duration=0.1,
    )
    app = App(replace(base, **dict.fromkeys(names, 0)))  # type: ignore[arg-type]
    await app.start()
    try:
        yield app
    finally:
        await app.shut_down()


# Clients


def says(data: bytes, *, half_close: bool = True) -> Client:
    """Sends, ends its side or not, and hears everything until the end. A reset is an end."""

    async def client(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heard = b""
        with suppress(OSError):
            writer.write(data)
            if half_close:
                writer.write_eof()
            while piece := await asyncio.wait_for(reader.read(65536), 10):
                heard += piece
        writer.close()
        return heard

    return client


async def waits(port: int) -> bytes:
    """Hears the greeting, answers, hears the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    greeting = await asyncio.wait_for(reader.readexactly(11), 10)
    writer.write(b"quit")
    rest = await reader.read()
    writer.close()
    return greeting + rest


async def leaves(port: int) -> bytes:
    """Closes without a word once it is joined."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    heard = await reader.readexactly(1)
    writer.transport.abort()
    return heard


async def resets(port: int) -> bytes:
    """Cuts the connection once it is joined."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    heard = await reader.readexactly(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return heard


async def two_at_once(port: int) -> bytes:
    """The second while the first is open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"first")
    first = await reader.readexactly(5)
    second = await says(b"second", half_close=False)(port)
    writer.write_eof()
    last = await reader.read()
    writer.close()
    return b"|".join((first, second, last))


def hello(name: str | None) -> Client:
    """The first bytes of TLS to a server name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return says(outgoing.read(), half_close=False)


CASES: list[tuple[str, Client, int]] = [
    ("echo", says(b"hello"), 1),
    ("echo", says(b"y" * 300_000), 1),
    ("echo", says(b""), 1),
    ("echo", leaves, 1),
    ("echo", resets, 1),
    ("greet", waits, 1),
    ("reset", says(b"x", half_close=False), 1),
    ("refused", says(b"x", half_close=False), 1),
    ("full", says(b"", half_close=False), 1),
    ("nobody", says(b"", half_close=False), 1),
    ("single", two_at_once, 2),
    ("idle", says(b"x", half_close=False), 1),
    ("short", says(b"x", half_close=False), 1),
    ("lost", says(b"", half_close=False), 1),
    ("named", hello("a.named.test"), 1),
    ("named", hello("b.named.test"), 1),
    ("named", hello("b.a.named.test"), 1),
    ("named", hello("named.test"), 1),
    ("named", hello(None), 1),
    ("named", says(b"plain", half_close=False), 1),
    ("auto", says(b"\x01nothing", half_close=False), 1),
    ("auto", hello("a.named.test"), 1),
]


async def run(sides: Sides, cases: list[tuple[str, Client, int]]) -> None:
    """Every case through both, one after the other."""
    told: tuple[list[str], list[str]] = ([], [])
    for name, client, count in cases:
        heard = [await client(port) for port in sides.ports(name)]
        before, told = told, await sides.lines(len(told[0]) + count)
        ours, envoys = [now[len(then) :] for then, now in zip(before, told, strict=True)]
        assert (name, heard[0][:80], ours) == (name, heard[1][:80], envoys)
        assert len(heard[0]) == len(heard[1])
    our_numbers, envoy_numbers = sides.counted()
    assert our_numbers == envoy_numbers


async def test_every_case_ends_alike(tmp_path: Path, start_envoy: StartEnvoy) -> None:
    async with both(tmp_path, start_envoy) as sides:
        await run(sides, CASES)


async def test_weights_are_kept_to(tmp_path: Path, start_envoy: StartEnvoy) -> None:
    async with both(tmp_path, start_envoy) as sides:
        for port in sides.ports("split"):
            heard = [await says(b"x", half_close=False)(port) for _ in range(300)]
            assert set(heard) == {b"one", b"two"}
            assert 190 < heard.count(b"one") < 260
        ours, envoys = sides.counted()
    assert ours["tcp.split.default.downstream_cx_total"] == envoys["tcp.split.default.downstream_cx_total"] == 300


# A gateway


def door(ports: dict[str, int], numbers: dict[str, int], log: Path) -> list[str]:
    """A TCP server, and one that passes TLS on by name."""
    tcp, tls = numbers["tcp"], numbers["tls"]
    servers = (
        f"- port: {{number: {tcp}, name: tcp, protocol: TCP}}\n  hosts: ['*']\n"
        f"- port: {{number: {tls}, name: tls, protocol: TLS}}\n  hosts: ['*.a.test', b.test]\n"
        "  tls: {mode: PASSTHROUGH}\n"
    )
    routes = (
        "hosts: ['*.a.test', b.test]\ngateways: [door]\ntls:\n"
        "- match: [{sniHosts: ['*.a.test']}]\n  route: [{destination: {host: one.test}}]\n"
        "- match: [{sniHosts: [x.a.test], port: 1}]\n  route: [{destination: {host: echo.test}}]\n"
        "- match: [{sniHosts: [y.a.test, b.test]}]\n  route: [{destination: {host: two.test}}]"
    )
    shares = (
        "hosts: ['*']\ngateways: [door]\ntcp:\n"
        "- match: [{port: 1}]\n  route: [{destination: {host: one.test}}]\n"
        f"- match: [{{port: {tcp}}}]\n  route: [{{destination: {{host: echo.test}}}}]"
    )
    services = [
        entry(f"{name}.test", "80/TCP", endpoints=f"{{address: 127.0.0.1, ports: {{p80: {ports[name]}}}}}")
        for name in ("one", "two", "echo")
    ]
    logging = mesh(f'accessLogFile: {log}\naccessLogFormat: "{FORMAT}"')
    return [logging, *services, gateway(servers), rules(routes, "names"), rules(shares, "shares")]


async def test_a_gateway_passes_on_alike(tmp_path: Path, start_envoy: StartEnvoy) -> None:
    cases: list[tuple[str, Client, int]] = [
        ("tcp", says(b"hello"), 1),
        ("tls", hello("x.a.test"), 1),
        ("tls", hello("y.a.test"), 1),
        ("tls", hello("B.test"), 1),
        ("tls", hello("a.test"), 1),
        ("tls", hello("c.test"), 1),
        ("tls", hello(None), 1),
        ("tls", says(b"plain", half_close=False), 1),
    ]
    async with both(tmp_path, start_envoy, door, ("tcp", "tls"), DOOR) as sides:
        await run(sides, cases)


# Mutual TLS


@pytest.mark.parametrize("alpn", [["istio"], ["istio-peer-exchange", "istio"]])
@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
async def test_an_envoy_speaks_mutual_tls_to_our_tcp_port(
    alpn: list[str], mode: str, tmp_path: Path, start_envoy: StartEnvoy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with workload(tmp_path, mode, "TCP") as side:
        target = ("127.0.0.1", side.application.port)
        monkeypatch.setattr("pyproxy.downstream.listener.original_destination", lambda *_: target)
        number = free_port()
        inbound = port_of(side.app, "virtualInbound")
        endpoint = f"{{address: 127.0.0.1, ports: {{p{number}: {inbound}}}, serviceAccount: reviews}}"
        egress = (
            f"egress: [{{port: {{number: {number}, name: tcp, protocol: TCP}}, captureMode: NONE, hosts: ['*/*']}}]"
        )
        snapshot = compiled(
            entry("reviews.mesh", f"{number}/TCP", endpoints=endpoint),
            rules(egress, kind="Sidecar"),
            listening=Listening(address="127.0.0.1"),
        )
        certs = MESH.workload(tmp_path / "client", PRODUCTPAGE)
        static: Any = bootstrap(snapshot, Process(certificates=Certificates(str(certs))))["static_resources"]
        for cluster in static["clusters"]:
            _offer(cluster, alpn)
        listeners = [each for each in static["listeners"] if each["name"] == f"127.0.0.1_{number}"]
        listeners[0]["address"]["socket_address"]["port_value"] = 0
        envoy = start_envoy(listeners, static["clusters"])
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.ports[f"127.0.0.1_{number}"])
        writer.write(b"bytes")
        frame, answer = FrameReader(), b""
        while len(answer) < 8:
            answer += frame.feed(await asyncio.wait_for(reader.read(1000), 10))
        assert answer == b"not HTTP"
        # Who offers the exchange is introduced to, as by Istio, though this Envoy only passes the frame on.
        assert (frame.fields is not None) is ("istio-peer-exchange" in alpn)
        writer.close()
        assert side.application.began == [b"bytes"]
        assert side.stats["ssl_handshake"] == 1
        await asyncio.to_thread(envoy.close)


def _offer(resource: Any, alpn: list[str]) -> None:
    """These protocols wherever some are offered."""
    if isinstance(resource, list):
        for each in resource:
            _offer(each, alpn)
    elif isinstance(resource, dict):
        if "alpn_protocols" in resource:
            resource["alpn_protocols"] = alpn
        for each in resource.values():
            _offer(each, alpn)


async def test_we_speak_mutual_tls_to_an_envoys_tcp_port(tmp_path: Path, start_envoy: StartEnvoy) -> None:
    async with upstreams() as ports:
        number = free_port()
        ingress = (
            f"ingress: [{{port: {{number: {number}, name: tcp, protocol: TCP}}, captureMode: NONE, "
            f"defaultEndpoint: '127.0.0.1:{ports['echo']}'}}]"
        )
        snapshot = compiled(
            rules(ingress, kind="Sidecar"),
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
            "metadata: {name: default}\nspec: {mtls: {mode: STRICT}}",
            listening=Listening(address="127.0.0.1"),
        )
        certs = MESH.workload(tmp_path / "server", REVIEWS)
        static: Any = bootstrap(snapshot, Process(certificates=Certificates(str(certs))))["static_resources"]
        listeners = [each for each in static["listeners"] if each["name"] == f"127.0.0.1_{number}"]
        listeners[0]["address"]["socket_address"]["port_value"] = 0
        envoy = start_envoy(listeners, static["clusters"])
        port = envoy.ports[f"127.0.0.1_{number}"]
        local = free_port()
        endpoint = f"{{address: 127.0.0.1, ports: {{p{local}: {port}}}, serviceAccount: reviews}}"
        egress = f"egress: [{{port: {{number: {local}, name: tcp, protocol: TCP}}, captureMode: NONE, hosts: ['*/*']}}]"
        texts = entry("reviews.mesh", f"{local}/TCP", endpoints=endpoint), rules(egress, kind="Sidecar")
        (tmp_path / "client").mkdir()
        own = MESH.workload(tmp_path / "certs", PRODUCTPAGE)
        async with (
            worker(tmp_path / "client", *(f"\n---\n{text}" for text in texts), certs=own) as app,
            connected(app, f"127.0.0.1_{local}") as client,
        ):
            client.send(b"over mutual TLS")
            client.writer.write_eof()
            assert await client.rest() == b"over mutual TLSbye"
            (stats,) = [state.stats for name, state in app.live.serving.clusters.items() if "reviews" in name]
            assert stats.ssl_handshake == 1
        await asyncio.to_thread(envoy.close)
