"""Istio's filter chains as a table: mode, protocol and first bytes to what happens."""

from __future__ import annotations

import pytest

from pyproxy.core.tls import MtlsMode, ServerTls, ServerTlsMode
from pyproxy.downstream.filter_chains import Chain, inbound_chain, lets_in, server_for
from pyproxy.wire.client_hello import ClientHello


def hello(*alpn: str) -> ClientHello:
    return ClientHello("", tuple(each.encode() for each in alpn), ("TLSv1.3",))


PLAINTEXT = None
ISTIO_HTTP = hello("istio-http/1.1", "istio", "http/1.1")
ISTIO_TCP = hello("istio-peer-exchange", "istio")
FOREIGN = hello("h2", "http/1.1")
SILENT = hello()


@pytest.mark.parametrize(
    ("protocol", "first", "strict", "permissive"),
    [
        ("http", PLAINTEXT, None, "plain http"),
        ("http", ISTIO_HTTP, "tls http", "tls http"),
        ("http", ISTIO_TCP, "tls http", "tls http"),
        ("http", FOREIGN, "tls http", None),
        ("http", SILENT, "tls http", None),
        ("tcp", PLAINTEXT, None, "plain tcp"),
        ("tcp", ISTIO_HTTP, "tls tcp", "tls tcp"),
        ("tcp", ISTIO_TCP, "tls tcp", "tls tcp"),
        ("tcp", FOREIGN, "tls tcp", "plain tcp"),
        ("auto", PLAINTEXT, None, "plain auto"),
        ("auto", ISTIO_HTTP, "tls http", "tls http"),
        ("auto", ISTIO_TCP, "tls tcp", "tls tcp"),
        ("auto", hello("istio", "istio-h2"), "tls http", "tls tcp"),  # the client's first that any chain knows
        ("auto", FOREIGN, "tls tcp", "plain tcp"),
    ],
)
def test_chains(protocol: str, first: ClientHello | None, strict: str | None, permissive: str | None) -> None:
    def shown(chain: Chain | None) -> str | None:
        return None if chain is None else f"{'tls' if chain.tls else 'plain'} {chain.protocol}"

    assert shown(inbound_chain(MtlsMode.STRICT, protocol, first)) == strict
    assert shown(inbound_chain(MtlsMode.PERMISSIVE, protocol, first)) == permissive
    assert shown(inbound_chain(MtlsMode.DISABLE, protocol, first)) == f"plain {protocol}"


def server(*hosts: str) -> ServerTls:
    return ServerTls(ServerTlsMode.SIMPLE, hosts)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("a.shop.test", "a.shop.test"),
        ("b.shop.test", "*.shop.test"),
        ("x.b.shop.test", "*.b.shop.test"),
        ("b.test", "*.test"),
        ("shop.test", "*.test"),
        ("else", "*"),
        ("", "*"),
    ],
)
def test_the_most_specific_host_has_the_server(name: str, host: str) -> None:
    servers = [server("*"), server("*.test"), server("*.b.shop.test", "*.shop.test"), server("a.shop.test")]
    found = server_for(servers, name)
    assert found is not None
    assert host in found.hosts
    assert server_for(servers[::-1], name) is found


def test_there_need_be_none() -> None:
    assert server_for([server("*.test", "shop.example")], "") is None
    assert server_for([server("*.test", "shop.example")], "test") is None
    assert server_for([server("*.test")], ".test") is None


def test_what_leads_into_the_mesh_by_itself_is_for_its_proxies() -> None:
    automatic = ServerTls(ServerTlsMode.AUTO_PASSTHROUGH, ("outbound_.80_._.a",))
    assert [lets_in(automatic, each) for each in (ISTIO_HTTP, ISTIO_TCP, FOREIGN, SILENT)] == [True, True, False, False]
    assert lets_in(ServerTls(ServerTlsMode.PASSTHROUGH), FOREIGN)
