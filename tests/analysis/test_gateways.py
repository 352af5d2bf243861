from __future__ import annotations

from collections.abc import Callable

import pytest

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  selector: {selector}
  servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: [{host}]}}]
---
"""


def gateway(name: str, selector: str = "{istio: edge}", port: int = 80, host: str = "a.example.com") -> str:
    return GATEWAY.format(name=name, selector=selector, port=port, host=host)


@pytest.mark.parametrize(
    ("other", "conflict"),
    [
        (gateway("two"), True),
        (gateway("two", selector="{istio: edge, zone: a}"), True),
        (gateway("two", selector="{istio: other}"), False),
        (gateway("two", port=81), False),
        (gateway("two", host="b.example.com"), False),
    ],
)
def test_gateways_conflict_on_one_port_and_host_of_the_same_proxies(
    told: Callable[[str], list[str]], other: str, conflict: bool
) -> None:
    assert told(gateway("one") + other) == (["IST0145 spec.servers[0]"] * 2 if conflict else [])


def test_a_services_target_port_counts_as_its_port(told: Callable[[str], list[str]]) -> None:
    service = """\
apiVersion: v1
kind: Service
metadata: {name: edge}
spec: {selector: {istio: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
"""
    assert told(gateway("one", port=8080) + service) == []
    assert told(gateway("one", port=8081) + service) == ["IST0162 spec.servers[0].port.number"]
