"""Who calls whom over TCP: two sidecars that introduce themselves to each other, and callers that do it badly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pyproxy.app import App
from pyproxy.settings import Settings
from pyproxy.snapshot.model import Identity
from pyproxy.telemetry.peer_metadata import own_frame, own_metadata
from pyproxy.wire.peer_exchange import PEER_EXCHANGE, FrameReader
from tests.certificates import PRODUCTPAGE
from tests.in_process import SECONDS, connected, port_of, until
from tests.inbound_side import MESH, Side, client_context, connection, workload
from tests.snapshot.documents import entry, rules

pytestmark = pytest.mark.integration
WHO = """apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: productpage}
spec: {address: 127.0.0.1, serviceAccount: productpage, labels: {app: productpage}}
"""
CALLER = own_frame(own_metadata(Identity(workload="productpage", labels={"app": "productpage"})))
OPENED, SENT = b"istio_tcp_connections_opened_total", b"istio_tcp_sent_bytes_total"
_PORTS: Any = dict.fromkeys(
    ("outbound_port", "inbound_port", "http_proxy_port", "admin_port", "status_port", "metrics_port"), 0
)


@pytest.fixture
async def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Side]:
    (tmp_path / "server").mkdir()
    async with workload(tmp_path / "server", "STRICT", "TCP") as made:
        _redirect(monkeypatch, made.application.port)
        yield made


def _redirect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr("pyproxy.downstream.listener.original_destination", lambda *_: ("127.0.0.1", port))


@asynccontextmanager
async def productpage(folder: Path, inbound: int) -> AsyncIterator[App]:
    """A sidecar that reaches `reviews.mesh` by a listener of its own, and by CONNECT."""
    endpoint = f"{{address: 127.0.0.1, ports: {{p5432: {inbound}}}, serviceAccount: reviews}}"
    local = "egress: [{port: {number: 5432, name: tcp, protocol: TCP}, captureMode: NONE, hosts: ['*/*']}]"
    texts = WHO, entry("reviews.mesh", "5432/TCP", endpoints=endpoint), rules(local, kind="Sidecar")
    (folder / "client.yaml").write_text("\n---\n".join(texts))
    certs = MESH.workload(folder / "certs", PRODUCTPAGE)
    config = (folder / "client.yaml",)
    app = App(Settings(config=config, workload="productpage", address="127.0.0.1", certs=certs, **_PORTS))
    await app.start()
    try:
        yield app
    finally:
        await app.shut_down()


def line(app: App, name: bytes) -> bytes:
    """The one series of that name; empty when there is none yet."""
    found = [each for each in app.metrics.render().splitlines() if each.startswith(name + b"{")]
    assert len(found) < 2
    return found[0] if found else b""


def ended(app: App) -> Callable[[], bool]:
    return lambda: line(app, b"istio_tcp_connections_closed_total").endswith(b" 1")


async def test_both_sidecars_know_who_is_at_the_other_end(tmp_path: Path, side: Side) -> None:
    async with productpage(tmp_path, port_of(side.app, "virtualInbound")) as app:
        async with connected(app, "127.0.0.1_5432") as client:
            client.send(b"bytes")
            assert await client.reader.readexactly(8) == b"not HTTP"
        for each in (app, side.app):
            await until(ended(each))
        source, destination = line(app, SENT), line(side.app, SENT)
    assert side.application.began == [b"bytes"]
    for text in (source, destination):
        for label in (
            b'source_workload="productpage"',
            b'source_canonical_service="productpage"',
            b'source_app="productpage"',
            b'destination_workload="reviews"',
            b'destination_canonical_service="reviews"',
            b'destination_app="reviews"',
        ):
            assert label in text
        assert text.endswith(b" 8")  # the metadata is nobody's bytes


async def test_a_server_that_speaks_first_is_introduced_first(
    tmp_path: Path, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        _redirect(monkeypatch, server.sockets[0].getsockname()[1])
        async with productpage(tmp_path, port_of(side.app, "virtualInbound")) as app:
            async with connected(app, "127.0.0.1_5432") as client:
                assert await client.reader.readline() == b"220 ready\r\n"
                await until(lambda: b'destination_workload="reviews"' in line(app, OPENED))
                await until(lambda: b'source_workload="productpage"' in line(side.app, OPENED))
            for each in (app, side.app):
                await until(ended(each))


async def test_connect_reaches_the_same_service(tmp_path: Path, side: Side) -> None:
    async with productpage(tmp_path, port_of(side.app, "virtualInbound")) as app:
        async with connected(app, "http_proxy") as client:
            client.send(b"CONNECT reviews.mesh:5432 HTTP/1.1\r\nhost: reviews.mesh:5432\r\n\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 200 ")
            client.send(b"bytes")
            assert await client.reader.readexactly(8) == b"not HTTP"
        await until(ended(side.app))
        await until(lambda: b"istio_requests_total{" in app.metrics.render())
        assert b'destination_workload="reviews"' in line(app, b"istio_requests_total")
    assert b'source_workload="productpage"' in line(side.app, SENT)


async def call(side: Side, folder: Path, *pieces: bytes) -> tuple[bytes, bytes]:
    """What a caller gets that agreed to the exchange and then sends this: (its peer's Struct, what follows)."""
    context = client_context(folder, MESH.issue(PRODUCTPAGE), [PEER_EXCHANGE, "istio"])
    async with asyncio.timeout(SECONDS), connection(side, context) as (reader, writer):
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == PEER_EXCHANGE
        frame, answer = FrameReader(), b""
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)  # so that it comes alone
        while not answer:
            answer = frame.feed(await reader.read(1000))
        assert frame.fields is not None
        return frame.fields, answer


