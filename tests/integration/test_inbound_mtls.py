"""PeerAuthentication over real sockets: mode, protocol of the port, what the client brings; as Istio chains them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from tests.certificates import PRODUCTPAGE
from tests.http2_peers import Message, configured
from tests.in_process import SECONDS, port_of, status, until
from tests.inbound_side import MESH, OTHER, Side, client_context, connection, workload

pytestmark = pytest.mark.integration
ISTIO = ["istio-http/1.1", "istio", "http/1.1"]


def brings(folder: Path, what: str) -> ssl.SSLContext | None:
    """What a client comes with."""
    if what == "plaintext":
        return None
    if what == "mesh":
        return client_context(folder, MESH.issue(PRODUCTPAGE), ISTIO)
    if what == "no certificate":
        return client_context(folder, None, ISTIO)
    if what == "foreign TLS":
        return client_context(folder, MESH.issue(PRODUCTPAGE), ["http/1.1"])
    if what == "other root":
        return client_context(folder, OTHER.issue(PRODUCTPAGE), ISTIO)
    assert what == "other domain"
    return client_context(folder, MESH.issue("spiffe://elsewhere/ns/default/sa/productpage"), ISTIO)


REQUEST = b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n"


async def outcome(side: Side, context: ssl.SSLContext | None, request: bytes = REQUEST) -> str:
    """http: the proxy served it; tcp: it passed bytes on; tls: it passed TLS on; refused: not a byte came back."""
    answer = b""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        async with asyncio.timeout(SECONDS), connection(side, context) as (reader, writer):
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\nok")
    if side.application.began and side.application.began[0].startswith(b"\x16"):
        return "tls"
    if not answer:
        return "refused"
    return "http" if b"x-envoy-upstream-service-time" in answer else "tcp"


CASES = {
    # client: what STRICT, PERMISSIVE and DISABLE do on an HTTP, a TCP and an undeclared port
    "plaintext": ("refused", "refused", "refused", "http", "tcp", "http", "http", "tcp", "http"),
    "mesh": ("http", "tcp", "http", "http", "tcp", "http", "refused", "tls", "tls"),
    "no certificate": ("refused", "refused", "refused", "refused", "refused", "refused", "refused", "tls", "tls"),
    "foreign TLS": ("http", "tcp", "tcp", "refused", "tls", "tls", "refused", "tls", "tls"),
    "other root": ("refused", "refused", "refused", "refused", "refused", "refused", "refused", "tls", "tls"),
    "other domain": ("refused", "refused", "refused", "refused", "refused", "refused", "refused", "tls", "tls"),
}
MATRIX = [
    (mode, protocol, client, CASES[client][row * 3 + column])
    for client in CASES
    for row, mode in enumerate(("STRICT", "PERMISSIVE", "DISABLE"))
    for column, protocol in enumerate(("HTTP", "TCP", ""))
]


@pytest.mark.parametrize(("mode", "protocol", "client", "expected"), MATRIX)
async def test_what_a_port_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, protocol: str, client: str, expected: str
) -> None:
    async with workload(tmp_path, mode, protocol) as side:
        target = ("127.0.0.1", side.application.port)
        monkeypatch.setattr("pyproxy.downstream.listener.original_destination", lambda *_: target)
        assert await outcome(side, brings(tmp_path, client)) == expected
        if expected == "refused":
            assert side.application.began == []


async def test_each_refusal_has_its_counter(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side:
        for client in ("plaintext", "mesh", "no certificate", "other root", "other domain"):
            await outcome(side, brings(tmp_path, client))
        assert side.stats == {
            "downstream_cx_total": 5,
            "no_filter_chain_match": 1,
            "ssl_handshake": 1,
            "ssl_fail_verify_no_cert": 1,
            "ssl_fail_verify_error": 1,
            "ssl_fail_verify_san": 1,
        }


async def test_the_application_and_the_metrics_know_who_called(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side:
        assert await outcome(side, brings(tmp_path, "mesh")) == "http"
        text = b"".join(side.app.env.metrics.pieces()).decode()
        assert f'source_principal="{PRODUCTPAGE}"' in text
        assert 'connection_security_policy="mutual_tls"' in text


async def test_without_a_certificate_permissive_serves_plaintext_and_strict_nobody(tmp_path: Path) -> None:
    async with workload(tmp_path, "PERMISSIVE", certified=False) as side:
        assert await outcome(side, None) == "http"
    async with workload(tmp_path, "STRICT", certified=False) as side:
        assert await outcome(side, None) == "refused"
        assert await outcome(side, brings(tmp_path, "mesh")) == "refused"


async def test_a_session_is_resumed_and_counted(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side:
        context = client_context(tmp_path, MESH.issue(PRODUCTPAGE), ISTIO)
        address = "127.0.0.1", port_of(side.app, "virtualInbound")

        def twice() -> bool:
            session = None
            for _ in range(2):
                raw = socket.create_connection(address, SECONDS)
                with context.wrap_socket(raw, session=session) as wrapped:
                    wrapped.sendall(REQUEST)
                    assert wrapped.recv(100)
                    session = wrapped.session
                    reused = wrapped.session_reused
            return bool(reused)

        assert await asyncio.to_thread(twice)
        assert side.stats["ssl_session_reused"] == 1


async def test_http2_is_spoken_where_alpn_says_so(tmp_path: Path) -> None:
    async with workload(tmp_path, "STRICT") as side, asyncio.timeout(SECONDS):
        context = client_context(tmp_path, MESH.issue(PRODUCTPAGE), ["istio-h2", "istio", "h2"])
        async with connection(side, context) as (reader, writer):
            h2 = configured(client=True)
            h2.initiate_connection()
            h2.send_headers(
                1,
                [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"reviews"), (b":path", b"/")],
                end_stream=True,
            )
            message = Message()
            while not message.ended:
                writer.write(h2.data_to_send())
                for event in h2.receive_data(await reader.read(65536)):
                    message.take(event)
            assert (message.status, message.body) == (200, b"ok")


# One connection, several ports


SECOND = """
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: second}
spec:
  hosts: [second.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 81, name: http, protocol: HTTP, targetPort: 1}]
  workloadSelector: {labels: {app: reviews}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: reviews}
