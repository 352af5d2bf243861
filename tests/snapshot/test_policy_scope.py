"""For whom a policy is."""

from __future__ import annotations

import pytest

from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.policy_scope import attaches
from tests.snapshot.documents import documents

US = Identity(namespace="shop", labels={"app": "web", "version": "v1"})
GATEWAY = Identity(namespace="shop", labels={"gateway.networking.k8s.io/gateway-name": "front"}, gateway=True)
TARGET = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: front}]"


def holds(namespace: str, spec: str, identity: Identity = US) -> bool:
    (document,) = documents(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: p, namespace: {namespace}}}\nspec: {{{spec}}}"
    )
    return attaches(document, document.spec, identity, "istio-system")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("namespace", "spec", "expected"),
    [
        ("shop", "", True),
        ("istio-system", "", True),
        ("default", "", False),
        ("shop", "selector: {matchLabels: {app: web}}", True),
        ("shop", "selector: {matchLabels: {app: web, version: v2}}", False),
        ("shop", "selector: {}", True),
        ("istio-system", "selector: {matchLabels: {app: web}}", True),
        ("shop", TARGET, False),
    ],
)
def test_a_policy_holds_in_its_namespace_for_those_it_selects(namespace: str, spec: str, expected: bool) -> None:
    assert holds(namespace, spec) is expected


def test_targets_are_gateways_of_the_gateway_api_in_the_policys_namespace() -> None:
    assert holds("shop", TARGET, GATEWAY)
    assert not holds("shop", TARGET.replace("front", "other"), GATEWAY)
    assert not holds(
        "shop", TARGET.replace("group: gateway.networking.k8s.io, kind: Gateway", "group: '', kind: Service"), GATEWAY
    )
    assert not holds("istio-system", TARGET, GATEWAY)
