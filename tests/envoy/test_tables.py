"""Which names lead where, as Envoy's domains: every case is put beside what the snapshot itself looks up."""

from __future__ import annotations

import pytest

from pyproxy.envoy.tables import BLOCKED, Table, names_by_route, tables_of
from pyproxy.snapshot.model import Identity, RouteTable, Snapshot, VirtualHost
from pyproxy.snapshot.tcp_routes import route_to, routes_by_name
from tests.snapshot.documents import compiled, entry, mesh, rules

SHOP = entry("shop.default.svc.cluster.local", "80/HTTP", "8080/HTTP", endpoints="{address: 10.0.0.1}")
WILD = entry("*.wild.com", "8080/HTTP", resolution="NONE")
INNER = entry("inner.wild.com", "80/HTTP", endpoints="{address: 10.0.0.2}")
BASE = entry("db.com", "5432/TCP", endpoints="{address: 10.0.0.3}")
SECURE = entry("secure.com", "443/TLS", endpoints="{address: 10.0.0.4}")
CLOSED = mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
MESH = compiled(SHOP, WILD, INNER, BASE, SECURE)


def envoys_choice(table: Table, host: str) -> VirtualHost | None:
    """What Envoy's route table would find: the whole name, the longest suffix, the longest prefix, else `*`."""
    domains = table.domains
    name = host if table.names_ports else host.rpartition(":")[0] or host
    if name in domains:
        return domains[name]
    suffixes = [each for each in domains if each.startswith("*") and len(each) > 1 and name.endswith(each[1:])]
    prefixes = [each for each in domains if each.endswith("*") and len(each) > 1 and name.startswith(each[:-1])]
    found = max(suffixes, key=len, default=None) or max(prefixes, key=len, default="*")
    return domains.get(found)


@pytest.mark.parametrize(
    "host",
    [
        "shop",
        "shop:80",
        "shop:8080",
        "shop:9999",
        "shop.default.svc.cluster.local.:8080",
        "a.wild.com",
        "a.wild.com:8080",
        "a.wild.com:80",
        "inner.wild.com",
        "inner.wild.com:80",
        "inner.wild.com:8080",
        "inner.wild.com:9999",
        "shopping",
        "nobody.com",
        "nobody.com:80",
        "wild.com",
    ],
)
def test_an_addressed_request_finds_the_same_virtual_host_as_in_the_snapshot(host: str) -> None:
    name, _, port = host.partition(":")
    for table in ("any", "http_proxy"):
        found = envoys_choice(tables_of(MESH)[table], host)
        assert found is MESH.outbound_table(int(port) if port else None, name.encode())


@pytest.mark.parametrize("host", ["shop", "shop:1", "a.wild.com", "inner.wild.com", "nobody.com"])
def test_the_table_of_a_port_looks_at_no_port(host: str) -> None:
    name = host.partition(":")[0].encode()
    for number, table in MESH.port_tables.items():
        assert envoys_choice(tables_of(MESH)[str(number)], host) is table.virtual_host_for(name)


@pytest.mark.parametrize(
    ("snapshot", "domain", "cluster"),
    [
        (MESH, "shop:8080", "outbound|8080||shop.default.svc.cluster.local"),
        (MESH, "shop:*", "PassthroughCluster"),
        (MESH, "db.com:5432", "outbound|5432||db.com"),
        (MESH, "secure.com:443", "outbound|443||secure.com"),
        (MESH, "*", "PassthroughCluster"),
        (compiled(SHOP, CLOSED), "*", ""),
    ],
)
def test_where_connect_leads(snapshot: Snapshot, domain: str, cluster: str) -> None:
    tables = tables_of(snapshot)
    assert tables["http_proxy"].tunnels[domain] == route_to(cluster)
    assert tables["any"].tunnels == {}


def test_one_virtual_host_is_written_once_with_all_its_names_but_once_more_where_connect_leads_elsewhere() -> None:
    names = [sorted(domains) for host, _, domains in tables_of(MESH)["8080"].grouped() if host.name.startswith("shop")]
    full = "shop.default.svc.cluster.local"
    assert names == [["shop", "shop.default", "shop.default.svc", full, f"{full}."]]
    tunnels = {tunnel for host, tunnel, _ in tables_of(MESH)["http_proxy"].grouped() if host.name.startswith("shop")}
    assert len(tunnels) == 3  # port 80, port 8080, any other


def test_the_inbound_port_itself_takes_the_port_that_the_host_names_or_the_lowest() -> None:
    hosts = {port: VirtualHost(f"inbound|http|{port}", ("*",), ()) for port in (8080, 9090)}
    tables = {f"inbound|{port}||": RouteTable("", {}, default=host) for port, host in hosts.items()}
    any_table = {"any": RouteTable("any", {}), "http_proxy": RouteTable("http_proxy", {})}
    snapshot = Snapshot(Identity(), (), tables | any_table, {}, inbound_ports={82: "tcp", 9090: "http", 8080: "http"})
    assert tables_of(snapshot)["virtualInbound"].domains == {
        "*:8080": hosts[8080],
        "*:9090": hosts[9090],
        "*": hosts[8080],
    }


def test_a_gateway_has_its_own_tables_alone() -> None:
    door = rules(
        "selector: {}\nservers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]", kind="Gateway"
    )
    assert list(tables_of(compiled(SHOP, door, identity=Identity(gateway=True)))) == ["http.80"]


def test_connect_is_divided_as_a_tcp_route_says() -> None:
    shift = rules(
        "hosts: [db.com]\n"
        "tcp: [{route: [{destination: {host: db.com}, weight: 3}, {destination: {host: shop}, weight: 1}]}]"
    )
    tunnel = tables_of(compiled(SHOP, BASE, shift))["http_proxy"].tunnels["db.com:5432"]
    assert tunnel.clusters == (("outbound|5432||db.com", 3), ("outbound|5432||shop.default.svc.cluster.local", 1))
    assert tunnel != BLOCKED


def test_the_names_of_one_route_stand_together() -> None:
    one, two = route_to("one"), route_to("two")
    routes = routes_by_name({"a.com": one, "*.b.com": one, "c.com": two, "*": two})
    assert list(names_by_route(routes)) == [(one, ["a.com", "*.b.com"]), (two, ["c.com", "*"])]
    assert list(names_by_route(routes, {"c.com"})) == [(two, ["c.com"])]
