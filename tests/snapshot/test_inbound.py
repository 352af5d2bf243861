"""What a sidecar takes for its own workload."""

from __future__ import annotations

from pyproxy.policy.retry import ISTIO_INBOUND_DEFAULT
from pyproxy.snapshot.compile import compile_snapshot, identity_of
from pyproxy.snapshot.model import Discovery, Identity, Listening, Snapshot
from tests.snapshot.documents import compiled, documents, entry, forward, mesh, rules
from tests.snapshot.test_registry import kubernetes
from tests.snapshot.test_workloads import workload

WEB = entry("web.com", "80/HTTP", "81/GRPC", "82/TCP", "83", more="workloadSelector: {labels: {app: web}}")
ENTRY = workload("web-1", "10.0.0.5", "app: web", more=", ports: {p80: 8080}")


def beside(name: str, *texts: str, listening: Listening = Listening()) -> Snapshot:
    found = documents("\n---\n".join(texts))
    return compile_snapshot(found, identity_of(found, name), listening).snapshot


def inbound(snapshot: Snapshot) -> list[str]:
    return [name for name in snapshot.clusters if name.startswith("inbound|")]


def test_every_port_of_the_workloads_services_is_taken() -> None:
    snapshot = beside("web-1", WEB, ENTRY)

    assert snapshot.inbound_ports == {8080: "http", 81: "http", 82: "tcp", 83: "auto"}
    assert inbound(snapshot) == ["inbound|8080||", "inbound|81||", "inbound|82||", "inbound|83||"]
    assert "inbound|82||" not in snapshot.route_tables


def test_the_table_takes_every_host_and_the_cluster_is_the_workload_itself() -> None:
    snapshot = beside("web-1", WEB, ENTRY, listening=Listening(app_address="127.0.0.9"))

    host = snapshot.route_tables["inbound|8080||"].virtual_host_for(b"whatever")

    assert host is not None
    assert (host.name, host.routes[0].name, host.routes[0].operation) == ("inbound|http|80", "default", "web.com:80/*")
    assert forward(host.routes[0]).retry == ISTIO_INBOUND_DEFAULT
    assert forward(host.routes[0]).timeout == 0.0
    cluster = snapshot.clusters["inbound|8080||"]
    assert [(each.address, each.port) for each in cluster.endpoints] == [("127.0.0.9", 8080)]
    assert (cluster.discovery, cluster.port, cluster.http_version) == (Discovery.STATIC, 80, "1")
    assert cluster.service is not None
    assert cluster.service.name == "web.com"


def test_grpc_is_never_retried_and_what_is_unknown_follows_the_client() -> None:
    snapshot = beside("web-1", WEB, ENTRY)

    grpc = snapshot.route_tables["inbound|81||"].default
    assert grpc is not None
    assert forward(grpc.routes[0]).retry is None
    assert snapshot.clusters["inbound|81||"].http_version == "2"
    assert snapshot.clusters["inbound|83||"].http_version == "downstream"


def test_undeclared_ports_pass_through() -> None:
    host = beside("web-1", WEB, ENTRY).route_tables["InboundPassthroughCluster"].default

    assert host is not None
    assert forward(host.routes[0]).destinations[0].cluster == "InboundPassthroughCluster"


def test_the_mesh_may_change_inbound_retries() -> None:
    snapshot = beside("web-1", WEB, ENTRY, mesh("defaultInboundHttpRetryPolicy: {attempts: 0}"))

    host = snapshot.route_tables["inbound|8080||"].default
    assert host is not None
    assert forward(host.routes[0]).retry is None


def test_of_two_services_on_one_port_the_oldest_is_named() -> None:
    snapshot = beside(
        "web-1",
        kubernetes("old", "selector: {app: web}, ports: [{name: http, port: 8080}]"),
        entry("young.com", "8080/HTTP", more="workloadSelector: {labels: {app: web}}"),
        workload("web-1", "10.0.0.5", "app: web"),
    )

    service = snapshot.clusters["inbound|8080||"].service
    assert service is not None
    assert service.name == "old"


