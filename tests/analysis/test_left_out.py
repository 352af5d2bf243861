from __future__ import annotations

from tests.analysis.conftest import Find

GATEWAY = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: NAME}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 80, name: NAME, protocol: PROTOCOL}, hosts: [NAME.example.com]}]
---
"""


def test_a_header_value_that_envoy_refuses_has_its_place(find: Find) -> None:
    rules = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [reviews], http: [{headers: {request: {set: {x-a: "%NO%"}}}, route: [{destination: {host: reviews}}]}]}
"""
    [found] = find(rules)
    assert (found.code, found.dotted_path) == ("IST0133", 'spec.http[0].headers.request.set["x-a"]')
    assert found.path[-1] == "x-a"


def test_servers_that_cannot_share_a_port_are_told_once(find: Find) -> None:
    one = GATEWAY.replace("NAME", "one").replace("PROTOCOL", "HTTP")
    other = GATEWAY.replace("NAME", "two").replace("PROTOCOL", "TCP")
    wider = GATEWAY.replace("NAME", "three").replace("PROTOCOL", "TCP").replace("{istio: edge}", "{istio: edge, a: b}")
    found = [(each.code, each.document.name) for each in find(one + other + wider)]
    assert found == [("PYP0005", "two"), ("PYP0005", "three")]


def test_an_authorizer_that_nobody_has_is_told(find: Find) -> None:
    policy = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec: {action: CUSTOM, provider: {name: nobody}, rules: [{}]}
"""
    assert [(each.code, each.dotted_path) for each in find(policy)] == [("IST0133", "spec.provider.name")]