@pytest.mark.parametrize("cuts", [(), (3,), (8, 20), (len(CALLER),), (len(CALLER) - 1,)], ids=str)
async def test_a_frame_may_come_in_pieces(cuts: tuple[int, ...], tmp_path: Path, side: Side) -> None:
    stream, edges = CALLER + b"bytes", (0, *cuts, None)
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    fields, answer = await call(side, tmp_path, *pieces)
    assert b"reviews" in fields
    assert answer == b"not HTTP"
    assert side.application.began == [b"bytes"]
    await until(ended(side.app))
    assert b'source_workload="productpage"' in line(side.app, SENT)
    assert line(side.app, OPENED).endswith(b" 1")


async def test_who_does_not_introduce_itself_is_unknown_and_served(tmp_path: Path, side: Side) -> None:
    _, answer = await call(side, tmp_path, b"SELECT 1")
    assert answer == b"not HTTP"
    assert side.application.began == [b"SELECT 1"]
    await until(ended(side.app))
    assert b'source_workload="unknown"' in line(side.app, SENT)
    assert b'source_principal="spiffe://cluster.local/ns/default/sa/productpage"' in line(side.app, SENT)


async def test_who_says_nothing_counts_when_it_leaves(tmp_path: Path, side: Side) -> None:
    context = client_context(tmp_path, MESH.issue(PRODUCTPAGE), [PEER_EXCHANGE])
    async with connection(side, context) as (reader, writer):
        assert (await reader.read(8))[:4] == CALLER[:4]
        writer.write(CALLER[:20])
        await until(lambda: any(stats.downstream_cx_total for stats in side.app.tcp_proxies.values()))
        await asyncio.sleep(0.05)
        assert line(side.app, OPENED) == b""
    await until(ended(side.app))
    assert b'source_workload="unknown"' in line(side.app, OPENED)
    assert line(side.app, OPENED).endswith(b" 1")
    assert side.application.began == []


async def test_who_offers_something_else_is_not_told(tmp_path: Path, side: Side) -> None:
    context = client_context(tmp_path, MESH.issue(PRODUCTPAGE), ["istio"])
    async with asyncio.timeout(SECONDS), connection(side, context) as (reader, writer):
        writer.write(CALLER)
        assert await reader.readexactly(8) == b"not HTTP"
    assert side.application.began == [CALLER]
