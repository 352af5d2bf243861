"""Captured connections that are not HTTP, and names that TLS or CONNECT ask for."""

from __future__ import annotations

from pyproxy.snapshot.model import Snapshot
from tests.snapshot.documents import compiled, entry, rules
from tests.snapshot.test_registry import kubernetes
from tests.snapshot.test_workloads import workload

DB = entry("db.com", "5432/TCP", addresses="10.1.1.1")
WEB = entry("web.com", "80/HTTP", addresses="10.1.1.2")
WIKI = entry("*.wiki.org", "443/TLS", resolution="NONE", name="wiki")
BANK = entry("bank.com", "443/HTTPS")


def where(snapshot: Snapshot, address: str, port: int, name: str = "") -> str | None:
    return snapshot.tcp_cluster(address, port, name.encode())


def test_http_ports_are_known_by_number_and_tcp_by_address() -> None:
    snapshot = compiled(DB, WEB)

    assert snapshot.outbound_ports == {80: "http"}
    assert snapshot.outbound_protocol("10.1.1.2", 80) == "http"
    assert snapshot.outbound_protocol("10.1.1.1", 5432) == "tcp"
    assert snapshot.outbound_protocol("10.9.9.9", 5432) == ""
    assert where(snapshot, "10.1.1.1", 5432) == "outbound|5432||db.com"
    assert where(snapshot, "10.9.9.9", 5432) is None


def test_tcp_without_an_address_owns_its_port_and_the_oldest_has_it() -> None:
    snapshot = compiled(entry("one.com", "5432/TCP"), entry("two.com", "5432/TCP"))

    assert snapshot.outbound_ports == {5432: "tcp"}
    assert where(snapshot, "10.9.9.9", 5432) == "outbound|5432||one.com"


def test_http_and_tcp_on_one_port_are_told_apart_by_their_bytes() -> None:
    assert compiled(entry("a.com", "80/TCP"), entry("b.com", "80/HTTP")).outbound_ports == {80: "auto"}
    assert compiled(entry("a.com", "80/HTTP"), entry("b.com", "80")).outbound_ports == {80: "auto"}


def test_a_port_without_a_protocol_is_told_by_its_bytes() -> None:
    snapshot = compiled(kubernetes("web", "clusterIP: 10.1.1.3, ports: [{name: x, port: 80}]"))

    assert snapshot.outbound_protocol("10.1.1.3", 80) == "auto"
    assert where(snapshot, "10.1.1.3", 80) == "outbound|80||web.default.svc.cluster.local"


def test_a_headless_service_is_known_by_its_endpoints() -> None:
    snapshot = compiled(
        kubernetes("db", "clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 5432}]"),
        workload("db-0", "10.0.0.7", "app: db"),
    )

    assert where(snapshot, "10.0.0.7", 5432) == "outbound|5432||db.default.svc.cluster.local"
    assert snapshot.outbound_ports == {}


def test_tls_is_routed_by_server_name() -> None:
    snapshot = compiled(WIKI, BANK)

    assert snapshot.outbound_ports == {443: "tcp"}
    assert where(snapshot, "1.2.3.4", 443, "bank.com") == "outbound|443||bank.com"
    assert where(snapshot, "1.2.3.4", 443, "en.wiki.org") == "outbound|443||*.wiki.org"
    assert where(snapshot, "1.2.3.4", 443, "other.org") is None


def test_connect_finds_services_of_every_protocol_by_name() -> None:
    snapshot = compiled(DB, WEB, entry("reviews.default.svc.cluster.local", "9080/HTTP"))

    assert where(snapshot, "", 5432, "db.com") == "outbound|5432||db.com"
    assert where(snapshot, "", 80, "web.com") == "outbound|80||web.com"
    assert where(snapshot, "", 9080, "reviews") == "outbound|9080||reviews.default.svc.cluster.local"
    assert where(snapshot, "", 81, "web.com") is None


def test_tcp_routes_of_a_virtual_service() -> None:
    shift = rules(
        """
hosts: [db.com]
tcp:
- match: [{sourceLabels: {app: other}}]
  route: [{destination: {host: web.com}}]
- match: [{port: 5432, destinationSubnets: [10.0.0.0/8]}]
  route: [{destination: {host: web.com}}]
- match: [{port: 5432}]
  route: [{destination: {host: web.com, port: {number: 81}}, weight: 0}, {destination: {host: web.com}, weight: 1}]
"""
    )

    assert where(compiled(DB, WEB, shift), "10.1.1.1", 5432) == "outbound|80||web.com"


def test_tls_routes_of_a_virtual_service() -> None:
    spread = rules(
        """
hosts: ['*.wiki.org']
tls:
- match: [{sniHosts: [en.wiki.org], gateways: [door]}]
  route: [{destination: {host: nowhere.com}}]
- match: [{sniHosts: [en.wiki.org], port: 443}]
  route: [{destination: {host: bank.com}}]
- match: [{sniHosts: ['*.wiki.org']}]
  route: [{destination: {host: '*.wiki.org'}}]
"""
    )
    snapshot = compiled(WIKI, BANK, spread)

    assert where(snapshot, "1.2.3.4", 443, "en.wiki.org") == "outbound|443||bank.com"
    assert where(snapshot, "1.2.3.4", 443, "de.wiki.org") == "outbound|443||*.wiki.org"


def test_ports_of_an_egress_listener_are_its_alone() -> None:
    snapshot = compiled(
        entry("one.com", "5432/TCP", name="one"),
        entry("two.com", "5432/TCP", "5433/TCP", name="two"),
        rules(
            "egress:\n- port: {number: 5432, protocol: TCP, name: db}\n  hosts: ['./two.com']\n- hosts: ['*/*']",
            kind="Sidecar",
        ),
    )

    assert where(snapshot, "10.9.9.9", 5432) == "outbound|5432||two.com"
    assert where(snapshot, "10.9.9.9", 5433) == "outbound|5433||two.com"
