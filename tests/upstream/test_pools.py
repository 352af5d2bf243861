"""Which pool of a host a request takes."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pyproxy.core.loop import SystemClock
from pyproxy.core.tls import ClientTls, ClientTlsMode
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Cluster, ConnectionSettings, Endpoint
from pyproxy.upstream.http2_pool import Http2Pool
from pyproxy.upstream.pool import HostPool
from pyproxy.upstream.pools import SeveralPools, host_of, pool_of
from pyproxy.upstream.stream import Lender

CLOCK = SystemClock()
SIMPLE = ClientTls(ClientTlsMode.SIMPLE)


def host(tls: ClientTls | None = None, http_version: str = "1") -> HostState:
    cluster = Cluster("c", endpoints=(Endpoint("127.0.0.1", 1),), tls=tls, http_version=http_version)
    return ClusterState(cluster, CLOCK, random.Random(1)).hosts[0]


def pool(one: HostState, authority: bytes = b"a.example.com", *, http2: bool = False) -> HostPool | Http2Pool:
    return pool_of(one, CLOCK, Contexts(), authority, http2=http2)


def test_a_host_has_one_pool_where_nothing_divides_it() -> None:
    one = host()
    assert pool(one) is pool(one, b"b.example.com", http2=True) is one.pool
    assert isinstance(one.pool, HostPool)
    assert isinstance(pool(host(http_version="2")), Http2Pool)


def test_what_the_client_speaks_may_decide() -> None:
    one = host(http_version="downstream")
    assert isinstance(pool(one), HostPool)
    assert isinstance(pool(one, http2=True), Http2Pool)
    assert pool(one) is pool(one, b"b.example.com")
    assert isinstance(one.pool, SeveralPools)


def test_names_that_certificates_must_fit_have_pools_of_their_own() -> None:
    one = host(SIMPLE)
    first = pool(one)
    first._connecting = 1
    assert pool(one, b"A.example.com:443") is first
    assert pool(one, b"b.example.com") is not first
    assert one.pool is not None
    assert one.pool.connections == 1


class Client:
    def __init__(self, remote: str) -> None:
        self.ends = (remote, "127.0.0.1:80")


def test_hosts_that_are_told_who_the_client_is_have_a_pool_for_each() -> None:
    told = ConnectionSettings(proxy_protocol="V1")
    cluster = Cluster("c", endpoints=(Endpoint("127.0.0.1", 1),), connection=told)
    one = ClusterState(cluster, CLOCK, random.Random(1)).hosts[0]

    def of(client: Client | None) -> Lender:
        found = pool_of(one, CLOCK, None, b"a", http2=False, client=client)
        found._connecting = 1
        return found

    first, nobodys = of(Client("10.0.0.1:1")), of(None)
    assert of(Client("10.0.0.1:1")) is first
    assert of(Client("10.0.0.1:2")) is not first
    assert of(None) is nobodys is not first


def test_a_reload_may_say_that_hosts_are_told_who_the_client_is() -> None:
    one = host()
    before = pool(one)
    one.cluster.reconfigure(replace(one.cluster.cluster, connection=ConnectionSettings(proxy_protocol="V2")))
    assert pool(one) is not before
    assert isinstance(one.pool, SeveralPools)


def test_a_pool_that_nobody_uses_does_not_stay() -> None:
    one = host(SIMPLE)
    first = pool(one)
    for number in range(1000):
        pool(one, b"%d.example.com" % number)
    assert isinstance(one.pool, SeveralPools)
    assert len(one.pool._pools) == 1
    assert pool(one) is not first


def test_a_name_in_the_rule_needs_one_pool_only() -> None:
    assert isinstance(pool(host(ClientTls(ClientTlsMode.SIMPLE, sni="example.com"))), HostPool)


def test_secured_otherwise_is_another_pool() -> None:
    one = host()
    before = pool(one)
    state = one.cluster
    state.reconfigure(Cluster("c", endpoints=state.cluster.endpoints, tls=SIMPLE))
    assert one.pool is None
    assert pool(one) is not before
    secured = one.pool
    state.reconfigure(Cluster("c", endpoints=state.cluster.endpoints, tls=SIMPLE, port=80))
    assert one.pool is secured


def test_an_endpoint_that_takes_mutual_tls_now_is_another_pool() -> None:
    one = host()
    pool(one)
    one.cluster.reconfigure(Cluster("c", endpoints=(Endpoint("127.0.0.1", 1, mutual_tls=True),)))
    assert one.pool is None


@pytest.mark.parametrize(
    ("authority", "name"),
    [(b"A.example.com", "a.example.com"), (b"a:80", "a"), (b"[::1]:80", "::1"), (b"[::1]", "::1"), (b"", "")],
)
def test_the_host_of_an_authority(authority: bytes, name: str) -> None:
    assert host_of(authority) == name
