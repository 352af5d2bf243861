from __future__ import annotations

from collections.abc import Callable

import pytest

RULES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  hosts: [{host}]
  exportTo: {audience}
  http: [{{route: [{{destination: {{host: reviews.default.svc.cluster.local}}}}]}}]
---
"""


def rules(name: str, namespace: str = "default", host: str = "a.example.com", audience: str = "['*']") -> str:
    return RULES.format(name=name, namespace=namespace, host=host, audience=audience)


@pytest.mark.parametrize(
    ("second", "conflict"),
    [
        (rules("two"), True),
        (rules("two", namespace="other"), True),
        (rules("two", namespace="other", audience="[.]"), True),
        (rules("two", host="b.example.com"), False),
        (rules("one", namespace="default", host="'*.example.com'"), False),
    ],
)
def test_two_for_one_host_and_audience_conflict(told: Callable[[str], list[str]], second: str, conflict: bool) -> None:
    found = [each for each in told(rules("one") + second) if each.startswith("IST0109")]
    assert found == (["IST0109 spec.hosts[0]"] * 2 if conflict else [])


def test_private_ones_of_two_namespaces_do_not_meet(told: Callable[[str], list[str]]) -> None:
    assert told(rules("one", audience="[.]") + rules("two", namespace="other", audience="[.]")) == []


def test_a_gateway_serves_hosts_for_the_namespaces_that_it_names(told: Callable[[str], list[str]]) -> None:
    gateway = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["other/*.example.com"]}]
---
"""
    bound = rules("one").replace("hosts: [a", "gateways: [default/edge]\n  hosts: [a")
    assert told(gateway + bound) == ["IST0132 spec.gateways[0]"]
    assert told(gateway + bound.replace("namespace: default", "namespace: other")) == []
