from __future__ import annotations

from collections.abc import Callable

import pytest

POLICY = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: a, namespace: {namespace}}}
spec: {{selector: {{matchLabels: {labels}}}, rules: [{{}}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge}}
spec:
  selector: {{istio: edge}}
  servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [a.example.com]}}]
"""


@pytest.mark.parametrize(
    ("namespace", "labels", "selects"),
    [
        ("default", "{app: reviews}", True),
        ("default", "{app: reviews, version: v2}", False),
        ("other", "{app: reviews}", False),
        ("istio-system", "{app: reviews}", True),
        ("istio-system", "{app: nobody}", False),
        ("other", "{istio: edge}", True),
    ],
)
def test_a_policy_selects_workloads_of_its_namespace_or_from_the_root_one_of_all(
    told: Callable[[str], list[str]], namespace: str, labels: str, selects: bool
) -> None:
    expected = [] if selects else ["IST0127 spec.selector"]
    assert told(POLICY.format(namespace=namespace, labels=labels)) == expected


def test_a_policy_for_a_service_has_no_proxy_to_follow_it(told: Callable[[str], list[str]]) -> None:
    policy = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec: {targetRefs: [{kind: Service, name: reviews}], rules: [{}]}
"""
    assert told(policy) == ["IST0167 spec.targetRefs"]
