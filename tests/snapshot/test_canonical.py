from __future__ import annotations

import pytest

from pyproxy.istio.mesh.proxy import ProxyConfig
from pyproxy.snapshot.canonical import canonical_revision, canonical_service, service_cluster
from pyproxy.snapshot.model import Identity


def test_the_first_label_that_is_there_counts() -> None:
    labels = {"app": "a", "app.kubernetes.io/name": "b", "version": "1"}
    assert canonical_service(labels, "w") == "b"
    assert canonical_service({}, "w") == "w"
    assert canonical_revision(labels) == "1"
    assert canonical_revision({}) == "latest"


@pytest.mark.parametrize(
    ("config", "labels", "workload", "expected"),
    [
        ({}, {"app": "a", "app.kubernetes.io/name": "b"}, "w", "a.shop"),
        ({}, {"app.kubernetes.io/name": "b"}, "w", "b.shop"),
        ({}, {}, "w", "w.shop"),
        ({}, {}, "", "istio-proxy.shop"),
        ({"serviceCluster": "mine"}, {"app": "a"}, "w", "mine"),
        ({"serviceCluster": "istio-proxy"}, {"app": "a"}, "w", "a.shop"),
        ({"tracingServiceName": "CANONICAL_NAME_ONLY"}, {"app": "a"}, "w", "a"),
        ({"tracingServiceName": "CANONICAL_NAME_AND_NAMESPACE"}, {}, "w", "w.shop"),
        ({"tracingServiceName": "APP_LABEL_AND_NAMESPACE"}, {"app": "a"}, "w", "a.shop"),
    ],
)
def test_what_traces_call_a_proxy(config: dict[str, str], labels: dict[str, str], workload: str, expected: str) -> None:
    identity = Identity(workload=workload, namespace="shop", labels=labels)
    assert service_cluster(identity, ProxyConfig.model_validate(config)) == expected
