"""Lookups of the snapshot's own."""

from __future__ import annotations

from dataclasses import replace

from pyproxy.core.tls import MtlsMode
from pyproxy.snapshot.model import (
    INBOUND_PASSTHROUGH_CLUSTER,
    DirectResponse,
    Identity,
    Route,
    RouteTable,
    Snapshot,
    VirtualHost,
)
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


def inbound(*ports: int) -> Snapshot:
    names = [*(f"inbound|{port}||" for port in ports), INBOUND_PASSTHROUGH_CLUSTER]
    tables = {name: RouteTable(name, {}, default=VirtualHost(name, ("*",), ())) for name in names}
    return Snapshot(Identity(), (), tables, {}, inbound_ports=dict.fromkeys(ports, "http"))


def inbound_host(snapshot: Snapshot, captured: int | None, named: int | None) -> str:
    found = snapshot.inbound_table(captured, named, b"x")
    return "" if found is None else found.name


def test_an_inbound_request_goes_to_the_port_it_was_captured_for_or_names_or_the_lowest() -> None:
    snapshot = inbound(8080, 9090)
    assert inbound_host(snapshot, 9090, 8080) == "inbound|9090||"
    assert inbound_host(snapshot, None, 9090) == "inbound|9090||"
    assert inbound_host(snapshot, None, 80) == "inbound|8080||"
    assert inbound_host(snapshot, None, None) == "inbound|8080||"


def test_only_a_captured_request_passes_through_to_an_undeclared_port() -> None:
    for snapshot in (inbound(), inbound(8080)):
        assert inbound_host(snapshot, 15, None) == INBOUND_PASSTHROUGH_CLUSTER
    assert inbound_host(inbound(), None, 15000) == ""  # else the inbound port were a way to whatever we can reach
    assert inbound_host(inbound(), None, None) == ""


def test_a_connection_to_the_inbound_port_may_be_for_any_of_the_workloads() -> None:
    strict, permissive = MtlsMode.STRICT, MtlsMode.PERMISSIVE
    mixed = replace(inbound(8080, 9090), inbound_mtls={9090: strict})
    assert [mixed.inbound_mode(port) for port in (8080, 9090, 7, None)] == [permissive, strict, permissive, permissive]
    assert replace(mixed, inbound_mtls={8080: strict, 9090: strict}).inbound_mode(None) is strict
    assert replace(inbound(), inbound_mtls_default=strict).inbound_mode(None) is strict


def test_plaintext_reaches_no_strict_port() -> None:
    mixed = replace(inbound(8080, 9090), inbound_mtls={9090: MtlsMode.STRICT})
    assert mixed.takes_plaintext(8080, 9090)
    assert not mixed.takes_plaintext(9090, 8080)
    assert not mixed.takes_plaintext(7, 9090)  # nobody declared 7, and the Host of its requests would lead to 9090
    assert mixed.takes_plaintext(7, None)
    assert not mixed.takes_plaintext(None, 9090)
    assert mixed.takes_plaintext(None, 80) and mixed.takes_plaintext(None, None)
    lowest = replace(mixed, inbound_mtls={8080: MtlsMode.STRICT})
    assert not lowest.takes_plaintext(None, 80) and not lowest.takes_plaintext(None, None)
    assert lowest.takes_plaintext(None, 9090)
    everywhere = replace(mixed, inbound_mtls={}, inbound_mtls_default=MtlsMode.STRICT)
    assert not everywhere.takes_plaintext(8080, None)


def test_the_lowest_port_is_the_lowest_that_carries_http() -> None:
    plain = Snapshot(Identity(), (), inbound(8080).route_tables, {}, inbound_ports={82: "tcp", 8080: "http"})
    assert inbound_host(plain, None, None) == "inbound|8080||"