spec:
  selector: {matchLabels: {app: reviews}}
  mtls: {mode: PERMISSIVE}
  portLevelMtls: {1: {mode: STRICT}}
"""


async def test_called_by_name_plaintext_reaches_no_strict_port(tmp_path: Path) -> None:
    async with workload(tmp_path, "PERMISSIVE", more=SECOND) as side:
        for context, expected in ((None, 404), (brings(tmp_path, "mesh"), 503)):
            async with asyncio.timeout(SECONDS), connection(side, context) as (reader, writer):
                writer.write(REQUEST.replace(b"reviews", b"reviews:%d" % side.application.port))
                assert status(await reader.readuntil(b"\r\n\r\nok")) == 200
                writer.write(REQUEST.replace(b"reviews", b"second:1"))
                assert status(await reader.readuntil(b"\r\n\r\n")) == expected


# What the protocol above needs of its transport


class Counting(asyncio.Protocol):
    """Takes a body of that size and answers with one as large, at the pace of its reader."""

    def __init__(self, size: int) -> None:
        self._missing = self._left = size
        self._head = b""
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._head.endswith(b"\r\n\r\n"):
            head, blank, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = head + blank
        self._missing -= len(data)
        if not self._missing:
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self._left)
            self.resume_writing()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        while self._left and self._writable:
            self._left -= 65536
            self._transport.write(bytes(65536))


async def test_large_bodies_go_at_the_slower_sides_pace(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    async with workload(tmp_path, "STRICT") as side:
        server = await asyncio.get_running_loop().create_server(lambda: Counting(size), "127.0.0.1", 0)
        side.app.live.serving.clusters[f"inbound|{side.application.port}||"].hosts[0].port = server.sockets[
            0
        ].getsockname()[1]
        async with server, asyncio.timeout(60), connection(side, brings(tmp_path, "mesh")) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nhost: reviews\r\ncontent-length: %d\r\n\r\n" % size)
            for _ in range(size // (1 << 20)):
                writer.write(bytes(1 << 20))
                await writer.drain()
            assert status(await reader.readuntil(b"\r\n\r\n")) == 200
            got = 0
            while got < size:
                got += len(await reader.read(1 << 20))
            assert got == size


async def test_who_begins_to_speak_has_to_go_on(tmp_path: Path) -> None:
    async with workload(tmp_path, "PERMISSIVE") as side, asyncio.timeout(SECONDS), connection(side) as (reader, writer):
        (bound,) = [one for one in side.app.listeners.values() if one.listener.name == "virtualInbound"]
        writer.write(b"\x16\x03\x01")
        await until(lambda: any(each.deadline for each in bound.tracker.connections))
        bound.tracker.sweep(side.app.clock.monotonic() + side.app.settings.request_headers_timeout - 1)
        await asyncio.sleep(0.01)
        assert bound.connections == 1
        bound.tracker.sweep(side.app.clock.monotonic() + side.app.settings.request_headers_timeout + 1)
        assert await reader.read() == b""


async def test_a_drain_ends_idle_connections_and_those_that_said_nothing(tmp_path: Path) -> None:
    async with workload(tmp_path, "PERMISSIVE") as side, asyncio.timeout(SECONDS):
        (bound,) = [one for one in side.app.listeners.values() if one.listener.name == "virtualInbound"]
        async with connection(side) as (silent, _), connection(side, brings(tmp_path, "mesh")) as (reader, writer):
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\nok")
            assert bound.connections == 2
            bound.drain()
            assert await silent.read() == await reader.read() == b""
        await until(lambda: bound.connections == 0)
