"""Clusters of services and subsets."""

from __future__ import annotations

import pytest

from pyproxy.policy.balancing import Algorithm
from pyproxy.snapshot.model import Cluster, Discovery, Identity, Snapshot
from tests.snapshot.documents import compiled, entry, mesh, rules
from tests.snapshot.test_registry import kubernetes
from tests.snapshot.test_workloads import workload

TWO = "{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}, weight: 3}"


def rule(spec: str, host: str = "a.com") -> str:
    return rules(f"host: {host}\n{spec}", kind="DestinationRule")


def addresses(cluster: Cluster) -> list[str]:
    return [each.address for each in cluster.endpoints]


def outbound(snapshot: Snapshot) -> list[str]:
    return [name for name in snapshot.clusters if name.startswith("outbound|")]


def test_every_proxy_can_pass_traffic_through_and_drop_it() -> None:
    snapshot = compiled(entry("a.com"))

    passthrough = snapshot.clusters["PassthroughCluster"]
    assert passthrough.discovery is Discovery.ORIGINAL_DST
    assert (passthrough.connection.idle_timeout, passthrough.http_version) == (300.0, "downstream")
    assert snapshot.clusters["InboundPassthroughCluster"].discovery is Discovery.ORIGINAL_DST
    assert snapshot.clusters["BlackHoleCluster"].endpoints == ()


def test_a_cluster_per_port_but_none_for_udp() -> None:
    snapshot = compiled(entry("a.com", "80/HTTP", "81/TCP"), kubernetes("dns", "ports: [{port: 53, protocol: UDP}]"))

    assert outbound(snapshot) == ["outbound|80||a.com", "outbound|81||a.com"]
    cluster = snapshot.clusters["outbound|81||a.com"]
    assert (cluster.port, cluster.protocol, cluster.mesh_external) == (81, "tcp", False)
    assert cluster.service is not None
    assert cluster.service.host == "a.com"


def test_subsets_have_the_endpoints_with_their_labels() -> None:
    snapshot = compiled(
        entry("a.com", endpoints=TWO),
        rule("subsets: [{name: v1, labels: {version: v1}}, {name: all}, {name: none, labels: {version: v9}}]"),
    )

    found = {name: addresses(snapshot.clusters[f"outbound|80|{name}|a.com"]) for name in ("", "v1", "all", "none")}

    assert found == {
        "": ["10.0.0.1", "10.0.0.2"],
        "v1": ["10.0.0.1"],
        "all": ["10.0.0.1", "10.0.0.2"],
        "none": [],
    }
    assert snapshot.clusters["outbound|80|v1|a.com"].destination_rule == "rules.default"
    assert snapshot.clusters["outbound|80|v1|a.com"].subset == "v1"


@pytest.mark.parametrize(
    ("resolution", "discovery"),
    [
        ("STATIC", Discovery.STATIC),
        ("DNS", Discovery.STRICT_DNS),
        ("DNS_ROUND_ROBIN", Discovery.LOGICAL_DNS),
        ("NONE", Discovery.ORIGINAL_DST),
    ],
)
def test_resolution(resolution: str, discovery: Discovery) -> None:
    cluster = compiled(entry("a.com", resolution=resolution)).clusters["outbound|80||a.com"]

    assert cluster.discovery is discovery
    assert cluster.dns_refresh == 60.0


def test_workloads_with_host_names_are_looked_up_whatever_the_resolution() -> None:
    cluster = compiled(
        entry("a.com", more="workloadSelector: {labels: {app: a}}"),
        workload("a-1", "a-1", "app: a"),
        workload("a-2", "10.0.0.2", "app: a"),
    ).clusters["outbound|80||a.com"]

    assert cluster.discovery is Discovery.STRICT_DNS
    assert addresses(cluster) == ["a-1", "10.0.0.2"]


def test_without_resolution_the_target_port_replaces_the_clients() -> None:
    text = entry("a.com", resolution="NONE").replace("name: p80", "name: p80, targetPort: 8080")

    assert compiled(text).clusters["outbound|80||a.com"].original_port == 8080


