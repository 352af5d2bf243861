"""Lookups of the snapshot's own."""

from __future__ import annotations

from pyproxy.snapshot.model import DirectResponse, Route, RouteTable, VirtualHost
from tests.snapshot.documents import request

DEFAULT = VirtualHost("default", ("*",), ())
EXACT = VirtualHost("exact", ("a.com",), ())
SHORT = VirtualHost("short", ("*.com",), ())
LONG = VirtualHost("long", ("*.b.com",), ())
TABLE = RouteTable("t", {b"a.com": EXACT}, {b".com": SHORT, b".b.com": LONG}, (6, 4), DEFAULT)


def test_exact_then_the_longest_suffix_then_the_default() -> None:
    found = [TABLE.virtual_host_for(host) for host in (b"a.com", b"x.b.com", b"b.com", b"x.net", b".com", b"")]

    assert found == [EXACT, LONG, SHORT, DEFAULT, DEFAULT, DEFAULT]


def test_the_default_is_nobodys_name() -> None:
    assert TABLE.named(b"a.com") is EXACT
    assert TABLE.named(b"x.net") is None


def test_the_first_route_that_matches() -> None:
    refuse = DirectResponse(403)
    routes = (
        Route("post", lambda head: head.method == b"POST", refuse),
        Route("put", lambda head: head.method == b"PUT", refuse),
    )
    host = VirtualHost("h", (), routes)

    assert host.route_for(request(method="PUT")) is routes[1]
    assert host.route_for(request()) is None
    assert VirtualHost("h", (), (*routes, Route("all", None, refuse))).route_for(request()) is not None