def test_an_endpoint_at_our_address_is_us_but_another_workload_there_is_not() -> None:
    snapshot = beside(
        "web-1",
        entry("inline.com", "80/HTTP", endpoints="{address: 10.0.0.5, ports: {p80: 9000}}"),
        entry("other.com", "80/HTTP", more="workloadSelector: {labels: {app: other}}"),
        workload("web-1", "10.0.0.5", "app: web"),
        workload("other-1", "10.0.0.5", "app: other"),
    )

    assert list(snapshot.inbound_ports) == [9000]


def test_a_workload_known_by_labels_alone_belongs_to_what_selects_them() -> None:
    identity = Identity(labels={"app": "web", "version": "v1"})

    service = kubernetes("web", "selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]")

    snapshot = compiled(service, identity=identity)

    assert snapshot.inbound_ports == {8080: "http"}


def pool(pending: int) -> str:
    return f"connectionPool: {{http: {{http1MaxPendingRequests: {pending}}}}}"


def test_of_the_destination_rule_only_the_connection_pool_counts() -> None:
    policy = rules(
        f"host: web.com\ntrafficPolicy:\n  outlierDetection: {{interval: 1s}}\n  {pool(7)}\n"
        f"  portLevelSettings: [{{port: {{number: 81}}, {pool(8)}}}]",
        kind="DestinationRule",
    )

    clusters = beside("web-1", WEB, ENTRY, policy).clusters

    assert clusters["inbound|8080||"].breakers.max_pending_requests == 7
    assert clusters["inbound|81||"].breakers.max_pending_requests == 8
    assert clusters["inbound|8080||"].outlier is None
    assert clusters["inbound|8080||"].destination_rule == "rules.default"


def sidecar(spec: str) -> str:
    return rules(spec, "web", kind="Sidecar")


def test_ingress_listeners_replace_the_services_ports() -> None:
    snapshot = beside(
        "web-1",
        WEB,
        ENTRY,
        sidecar(
            """
ingress:
- port: {number: 8080, protocol: HTTP, name: http}
  defaultEndpoint: 127.0.0.1:3000
- port: {number: 9000, protocol: HTTP, name: b}
  defaultEndpoint: 0.0.0.0:3001
- port: {number: 9001, protocol: TCP, name: c}
  defaultEndpoint: unix:///tmp/app.sock
- port: {number: 9002, protocol: HTTP, name: d}
"""
        ),
    )

    assert snapshot.inbound_ports == {8080: "http", 9000: "http", 9001: "tcp", 9002: "http"}
    targets = {
        name: [(each.address, each.port) for each in snapshot.clusters[name].endpoints] for name in inbound(snapshot)
    }
    assert targets == {
        "inbound|8080||": [("127.0.0.1", 3000)],
        "inbound|9000||": [("10.0.0.5", 3001)],
        "inbound|9001||": [("unix:///tmp/app.sock", 0)],
        "inbound|9002||": [("127.0.0.1", 9002)],
    }
    services = [snapshot.clusters[name].service for name in ("inbound|8080||", "inbound|9000||")]
    assert [service.host for service in services if service] == ["web.com", "web.default"]


def test_the_sidecars_pools_beat_the_destination_rule() -> None:
    policy = rules(f"host: web.com\ntrafficPolicy: {{{pool(7)}}}", kind="DestinationRule")
    text = f"""
inbound{pool(8)[0].upper()}{pool(8)[1:]}
ingress:
- port: {{number: 8080, protocol: HTTP, name: a}}
  {pool(9)}
- port: {{number: 8081, protocol: HTTP, name: b}}
"""

    clusters = beside("web-1", WEB, ENTRY, policy, sidecar(text)).clusters

    assert clusters["inbound|8080||"].breakers.max_pending_requests == 9
    assert clusters["inbound|8081||"].breakers.max_pending_requests == 8