def test_a_subset_of_a_dns_service_without_endpoints_does_not_exist() -> None:
    snapshot = compiled(entry("a.com", resolution="DNS"), rule("subsets: [{name: v1, labels: {version: v1}}]"))

    assert outbound(snapshot) == ["outbound|80||a.com"]


def test_a_headless_service_goes_where_the_client_was_going_except_on_gateways() -> None:
    texts = (
        kubernetes("db", "clusterIP: None, selector: {app: db}, ports: [{name: http, port: 80}]"),
        workload("db-0", "10.0.0.1", "app: db"),
    )
    name = "outbound|80||db.default.svc.cluster.local"

    sidecar = compiled(*texts).clusters[name]
    gateway = compiled(*texts, identity=Identity(gateway=True)).clusters[name]

    assert (sidecar.discovery, addresses(sidecar)) == (Discovery.ORIGINAL_DST, ["10.0.0.1"])
    assert (gateway.discovery, addresses(gateway)) == (Discovery.STATIC, ["10.0.0.1"])


def test_the_passthrough_balancer_needs_no_endpoints() -> None:
    cluster = compiled(entry("a.com"), rule("trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}")).clusters[
        "outbound|80||a.com"
    ]

    assert (cluster.discovery, cluster.load_balancing.algorithm) == (Discovery.ORIGINAL_DST, Algorithm.PASSTHROUGH)


def test_policies_reach_the_cluster_and_its_subsets() -> None:
    snapshot = compiled(
        entry("a.com", "80/HTTP", "81/HTTP", endpoints=TWO),
        rule(
            """
trafficPolicy:
  connectionPool: {http: {http1MaxPendingRequests: 5}}
  outlierDetection: {consecutive5xxErrors: 1}
  portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]
subsets:
- {name: plain}
- {name: own, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
"""
        ),
    )
    clusters = snapshot.clusters

    assert clusters["outbound|80||a.com"].breakers.max_pending_requests == 5
    assert clusters["outbound|80||a.com"].outlier is not None
    assert clusters["outbound|80|plain|a.com"].outlier is clusters["outbound|80||a.com"].outlier
    own = clusters["outbound|80|own|a.com"]
    assert own.load_balancing.algorithm is Algorithm.ROUND_ROBIN
    assert own.breakers.max_pending_requests == 5
    assert clusters["outbound|81||a.com"].load_balancing.algorithm is Algorithm.RANDOM
    assert clusters["outbound|81||a.com"].outlier is None


def test_localities_become_priorities_and_shares() -> None:
    here = Identity(locality="us/a")
    places = "{address: 10.0.0.1, locality: us/a}, {address: 10.0.0.2, locality: eu/a}"
    failover = rule("trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}")
    share = rule(
        "trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: us/*, to: {us/*: 90, eu/*: 10}}]}}}"
    )

    by_failover = compiled(entry("a.com", endpoints=places), failover, identity=here).clusters["outbound|80||a.com"]
    by_share = compiled(entry("a.com", endpoints=places), share, identity=here).clusters["outbound|80||a.com"]

    assert [each.priority for each in by_failover.endpoints] == [0, 1]
    assert by_failover.load_balancing.locality_weights is None
    assert by_share.load_balancing.locality_weights == {"us/a": 90, "eu/a": 10}


def test_the_mesh_sets_times_for_all() -> None:
    cluster = compiled(entry("a.com"), mesh("connectTimeout: 3s\ndnsRefreshRate: 5s")).clusters["outbound|80||a.com"]

    assert (cluster.connection.connect_timeout, cluster.dns_refresh) == (3.0, 5.0)


def test_clusters_without_rules_share_their_settings() -> None:
    clusters = compiled(entry("a.com"), entry("b.com")).clusters

    assert clusters["outbound|80||a.com"].connection is clusters["outbound|80||b.com"].connection
