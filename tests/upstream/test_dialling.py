"""Which hosts get TLS, under which name, offering what. For handshakes see tests/integration/test_upstream_tls.py."""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from pyproxy.core.loop import SystemClock
from pyproxy.core.tls import ClientTls, ClientTlsMode, MeshTls
from pyproxy.mtls.channel import TlsChannel
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Endpoint, TcpKeepalive
from pyproxy.upstream.dialling import (
    HTTP1,
    HTTP2,
    TCP,
    TlsDialler,
    TlsFailed,
    named_by_request,
    offered,
    server_name,
    set_keepalive,
    tls_of,
)
from pyproxy.upstream.tcp import DialError, Holding, dial
from tests.certificates import Authority

MUTUAL = ClientTls(ClientTlsMode.ISTIO_MUTUAL, sni="outbound_.80_._.x")
AUTOMATIC = replace(MUTUAL, automatic=True)
SIMPLE = ClientTls(ClientTlsMode.SIMPLE, auto_san=True)


def host(tls: ClientTls | None, *, able: bool = True) -> HostState:
    """A host that nobody listens at."""
    cluster = Cluster("c", endpoints=(Endpoint("127.0.0.1", 1, mutual_tls=able),), tls=tls)
    return ClusterState(cluster, SystemClock(), random.Random(1)).hosts[0]


@pytest.fixture
def contexts(tmp_path: Path) -> Contexts:
    return Contexts(Authority().workload(tmp_path))


def test_automatic_mutual_tls_is_for_hosts_that_take_it_from_proxies_that_can(contexts: Contexts) -> None:
    assert tls_of(host(AUTOMATIC), contexts) is AUTOMATIC
    assert tls_of(host(AUTOMATIC, able=False), contexts) is None
    assert tls_of(host(AUTOMATIC), Contexts()) is None
    assert tls_of(host(AUTOMATIC), None) is None


def test_what_a_rule_asks_for_is_done_or_fails(contexts: Contexts) -> None:
    for someone in (contexts, Contexts(), None):
        assert tls_of(host(MUTUAL, able=False), someone) is MUTUAL
    assert tls_of(host(None), contexts) is None


@pytest.mark.parametrize("someone", [Contexts(), None])
async def test_without_a_certificate_there_is_no_connection(someone: Contexts | None) -> None:
    one = host(MUTUAL)
    with pytest.raises(TlsFailed, match=r"^TLS_error:_Secret_is_not_supplied_by_SDS$"):
        await TlsDialler(one, MUTUAL, someone, "", HTTP1).connect(Holding(b""))
    with pytest.raises(DialError, match="remote connection failure TLS_error:_Secret"):
        await dial(one, someone, b"")
    assert (one.stats.cx_connect_fail, one.cluster.stats.upstream_cx_connect_fail) == (1, 1)


async def test_a_socket_that_cannot_be_had_is_an_ordinary_failure(contexts: Contexts) -> None:
    with pytest.raises(ConnectionRefusedError):
        await TlsDialler(host(MUTUAL), MUTUAL, contexts, "", HTTP1).connect(Holding(b""))


async def test_a_tunnel_knows_who_is_at_its_other_end(contexts: Contexts) -> None:
    def channel() -> asyncio.Protocol:
        context = contexts.server(MeshTls())
        assert context is not None
        return cast(asyncio.Protocol, TlsChannel(context, secured=TlsChannel.close, failed=pytest.fail))

    server = await asyncio.get_running_loop().create_server(channel, "127.0.0.1", 0)
    cluster = Cluster("c", endpoints=(Endpoint(*server.sockets[0].getsockname()),), tls=MUTUAL)
    one = ClusterState(cluster, SystemClock(), random.Random(1)).hosts[0]
    holding = await dial(one, contexts, b"")
    assert holding.peer is not None
    assert holding.peer.uri_san == "spiffe://cluster.local/ns/default/sa/reviews"
    assert one.cluster.stats.ssl_handshake == 1
    holding.transport.abort()
    server.close()
    await asyncio.sleep(0.01)


def test_names_come_from_requests_outside_of_theMeshTls() -> None:
    assert named_by_request(SIMPLE)
    assert named_by_request(ClientTls(ClientTlsMode.MUTUAL))
    assert not named_by_request(ClientTls(ClientTlsMode.SIMPLE, sni="example.com"))
    assert not named_by_request(MUTUAL)


@pytest.mark.parametrize(
    "name", ["example.com", "localhost", "outbound_.80_.v1_.x.default.svc.cluster.local", "a" * 63]
)
def test_names_that_sni_can_carry(name: str) -> None:
    assert server_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "10.0.0.1", "::1", "a..b", ".a", "a" * 64, "é.example.com", "a b", ".".join(["a" * 60] * 5)]
)
def test_names_that_it_cannot_carry(name: str) -> None:
    assert server_name(name) is None


def test_what_will_be_spoken_decides_what_is_offered() -> None:
    assert offered(MUTUAL, HTTP1) == ("istio-http/1.1", "istio", "http/1.1")
    assert offered(MUTUAL, HTTP2) == ("istio-h2", "istio", "h2")
    assert offered(MUTUAL, TCP) == ("istio-peer-exchange", "istio")
    assert offered(SIMPLE, HTTP1) == ("http/1.1",)
    assert offered(SIMPLE, TCP) == ()
    assert offered(replace(SIMPLE, alpn=("h2",)), HTTP2) == ("h2",)


def test_keepalive_as_the_document_says_or_the_system() -> None:
    with socket.socket() as sock:
        set_keepalive(sock, TcpKeepalive(probes=3, time=60))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPCNT") and hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


async def test_connections_are_kept_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint(*server.getsockname())
        cluster = Cluster("c", endpoints=(endpoint,), connection=ConnectionSettings(keepalive=TcpKeepalive(time=61)))
        holding = await dial(ClusterState(cluster, SystemClock(), random.Random(1)).hosts[0], None, b"")
        sock = holding.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 61
        holding.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [None, ClientTls(ClientTlsMode.SIMPLE)])
async def test_who_the_client_is_comes_before_all_else(tls: ClientTls | None) -> None:
    client = "10.0.0.1:1", "10.0.0.2:2"
    first = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint(*server.getsockname())
        told = ConnectionSettings(proxy_protocol="V1")
        one = ClusterState(
            Cluster("c", endpoints=(endpoint,), connection=told, tls=tls), SystemClock(), random.Random(1)
        )
        dialling = asyncio.create_task(dial(one.hosts[0], Contexts(), b"", client))
        accepted, _ = await asyncio.to_thread(server.accept)
        with accepted:
            accepted.settimeout(10)
            got = b""
            while len(got) < len(first) + (2 if tls else 0):
                got += await asyncio.to_thread(accepted.recv, 4096)
        assert got.startswith(first)
        assert got[len(first) :][:2] == (b"\x16\x03" if tls else b"")  # a ClientHello
        if tls is None:
            (await dialling).transport.abort()
        else:
            with pytest.raises(DialError):
                await dialling
        await asyncio.sleep(0)


async def test_without_a_client_a_connection_is_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        told = ConnectionSettings(proxy_protocol="V1")
        cluster = Cluster("c", endpoints=(Endpoint("127.0.0.1", port),), connection=told)
        holding = await dial(ClusterState(cluster, SystemClock(), random.Random(1)).hosts[0], None, b"")
        accepted, source = await asyncio.to_thread(server.accept)
        with accepted:
            assert accepted.recv(4096) == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (source[1], port)
        holding.transport.abort()
        await asyncio.sleep(0)
