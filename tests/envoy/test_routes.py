from __future__ import annotations

from typing import Any

from pyproxy.envoy.routes import table_resource, virtual_hosts
from pyproxy.envoy.tables import Table, tables_of
from pyproxy.snapshot.model import DirectResponse, Route, VirtualHost
from tests.snapshot.documents import compiled, entry, mesh, rules

RULES = rules(
    """
hosts: [shop]
http:
- name: first
  match: [{uri: {exact: /old}, headers: {x: {}}}]
  redirect: {uri: /new}
- match: [{uri: {prefix: /robots}}]
  directResponse: {status: 404}
- fault: {abort: {httpStatus: 503, percentage: {value: 1}}}
  headers: {response: {set: {x: '%PROTOCOL%'}}}
  route: [{destination: {host: shop}}]
"""
)
SHOP = entry("shop.default.svc.cluster.local", "80/HTTP", endpoints="{address: 10.0.0.1}")
SNAPSHOT = compiled(SHOP, RULES)


def shop(table: str = "80", **settings: Any) -> Any:
    hosts = list(virtual_hosts(tables_of(SNAPSHOT)[table], **settings))
    return next(host for host in hosts if host["name"] == "shop.default.svc.cluster.local:80")


def test_a_table_asks_for_no_cluster_to_be_there_and_looks_at_ports_where_they_count() -> None:
    tables = tables_of(SNAPSHOT)
    port, addressed = table_resource(tables["80"], []), table_resource(tables["any"], [])
    assert (port["name"], port["validate_clusters"]) == ("80", False)
    assert (port["ignore_port_in_host_matching"], addressed["ignore_port_in_host_matching"]) == (True, False)
    assert port["max_direct_response_body_size_bytes"] == 1024 * 1024


def test_routes_are_whole() -> None:
    first, second, third = shop()["routes"]
    assert first["name"] == "first"
    assert first["match"] == {"path": "/old", "headers": [{"name": "x", "present_match": True}]}
    assert first["redirect"] == {"path_redirect": "/new", "response_code": "MOVED_PERMANENTLY"}
    assert second["direct_response"] == {"status": 404}
    assert third["match"] == {"prefix": "/"}
    assert third["route"]["cluster"] == "outbound|80||shop.default.svc.cluster.local"
    assert third["decorator"] == {"operation": "shop.default.svc.cluster.local:80/*"}
    assert "envoy.filters.http.fault" in third["typed_per_filter_config"]
    assert third["response_headers_to_add"][0]["header"] == {"key": "x", "value": "%PROTOCOL%"}
    assert third["metadata"]["filter_metadata"]["istio"]["config"].endswith("/virtual-service/rules")


def test_clusters_may_be_called_otherwise_and_attempts_be_counted_or_not() -> None:
    host = shop(names=lambda name: "renamed", attempt_count=False)
    assert host["routes"][2]["route"]["cluster"] == "renamed"
    assert "include_request_attempt_count" not in host
    assert shop()["include_request_attempt_count"] is True


def test_connect_comes_before_everything_where_it_is_served() -> None:
    assert all("connect_matcher" not in route["match"] for route in shop()["routes"])
    tunnel = shop("http_proxy")["routes"][0]
    assert tunnel["match"] == {"connect_matcher": {}}
    assert tunnel["route"]["upgrade_configs"] == [{"upgrade_type": "CONNECT", "connect_config": {}}]


def test_connect_to_the_unknown_is_refused_where_nothing_unknown_may_be_reached() -> None:
    closed = compiled(SHOP, mesh("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    (unknown,) = [host for host in virtual_hosts(tables_of(closed)["http_proxy"]) if host["domains"] == ["*"]]
    assert unknown["routes"][0]["direct_response"] == {"status": 502}  # type: ignore[index]  # a list


def test_a_virtual_host_is_made_when_it_is_asked_for() -> None:
    route = Route("", None, DirectResponse(200))
    table = Table("t", {f"{number}.com": VirtualHost(str(number), (), (route,)) for number in range(3)})
    resource = table_resource(table)
    assert [host["name"] for host in resource["virtual_hosts"]] == ["0", "1", "2"]  # type: ignore[attr-defined]
