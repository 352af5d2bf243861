"""WorkloadEntries as endpoints."""

from __future__ import annotations

import pytest

from pyproxy.istio.networking.workload_entry import WorkloadEntry
from pyproxy.snapshot.workloads import Workloads, workload_of
from tests.snapshot.documents import documents


def workload(name: str, address: str, labels: str, namespace: str = "default", more: str = "") -> str:
    return (
        f"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{address: {address}, labels: {{{labels}}}{more}}}"
    )


def entry(**fields: object) -> WorkloadEntry:
    return WorkloadEntry.model_validate(fields)


def test_an_endpoint_has_what_the_entry_says() -> None:
    found = workload_of(
        entry(address="10.0.0.1", labels={"app": "a"}, locality="r/z/s", weight=3, network="n", serviceAccount="sa"),
        "a-1",
        "books",
    ).endpoint(9080, "east")

    assert found is not None
    assert (found.address, found.port, found.weight, found.locality, found.network) == (
        "10.0.0.1",
        9080,
        3,
        "r/z/s",
        "n",
    )
    assert (found.workload, found.namespace, found.service_account) == ("a-1", "books", "sa")
    assert (found.cluster_id, found.mutual_tls, found.labels) == ("east", True, {"app": "a"})


def test_a_socket_has_no_port_and_an_entry_of_a_network_alone_no_endpoint() -> None:
    socket = workload_of(entry(address="unix:///tmp/a"), "a", "default").endpoint(80, "")

    assert socket is not None
    assert (socket.address, socket.port, socket.weight) == ("unix:///tmp/a", 0, 1)
    assert workload_of(entry(network="n"), "a", "default").endpoint(80, "") is None


@pytest.mark.parametrize(
    ("labels", "account", "capable"),
    [
        ({}, None, False),
        ({}, "sa", True),
        ({"security.istio.io/tlsMode": "disabled"}, "sa", False),
        ({"security.istio.io/tlsMode": "istio"}, None, True),
    ],
)
def test_who_speaks_mutual_tls(labels: dict[str, str], account: str | None, capable: bool) -> None:
    assert workload_of(entry(address="1.1.1.1", labels=labels, serviceAccount=account), "a", "x").mutual_tls is capable


@pytest.mark.parametrize(
    ("labels", "locality"),
    [
        ({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"}, "r/z"),
        ({"topology.kubernetes.io/region": "r", "topology.istio.io/subzone": "s"}, "r//s"),
        ({"istio-locality": "r.z.s"}, "r/z/s"),
        ({"topology.kubernetes.io/zone": "z"}, ""),
    ],
)
def test_labels_may_say_where_a_workload_is(labels: dict[str, str], locality: str) -> None:
    assert workload_of(entry(address="1.1.1.1", labels=labels), "a", "x").locality == locality


def test_metadata_labels_win_and_name_the_workload() -> None:
    found = workload_of(
        entry(address="1.1.1.1", labels={"version": "spec", "app": "a"}),
        "a-7f",
        "x",
        labels={"version": "meta", "service.istio.io/workload-name": "a"},
    )

    assert found.labels == {"version": "meta", "app": "a", "service.istio.io/workload-name": "a"}
    assert (found.name, found.entry_name) == ("a", "a-7f")
    assert workload_of(entry(), "a-7f", "x", annotations={"istio.io/autoRegistrationGroup": "group"}).name == "group"


def test_selection_is_by_all_labels_within_one_namespace() -> None:
    found = Workloads(
        documents(
            "\n---\n".join(
                [
                    workload("a", "1.1.1.1", "app: shop, version: v1"),
                    workload("b", "1.1.1.2", "app: shop, version: v2"),
                    workload("c", "1.1.1.3", "app: shop, version: v1", "other"),
                ]
            )
        )
    )

    assert [each.name for each in found.select("default", {"app": "shop", "version": "v1"})] == ["a"]
    assert [each.name for each in found.select("default", {"app": "shop"})] == ["a", "b"]
    assert [each.name for each in found.select("default", {})] == ["a", "b"]
    assert found.select("default", {"app": "none"}) == []
    assert found.at("other", "1.1.1.3") is found.all[2]
