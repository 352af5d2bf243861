"""Clusters in Envoy's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pyproxy.core.tls import ClientTls, ClientTlsMode
from pyproxy.envoy.clusters import by_name, by_name_resource, cluster_resource
from pyproxy.policy.balancing import Algorithm, LoadBalancing, SlowStart
from pyproxy.policy.outlier import OutlierPolicy
from pyproxy.snapshot.model import (
    Cluster,
    ConnectionSettings,
    Discovery,
    Endpoint,
    Identity,
    ServiceName,
    Snapshot,
    TcpKeepalive,
)

PLAIN = Cluster("outbound|80||a.com", endpoints=(Endpoint("10.0.0.1", 80),), service=ServiceName("a.com", "a", "ns"))
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def resource(**fields: Any) -> dict[str, Any]:
    return cluster_resource(replace(PLAIN, **fields))


def balanced(**fields: Any) -> dict[str, Any]:
    return resource(load_balancing=LoadBalancing(**fields))


def test_a_plain_cluster() -> None:
    found = resource(port=80, destination_rule="rule.ns")
    assert (found["name"], found["type"], found["lb_policy"]) == ("outbound|80||a.com", "STATIC", "LEAST_REQUEST")
    assert found["alt_stat_name"] == "outbound|80||a.com;"
    assert found["connect_timeout"] == "10s"
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 50.0}}
    assert found["metadata"]["filter_metadata"]["istio"] == {
        "config": "/apis/networking.istio.io/v1/namespaces/ns/destination-rule/rule",
        "default_original_port": 80,
        "services": [{"host": "a.com", "name": "a", "namespace": "ns"}],
    }
    assert "outlier_detection" not in found


@pytest.mark.parametrize(
    ("version", "field"),
    [("1", "explicit_http_config"), ("2", "explicit_http_config"), ("downstream", "use_downstream_protocol_config")],
)
def test_the_http_version_towards_the_hosts(version: str, field: str) -> None:
    options = resource(http_version=version)["typed_extension_protocol_options"][OPTIONS]
    assert ("http2_protocol_options" in options[field]) == (version != "1")


def test_how_connections_live() -> None:
    connection = ConnectionSettings(1.0, 0.0, 60.0, 5, keepalive=TcpKeepalive(probes=3))
    found = resource(connection=connection)
    common = found["typed_extension_protocol_options"][OPTIONS]["common_http_protocol_options"]
    assert common == {"idle_timeout": "0s", "max_requests_per_connection": 5, "max_connection_duration": "60s"}
    assert found["upstream_connection_options"] == {"tcp_keepalive": {"keepalive_probes": 3}}
    empty = replace(connection, keepalive=TcpKeepalive())
    assert resource(connection=empty)["upstream_connection_options"] == {
        "tcp_keepalive": {}
    }  # on, as the system has it


def test_names_that_are_looked_up() -> None:
    found = resource(discovery=Discovery.STRICT_DNS, dns_refresh=5.0)
    assert (found["type"], found["respect_dns_ttl"], found["dns_refresh_rate"]) == ("STRICT_DNS", True, "5s")


def test_balancing() -> None:
    assert balanced(algorithm=Algorithm.RING_HASH, ring_minimum_size=7)["ring_hash_lb_config"] == {
        "minimum_ring_size": 7
    }
    assert balanced(algorithm=Algorithm.MAGLEV, maglev_table_size=11)["maglev_lb_config"] == {"table_size": 11}
    assert balanced(algorithm=Algorithm.PASSTHROUGH)["lb_policy"] == "RANDOM"
    slow = balanced(algorithm=Algorithm.ROUND_ROBIN, slow_start=SlowStart(10.0, 20.0, 2.0))
    assert slow["round_robin_lb_config"]["slow_start_config"] == {
        "slow_start_window": "10s",
        "aggression": {"default_value": 2.0, "runtime_key": "pyproxy.slow_start.aggression"},
        "min_weight_percent": {"value": 20.0},
    }
    assert balanced(panic_threshold=0.0)["common_lb_config"] == {"healthy_panic_threshold": {}}


def test_weights_of_localities() -> None:
    found = resource(
        endpoints=(Endpoint("10.0.0.1", 80, locality="r/z"),), load_balancing=LoadBalancing(locality_weights={"r/z": 7})
    )
    assert found["common_lb_config"]["locality_weighted_lb_config"] == {}
    assert found["load_assignment"]["endpoints"][0]["load_balancing_weight"] == 7


def test_where_the_client_was_going() -> None:
    found = resource(discovery=Discovery.ORIGINAL_DST, original_port=8080)
    assert (found["type"], found["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")
    assert found["original_dst_lb_config"] == {"upstream_port_override": 8080}
    assert "load_assignment" not in found


def test_a_client_that_was_not_redirected_has_a_twin_of_such_a_cluster() -> None:
    original = replace(PLAIN, discovery=Discovery.ORIGINAL_DST, outlier=OutlierPolicy())
    snapshot = Snapshot(Identity(), (), {}, {original.name: original, "b": replace(PLAIN, name="b")})
    assert [by_name(snapshot, name) for name in (original.name, "b", "c")] == [f"{original.name};by-name", "b", "c"]
    headless = by_name_resource(original)
    assert (headless["name"], headless["type"], headless["lb_policy"]) == (
        f"{original.name};by-name",
        "STATIC",
        "RANDOM",
    )
    assert headless["alt_stat_name"] == f"{original.name};"
    nowhere = by_name_resource(replace(original, endpoints=()))
    assert nowhere["cluster_type"]["name"] == "envoy.clusters.dynamic_forward_proxy"  # type: ignore[index]  # a mapping
    assert "outlier_detection" in nowhere


def test_a_cluster_whose_certificates_are_missing_has_no_hosts() -> None:
    tls = ClientTls(ClientTlsMode.ISTIO_MUTUAL)
    for discovery in Discovery:
        found: Any = resource(tls=tls, discovery=discovery)
        assert found["type"] == "STATIC"
        assert not found.get("load_assignment", {}).get("endpoints")
        assert "transport_socket" not in found
    original = replace(PLAIN, discovery=Discovery.ORIGINAL_DST, tls=tls)
    assert by_name_resource(original)["type"] == "STATIC"


def test_tls_of_a_cluster_by_its_files() -> None:
    tls = ClientTls(ClientTlsMode.SIMPLE, ca_file="/ca.pem", auto_san=True)
    found: Any = resource(tls=tls)
    assert found["transport_socket"]["name"] == "envoy.transport_sockets.tls"
    http = found["typed_extension_protocol_options"][OPTIONS]
    assert http["upstream_http_protocol_options"] == {"auto_sni": True, "auto_san_validation": True}
