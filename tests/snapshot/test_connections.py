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
    """The first cluster for a captured connection; without an address, for CONNECT."""
    route = snapshot.tcp_route(address, port, name) if address else snapshot.connect_route(name, port)
    return route.clusters[0][0] if route is not None else None


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


def test_weights_share_connections_under_the_rules_own_name() -> None:
    shift = rules(
        "hosts: [db.com]\ntcp:\n- route:\n  - {destination: {host: db.com}, weight: 90}\n"
        "  - {destination: {host: web.com}, weight: 10}\n  - {destination: {host: none.com}, weight: 0}"
    )
    route = compiled(DB, WEB, shift).tcp_route("10.1.1.1", 5432)

    assert route is not None
    assert route.name == "rules.default"
    assert route.clusters == (("outbound|5432||db.com", 90), ("outbound|80||web.com", 10))
    assert route.cumulative == (90, 100)


SUBNETS = rules(
    """
hosts: [db.com]
tcp:
- match: [{destinationSubnets: [10.0.0.0/8, 10.1.0.0/16]}]
  route: [{destination: {host: one.com}}]
- match: [{destinationSubnets: [10.1.1.1]}, {destinationSubnets: [fd00::/8], port: 5432}]
  route: [{destination: {host: two.com}}]
- match: [{port: 1}]
  route: [{destination: {host: never.com}}]
"""
)


def test_the_longest_subnet_that_holds_the_destination_decides() -> None:
    snapshot = compiled(entry("db.com", "5432/TCP"), SUBNETS)

    assert where(snapshot, "10.9.9.9", 5432) == "outbound|5432||one.com"
    assert where(snapshot, "10.1.1.1", 5432) == where(snapshot, "fd00::1", 5432) == "outbound|5432||two.com"
    assert where(snapshot, "11.1.1.1", 5432) == "outbound|5432||db.com"
    assert where(snapshot, "", 5432, "db.com") == "outbound|5432||db.com", "CONNECT knows no address"


def test_a_service_with_an_address_meets_the_subnets_that_hold_it() -> None:
    snapshot = compiled(DB, SUBNETS)

    assert where(snapshot, "10.1.1.1", 5432) == "outbound|5432||two.com"
    assert where(snapshot, "10.9.9.9", 5432) is None
    assert snapshot.tcp_subnets == {}


def test_a_service_with_a_network_of_addresses_has_those_alone() -> None:
    snapshot = compiled(entry("db.com", "5432/TCP", addresses="10.1.0.0/16"))

    assert where(snapshot, "10.1.2.3", 5432) == "outbound|5432||db.com"
    assert where(snapshot, "10.2.2.3", 5432) is None


def test_tls_matches_look_at_name_and_subnet_together() -> None:
    """No way back: where a subnet holds the address, and knows the name not, what all have counts."""
    snapshot = compiled(
        BANK,
        rules(
            """
hosts: [bank.com]
tls:
- match: [{sniHosts: [bank.com]}]
  route: [{destination: {host: far.com}}]
- match: [{sniHosts: [bank.com], destinationSubnets: [10.0.0.0/8]}]
  route: [{destination: {host: near.com}}]
"""
        ),
    )

    assert where(snapshot, "10.1.1.1", 443, "bank.com") == "outbound|443||near.com"
    assert where(snapshot, "11.1.1.1", 443, "bank.com") == "outbound|443||far.com"
    assert where(snapshot, "10.1.1.1", 443, "other.com") is None
    assert where(snapshot, "10.1.1.1", 443) is None


def test_the_first_destinations_rule_keeps_the_connections() -> None:
    keeping = rules(
        "host: db.com\ntrafficPolicy:\n  connectionPool: {tcp: {idleTimeout: 30s, maxConnectionDuration: 60s}}\n"
        "  loadBalancer: {consistentHash: {useSourceIp: true}}\n"
        "subsets: [{name: v1, labels: {v: '1'}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]",
        kind="DestinationRule",
    )
    route = compiled(DB, keeping).tcp_route("10.1.1.1", 5432)
    assert route is not None
    assert (route.name, route.idle_timeout, route.max_duration, route.by_source) == (
        "outbound|5432||db.com",
        30.0,
        60.0,
        True,
    )
    to_subset = rules("hosts: [db.com]\ntcp: [{route: [{destination: {host: db.com, subset: v1}}]}]")
    route = compiled(DB, keeping, to_subset).tcp_route("10.1.1.1", 5432)
    assert route is not None
    assert (route.name, route.idle_timeout, route.by_source) == ("outbound|5432|v1|db.com", 30.0, False)


def test_a_rule_may_lead_through_a_tunnel_and_a_subset_has_its_own_or_none() -> None:
    rule = rules(
        "host: db.com\ntrafficPolicy: {tunnel: {targetHost: target.com, targetPort: 443}}\n"
        "subsets:\n- {name: v1, labels: {v: '1'}}\n"
        "- {name: v2, labels: {v: '2'}, trafficPolicy: {tunnel: {targetHost: '2001:db8::1', targetPort: 1}}}\n"
        "- {name: v3, labels: {v: '3'}, trafficPolicy: {tunnel: {protocol: POST, targetHost: a.com, targetPort: 1}}}",
        kind="DestinationRule",
    )

    def tunnel_to(*destinations: str) -> str:
        route = rules(f"hosts: [db.com]\ntcp: [{{route: [{', '.join(destinations)}]}}]")
        found = compiled(DB, rule, *([route] if destinations else [])).tcp_route("10.1.1.1", 5432)
        assert found is not None
        return found.tunnel

    to = "{destination: {host: db.com, subset: %s}, weight: 50}"
    assert tunnel_to() == "target.com:443"
    assert [tunnel_to(to % each) for each in ("v1", "v2", "v3")] == ["", "[2001:db8::1]:1", ""]
    assert tunnel_to(to % "v1", to % "v2") == "target.com:443"


def test_what_nobody_knows_goes_on_to_an_egress_proxy_or_nowhere() -> None:
    policy = "outboundTrafficPolicy: {mode: %s%s}"
    proxy = ", egressProxy: {host: out.test, port: {number: 3128}}"
    assert compiled().unknown_route.name == "PassthroughCluster"
    for mode, more, cluster in (
        ("ALLOW_ANY", "", "PassthroughCluster"),
        ("ALLOW_ANY", proxy, "outbound|3128||out.test"),
        ("REGISTRY_ONLY", "", "BlackHoleCluster"),
    ):
        assert compiled(rules(policy % (mode, more), kind="Sidecar")).unknown_route.name == cluster
