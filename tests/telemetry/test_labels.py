"""Against the oracles of istio/proxy testdata/metric."""

from __future__ import annotations

import pytest

from pyproxy.core.tls import Peer as TlsPeer
from pyproxy.snapshot.model import Cluster, Direction, Endpoint, Identity, ServiceName
from pyproxy.telemetry.labels import BASE_LABELS, LabelRules, endpoint_peer, security_policy
from pyproxy.telemetry.peer_metadata import Peer

CLIENT = Identity(
    workload="productpage-v1",
    namespace="default",
    labels={
        "app": "productpage",
        "version": "v1",
        "service.istio.io/canonical-name": "productpage-v1",
        "service.istio.io/canonical-revision": "version-1",
    },
    cluster_id="client-cluster",
    service_account="client",
)
SERVER = Identity(
    workload="ratings-v1",
    namespace="default",
    labels={
        "app": "ratings",
        "version": "v1",
        "service.istio.io/canonical-name": "ratings",
        "service.istio.io/canonical-revision": "version-1",
    },
    cluster_id="server-cluster",
    service_account="server",
)
CLIENT_PEER = Peer("productpage-v1", "default", "client-cluster", "productpage-v1", "version-1", "productpage", "v1")
SERVER_PEER = Peer("ratings-v1", "default", "server-cluster", "ratings", "version-1", "ratings", "v1")
SERVED = Cluster("server", service=ServiceName("server.default.svc.cluster.local", "server", "default"))

BOTH = {
    "source_workload": "productpage-v1",
    "source_canonical_service": "productpage-v1",
    "source_canonical_revision": "version-1",
    "source_workload_namespace": "default",
    "source_principal": "unknown",
    "source_app": "productpage",
    "source_version": "v1",
    "source_cluster": "client-cluster",
    "destination_workload": "ratings-v1",
    "destination_workload_namespace": "default",
    "destination_principal": "unknown",
    "destination_app": "ratings",
    "destination_version": "v1",
    "destination_service": "server.default.svc.cluster.local",
    "destination_canonical_service": "ratings",
    "destination_canonical_revision": "version-1",
    "destination_service_name": "server",
    "destination_service_namespace": "default",
    "destination_cluster": "server-cluster",
}


def labelled(
    identity: Identity,
    direction: Direction,
    cluster: Cluster | None = SERVED,
    peer: Peer | None = None,
    tls: TlsPeer | None = None,
    host: str = "",
    route: str = "default",
) -> dict[str, str]:
    values = LabelRules(identity).base(direction, cluster, peer, tls, host, route)
    return dict(zip(BASE_LABELS, values, strict=True))


def test_client_request_total() -> None:
    assert labelled(CLIENT, Direction.OUTBOUND, peer=SERVER_PEER) == {"reporter": "source", **BOTH}


def test_server_request_total() -> None:
    assert labelled(SERVER, Direction.INBOUND, peer=CLIENT_PEER) == {"reporter": "destination", **BOTH}


def test_client_request_total_endpoint_labels() -> None:
    endpoint = Endpoint(
        "10.0.0.1",
        80,
        workload="ratings-v1",
        namespace="default",
        cluster_id="server-cluster",
        labels={"service.istio.io/canonical-name": "ratings", "service.istio.io/canonical-revision": "version-1"},
    )
    assert labelled(CLIENT, Direction.OUTBOUND, peer=endpoint_peer(endpoint)) == {
        "reporter": "source",
        **BOTH,
        "destination_app": "unknown",
        "destination_version": "unknown",
    }


def test_host_header_fallback() -> None:
    nameless = Cluster("server")
    found = labelled(CLIENT, Direction.OUTBOUND, nameless, SERVER_PEER, host="127.0.0.1:9080")
    assert found == {
        "reporter": "source",
        **BOTH,
        "destination_service": "127.0.0.1:9080",
        "destination_service_name": "127.0.0.1:9080",
    }


def test_client_disable_host_header_fallback() -> None:
    found = labelled(CLIENT, Direction.GATEWAY, Cluster("server"), SERVER_PEER)
    assert found == {
        "reporter": "source",
        **BOTH,
        "destination_service": "unknown",
        "destination_service_name": "unknown",
    }


