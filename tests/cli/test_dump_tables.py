"""What the differential tests cannot show: each column's words, from resources as Envoy writes them."""

from __future__ import annotations

from typing import Any

import pytest

from pyproxy.cli.dump_tables import (
    Only,
    cluster_rows,
    clusters,
    endpoint_rows,
    endpoints,
    listener_rows,
    listeners,
    route_rows,
    routes,
    secret_rows,
    secrets,
    table,
)

TYPE = "type.googleapis.com/envoy.admin.v3."
REVIEWS = "outbound|9080|v1|reviews.default.svc.cluster.local"


def dump(kind: str, **lists: Any) -> dict[str, Any]:
    return {"configs": [{"@type": f"{TYPE}Scoped{kind}"}, {"@type": TYPE + kind, **lists}]}


def istio(kind: str, name: str) -> dict[str, Any]:
    path = f"/apis/networking.istio.io/v1/namespaces/default/{kind}/{name}"
    return {"filter_metadata": {"istio": {"config": path}}}


CLUSTERS = dump(
    "ClustersConfigDump",
    dynamic_active_clusters=[
        {"cluster": {"name": "inbound|9080||", "type": "STATIC"}},
        {"cluster": {"name": REVIEWS, "type": "EDS", "metadata": istio("destination-rule", "reviews")}},
        {"cluster": {"name": "outbound|9080||reviews.default.svc.cluster.local", "type": "EDS"}},
    ],
    static_clusters=[{"cluster": {"name": "BlackHoleCluster", "type": "STATIC"}}],
)


def test_clusters_are_sorted_by_host_and_subset() -> None:
    assert list(cluster_rows(clusters(CLUSTERS, Only()))) == [
        ("", "9080", "-", "inbound", "STATIC", ""),
        ("BlackHoleCluster", "-", "-", "-", "STATIC", ""),
        ("reviews.default.svc.cluster.local", "9080", "-", "outbound", "EDS", ""),
        ("reviews.default.svc.cluster.local", "9080", "v1", "outbound", "EDS", "reviews.default"),
    ]


@pytest.mark.parametrize(
    ("only", "count"),
    [
        (Only(fqdn="reviews"), 2),
        (Only(subset="v1"), 1),
        (Only(port=9080), 3),
        (Only(port=80), 0),
        (Only(direction="inbound"), 1),
    ],
)
def test_clusters_are_found_by_parts_of_their_names(only: Only, count: int) -> None:
    assert len(clusters(CLUSTERS, only)) == count


DOMAINS = ["reviews.default.svc.cluster.local", "reviews", "reviews.default.svc", "reviews.default", "10.0.0.1", "a:80"]
ROUTES = dump(
    "RoutesConfigDump",
    dynamic_route_configs=[
        {"route_config": {"name": "http_proxy"}},
        {
            "route_config": {
                "name": "9080",
                "virtual_hosts": [
                    {
                        "name": "reviews:9080",
                        "domains": DOMAINS,
                        "routes": [
                            {"match": {"prefix": "/v2"}, "metadata": istio("virtual-service", "reviews"), "route": {}},
                            {"match": {"safe_regex": {"regex": "/a.*"}}, "route": {"cluster": "c"}},
                            {"match": {"path": "/x"}, "redirect": {}},
                        ],
                    },
                    {"name": "allow_any", "domains": ["*"], "routes": [{"route": {"cluster": "PassthroughCluster"}}]},
                    {"name": "empty", "domains": ["*"]},
                ],
            }
        },
        {"route_config": {"name": "80"}},
    ],
)


def test_routes_show_two_domains_and_the_path() -> None:
    assert [each["name"] for each in routes(ROUTES, Only())] == ["80", "9080", "http_proxy"]
    domains = "reviews, reviews.default + 1 more..."
    assert list(route_rows(routes(ROUTES, Only(name="9080")))) == [
        ("9080", "reviews:9080", domains, "/v2*", "reviews.default"),
        ("9080", "reviews:9080", domains, "regex /a.*", ""),
        ("9080", "reviews:9080", domains, "/x", ""),
        ("9080", "empty", "*", "/*", "404"),
    ]


def http(config: dict[str, Any]) -> dict[str, Any]:
    return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}


def tcp(cluster: str) -> dict[str, Any]:
    return {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {"cluster": cluster}}]}


