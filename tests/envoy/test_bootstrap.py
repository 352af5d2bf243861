"""The whole document: that Envoy takes and serves it is tests/differential/test_export.py's."""

from __future__ import annotations

from typing import Any

from pyproxy.envoy.bootstrap import Process, bootstrap, collectors
from pyproxy.snapshot.model import Listening
from tests.snapshot.documents import compiled, entry, mesh

SHOP = entry("shop.com", "80/HTTP", endpoints="{address: 10.0.0.1}")
OUTSIDE = entry("outside.com", "80/HTTP", resolution="NONE")
SNAPSHOT = compiled(SHOP, OUTSIDE, listening=Listening(address="127.0.0.9"))


def document(**process: Any) -> Any:
    return bootstrap(SNAPSHOT, Process(**process))


def named(items: Any) -> dict[str, Any]:
    return {item["name"]: item for item in items}


def test_everything_is_static_and_whole() -> None:
    static = document()["static_resources"]
    assert list(named(static["listeners"])) == ["virtualOutbound", "virtualInbound", "http_proxy", "status", "metrics"]
    text = str(static)
    assert "'rds'" not in text
    assert "'@type': 'type.googleapis.com/envoy.config.cluster" not in text
    assert set(SNAPSHOT.clusters) <= set(named(static["clusters"]))


def test_a_client_that_was_not_redirected_reaches_the_twin_of_a_cluster() -> None:
    static = document()["static_resources"]
    assert "outbound|80||outside.com;by-name" in named(static["clusters"])
    addressed, captured, *_ = named(static["listeners"])["virtualOutbound"]["filter_chains"]
    assert "outside.com;by-name" in str(addressed)
    assert "outside.com" in str(captured)
    assert "by-name" not in str(captured)


def test_the_ports_beside_traffic_ask_the_admin_port() -> None:
    found = document(admin_address="127.0.0.9", status_address="127.0.0.9", status_port=1, metrics_port=2)
    listeners = named(found["static_resources"]["listeners"])
    assert found["admin"]["address"]["socket_address"] == {"address": "127.0.0.9", "port_value": 15000}
    assert listeners["status"]["address"]["socket_address"]["port_value"] == 1
    assert "'path': '/healthz/ready'" in str(listeners["status"])
    assert "'path': '/stats/prometheus'" in str(listeners["metrics"])
    assert "admin" in named(found["static_resources"]["clusters"])


def test_a_free_admin_port_cannot_be_asked() -> None:
    static = document(admin_port=0)["static_resources"]
    assert "status" not in named(static["listeners"])
    assert "admin" not in named(static["clusters"])


def test_how_long_a_head_may_take() -> None:
    assert "'request_headers_timeout': '10s'" in str(document(request_headers_timeout=10.0))
    assert "request_headers_timeout" not in str(document())


def test_spans_have_a_collector_without_hosts() -> None:
    (collector,) = collectors(SNAPSHOT)
    assert collector["name"] == "zipkin"
    assert "'lb_endpoints': []" in str(collector)
    assert collectors(compiled(SHOP, mesh("enableTracing: false"))) == []


def test_statistics_are_named_as_istio_names_them() -> None:
    tags = {tag["tag_name"]: tag["regex"] for tag in document()["stats_config"]["stats_tags"]}
    assert {"cluster_name", "response_code", "response_code_class", "http_conn_manager_prefix"} <= set(tags)
    assert {"authz_enforce_result", "authz_dry_run_action", "authz_dry_run_result"} <= set(tags)