def test_a_server_without_a_service_is_its_own() -> None:
    found = labelled(SERVER, Direction.INBOUND, Cluster("inbound|80||"), CLIENT_PEER)
    assert (found["destination_service"], found["destination_service_name"]) == ("ratings", "ratings")


def test_a_stranger_is_unknown() -> None:
    inbound = labelled(SERVER, Direction.INBOUND)
    assert {name: inbound[name] for name in BASE_LABELS if name.startswith("source_")} == {
        "source_workload": "unknown",
        "source_canonical_service": "unknown",
        "source_canonical_revision": "latest",
        "source_workload_namespace": "unknown",
        "source_principal": "unknown",
        "source_app": "unknown",
        "source_version": "unknown",
        "source_cluster": "unknown",
    }
    outbound = labelled(CLIENT, Direction.OUTBOUND)
    assert (outbound["destination_workload"], outbound["destination_canonical_revision"]) == ("unknown", "latest")
    assert outbound["destination_service_namespace"] == "default"


@pytest.mark.parametrize(
    ("cluster", "route", "name"),
    [
        (Cluster("PassthroughCluster"), "allow_any", "PassthroughCluster"),
        (Cluster("PassthroughCluster"), "", "PassthroughCluster"),
        (Cluster("BlackHoleCluster"), "", "BlackHoleCluster"),
        (None, "block_all", "BlackHoleCluster"),
        (None, "", "example.com"),
    ],
)
def test_traffic_out_of_the_mesh_is_named_by_how_it_left(cluster: Cluster | None, route: str, name: str) -> None:
    found = labelled(CLIENT, Direction.OUTBOUND, cluster, host="example.com", route=route)
    assert (found["destination_service"], found["destination_service_name"]) == ("example.com", name)
    assert found["destination_service_namespace"] == "unknown"


def test_traffic_for_an_undeclared_port_is_passthrough() -> None:
    found = labelled(SERVER, Direction.INBOUND, Cluster("InboundPassthroughCluster"))
    assert (found["destination_service"], found["destination_service_name"]) == ("ratings", "InboundPassthroughCluster")


def test_mutual_tls_names_both_and_gives_the_namespace() -> None:
    theirs, ours = "spiffe://cluster.local/ns/other/sa/client", "spiffe://cluster.local/ns/default/sa/server"
    found = labelled(SERVER, Direction.INBOUND, peer=CLIENT_PEER, tls=TlsPeer(uri_sans=(theirs,), local_uri_san=ours))
    assert (found["source_principal"], found["destination_principal"]) == (theirs, ours)
    assert found["source_workload_namespace"] == "other"
    found = labelled(CLIENT, Direction.OUTBOUND, peer=SERVER_PEER, tls=TlsPeer(uri_sans=(theirs,), local_uri_san=ours))
    assert (found["source_principal"], found["destination_principal"]) == (ours, theirs)
    assert found["destination_workload_namespace"] == "other"


def test_tls_without_names_is_not_mutual() -> None:
    nameless = TlsPeer(local_uri_san="spiffe://cluster.local/ns/default/sa/server")
    found = labelled(SERVER, Direction.INBOUND, peer=CLIENT_PEER, tls=nameless)
    assert found["source_principal"] == "unknown"
    assert found["destination_principal"] == nameless.local_uri_san
    assert found["source_workload_namespace"] == CLIENT_PEER.namespace
    assert security_policy(nameless, Direction.INBOUND) == "none"


def test_only_who_was_called_says_whether_it_is_mutual() -> None:
    both = TlsPeer(uri_sans=("spiffe://a",), local_uri_san="spiffe://b")
    found = {direction: security_policy(both, direction) for direction in Direction}
    assert found == {
        Direction.INBOUND: "mutual_tls",
        Direction.OUTBOUND: "unknown",
        Direction.GATEWAY: "unknown",
    }
    assert security_policy(None, Direction.INBOUND) == "none"


def test_a_proxy_without_a_workload_is_unknown_and_without_app_labels_says_nothing() -> None:
    found = labelled(Identity(), Direction.OUTBOUND)
    assert (found["source_workload"], found["source_canonical_service"]) == ("unknown", "unknown")
    assert (found["source_app"], found["source_version"]) == ("", "")


def test_an_endpoint_of_which_nothing_is_known_is_nobody() -> None:
    assert endpoint_peer(Endpoint("10.0.0.1", 80)) is None