INLINE = {"virtual_hosts": [{"domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "c"}}]}]}
LISTENERS = dump(
    "ListenersConfigDump",
    dynamic_listeners=[
        {
            "active_state": {
                "listener": {
                    "name": "virtualOutbound",
                    "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15001}},
                    "traffic_direction": "OUTBOUND",
                    "filter_chains": [
                        {
                            "filter_chain_match": {"destination_port": 9080},
                            **http({"rds": {"route_config_name": "9080"}}),
                        },
                        {
                            "filter_chain_match": {
                                "server_names": ["a", "b"],
                                "transport_protocol": "tls",
                                "application_protocols": ["istio-peer-exchange", "istio"],
                                "prefix_ranges": [{"address_prefix": "10.0.0.1", "prefix_len": {"value": 32}}],
                                "destination_port": 9,
                            },
                            **tcp("outbound|9||a"),
                        },
                        {"filter_chain_match": {"application_protocols": ["x"]}, **http({"route_config": INLINE})},
                    ],
                    "default_filter_chain": tcp("PassthroughCluster"),
                }
            }
        },
        {"active_state": {"listener": {"name": "unix", "address": {"pipe": {"path": "/run/a"}}}}},
    ],
)


def test_listeners_show_each_chain_and_where_it_leads() -> None:
    assert list(listener_rows(listeners(LISTENERS, Only(port=15001)))) == [
        ("0.0.0.0", "15001", "Addr: *:9080", "Route: 9080"),
        ("0.0.0.0", "15001", "ALL", "PassthroughCluster"),
        ("0.0.0.0", "15001", "SNI: a,b; Trans: tls; App: TCP TLS; Addr: 10.0.0.1/32:9", "Cluster: outbound|9||a"),
        ("0.0.0.0", "15001", "App: x", "Cluster: c"),
    ]


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (Only(), ["unix", "virtualOutbound"]),
        (Only(address="/run/a"), ["unix"]),
        (Only(type="http+tcp"), ["virtualOutbound"]),
        (Only(direction="outbound"), ["virtualOutbound"]),
        (Only(name="nobody"), []),
    ],
)
def test_listeners_are_found_by_place_type_and_direction(only: Only, names: list[str]) -> None:
    assert [each["name"] for each in listeners(LISTENERS, only)] == names


def host(address: str, port: int, **health: Any) -> dict[str, Any]:
    place = {"socket_address": {"address": address, "port_value": port}}
    return {"address": place, "health_status": {"eds_health_status": "HEALTHY", **health}}


STATUSES = {
    "cluster_statuses": [
        {"name": REVIEWS, "host_statuses": [host("10.0.0.2", 9080, failed_outlier_check=True), host("10.0.0.1", 9080)]},
        {"name": "inbound|1||", "host_statuses": [{"address": {"pipe": {"path": "/run/app"}}}]},
        {"name": "empty"},
    ]
}


def test_endpoints_show_who_is_ejected() -> None:
    assert list(endpoint_rows(endpoints(STATUSES, Only()))) == [
        ("unix:///run/app", "UNKNOWN", "OK", "inbound|1||"),
        ("10.0.0.1:9080", "HEALTHY", "OK", REVIEWS),
        ("10.0.0.2:9080", "HEALTHY", "FAILED", REVIEWS),
    ]
    assert len(list(endpoint_rows(endpoints(STATUSES, Only(status="healthy"))))) == 2
    assert len(list(endpoint_rows(endpoints(STATUSES, Only(address="10.0.0.1", port=9080, cluster=REVIEWS))))) == 1


def test_secrets_are_named_as_istio_names_them() -> None:
    times = {"serial_number": "0a", "valid_from": "2026-01-01T00:00:00Z", "expiration_time": "2026-02-01T00:00:00Z"}
    certs = {
        "certificates": [
            {
                "cert_chain": [{"path": "certs/cert-chain.pem", **times}],
                "ca_cert": [{"path": "certs/root-cert.pem", **times}],
            },
            {"cert_chain": [{"path": "certs/credentials/shop/tls.crt", **times}]},
        ]
    }
    rows = list(secret_rows(secrets(certs, Only()), "2026-01-15T00:00:00Z"))
    assert [row[:4] for row in rows] == [
        ("default", "Cert Chain", "ACTIVE", "true"),
        ("ROOTCA", "CA", "ACTIVE", "true"),
        ("kubernetes://shop", "Cert Chain", "ACTIVE", "true"),
    ]
    assert [row[3] for row in secret_rows(secrets(certs, Only(name="default")), "2026-03-01T00:00:00Z")] == ["false"]


def test_columns_are_five_apart_and_lines_end_with_their_text() -> None:
    assert table(("NAME", "B"), [("a", "bb"), ("", "b")]) == "NAME     B\na        bb\n         b"
