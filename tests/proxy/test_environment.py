"""What the exchanges of a connection share: the authority taken apart, and the table that serves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.tls import Peer
from pyproxy.proxy import environment
from pyproxy.proxy.environment import ClientConnection, split_authority
from pyproxy.runtime.counters import HttpStats
from pyproxy.snapshot.model import (
    Direction,
    HttpSettings,
    Identity,
    Listener,
    ListenerKind,
    RouteTable,
    Snapshot,
    VirtualHost,
)


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (b"A.com", (b"a.com", None)),
        (b"a.com:80", (b"a.com", 80)),
        (b"a.com:", (b"a.com:", None)),
        (b"a.com:123456", (b"a.com:123456", None)),
        (b"[::1]:80", (b"[::1]", 80)),
        (b"[::1]", (b"[::1]", None)),
        (b"::1", (b"::1", None)),
        (b"", (b"", None)),
        (b"a b", None),
        (b"a<b", None),
        (b"a\x7f", None),
    ],
)
def test_an_authority_is_a_host_and_perhaps_a_port(authority: bytes, expected: tuple[bytes, int | None] | None) -> None:
    assert split_authority(authority) == expected
    assert split_authority(authority) == expected  # from memory


@given(st.text("aB.:[]@-_%09 /", max_size=12).map(str.encode))
def test_any_authority_taken_apart_slowly(authority: bytes) -> None:
    """The port follows the last colon, where it is a number and the colon is no part of a bare IPv6 address."""
    expected: tuple[bytes, int | None] | None = (authority.lower(), None)
    host, colon, port = authority.rpartition(b":")
    bare = host.count(b":") > 0 and not host.endswith(b"]")
    if b" " in authority or b"/" in authority:
        expected = None
    elif colon and 0 < len(port) < 6 and all(byte in b"0123456789" for byte in port) and not bare:
        expected = host.lower(), int(port)
    assert split_authority(authority) == expected


def test_a_client_who_invents_authorities_fills_no_memory() -> None:
    for number in range(2 * environment._MAX_AUTHORITIES):
        split_authority(b"h%d" % number)
    assert len(environment._authorities) <= environment._MAX_AUTHORITIES


def test_a_requests_context_knows_its_connections_tls() -> None:
    settings = HttpSettings()
    listener = Listener("l", ListenerKind.NAMED, "127.0.0.1", 1, settings)
    connection = ClientConnection(listener, settings, HttpStats())
    connection.server_name = "shop.test"
    ctx = RequestContext(RequestHead(b"GET", b"/", b"shop.test", []), 0.0, 0.0)
    connection.describe_tls(ctx)
    assert (ctx.requested_server_name, ctx.downstream_tls, ctx.downstream_peer_uri_san) == ("shop.test", None, "")
    connection.tls = Peer(uri_sans=("spiffe://a", "spiffe://b"))
    connection.describe_tls(ctx)
    assert (ctx.downstream_tls, ctx.downstream_peer_uri_san) == (connection.tls, "spiffe://a")


TABLES = ("80", "9080", "any", "allow_any", "inbound|8080||", "mine")


def serving(kind: ListenerKind, captured: tuple[str, int] | None, port: int | None = None) -> str:
    """The name of the virtual host that a request on such a connection gets."""
    tables = {name: RouteTable(name, {b"x": VirtualHost(name, ("x",), ())}) for name in TABLES}
    ports = {80: tables["80"], 9080: tables["9080"]}
    snapshot = Snapshot(Identity(), (), tables, {}, inbound_ports={8080: "http"}, port_tables=ports)
    settings = HttpSettings(direction=Direction.OUTBOUND)
    listener = Listener("l", kind, "127.0.0.1", 1, settings, route_table="mine")
    connection = ClientConnection(listener, settings, HttpStats())
    connection.original_destination = captured
    found = connection.virtual_host(snapshot, b"x", port)
    return "" if found is None else found.name


@pytest.mark.parametrize(
    ("kind", "captured", "port", "table"),
    [
        (ListenerKind.NAMED, None, 80, "mine"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.0.0.1", 9080), 80, "9080"),
        (ListenerKind.OUTBOUND_CAPTURE, ("10.0.0.1", 7), 80, "allow_any"),
        (ListenerKind.OUTBOUND_CAPTURE, None, 9080, "9080"),
        (ListenerKind.OUTBOUND_CAPTURE, None, None, "any"),
        (ListenerKind.HTTP_PROXY, None, 7, "any"),
        (ListenerKind.INBOUND_CAPTURE, ("10.0.0.1", 8080), None, "inbound|8080||"),
        (ListenerKind.INBOUND_CAPTURE, None, 7, "inbound|8080||"),
    ],
)
def test_the_listener_and_where_the_client_was_going_choose_the_table(
    kind: ListenerKind, captured: tuple[str, int] | None, port: int | None, table: str
) -> None:
    assert serving(kind, captured, port) == table
