from __future__ import annotations

from collections.abc import Callable

import pytest

from pyproxy.istio.problems import Problem


@pytest.mark.parametrize(
    ("metadata", "path", "part"),
    [
        ("namespace: A", "metadata.namespace", "lower-case"),
        ("namespace: a.b", "metadata.namespace", "lower-case"),
        ("labels: {a b: c}", 'metadata.labels["a b"]', "not a label key"),
        ("labels: {a: b c}", "metadata.labels.a", "not a label value"),
        ("labels: {version: 1}", "metadata.labels.version", "put it in quotes"),
        ("annotations: {a: true}", "metadata.annotations.a", "put it in quotes"),
        ("owner: me", "metadata.owner", "accepted are annotations"),
    ],
)
def test_what_is_wrong_is_named(judge: Callable[..., list[Problem]], metadata: str, path: str, part: str) -> None:
    (problem,) = judge("PeerAuthentication", "{}", metadata)
    assert problem.path == path
    assert part in problem.message


def test_what_a_cluster_adds_is_accepted(judge: Callable[..., list[Problem]]) -> None:
    metadata = """
        uid: 1
        resourceVersion: 2
        generation: 3
        creationTimestamp: 2026-01-02T03:04:05Z
        finalizers: [a]
        managedFields: [{fieldsV1: {"f:spec": {}}}]
        """
    assert judge("PeerAuthentication", "{}", metadata) == []
