from __future__ import annotations

from pathlib import Path

import pytest

from pyproxy.analysis.server_side import Caller, Servers
from pyproxy.core.http import RequestHead
from pyproxy.istio.loader import load
from pyproxy.snapshot.model import Identity

DOCUMENTS = """\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-admin}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tried, annotations: {istio.io/dry-run: "true"}}
spec: {rules: [{to: [{operation: {methods: [POST]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: lost}
spec: {action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: [/custom]}}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a}
spec: {jwtRules: [{issuer: me, jwks: '{"keys": []}'}]}
"""


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    (tmp_path / "a.yaml").write_text(DOCUMENTS)
    return Servers(load([tmp_path]).documents)


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/", "allowed"),
        ("/admin", "denied by ns[default]-policy[no-admin]-rule[0]"),
        ("/custom", "denied by istio-ext-authz-nobody-ns[default]-policy[lost]-rule[0]-deny-due-to-bad-CUSTOM-action"),
    ],
)
def test_the_first_rule_that_denies_is_named(servers: Servers, path: str, verdict: str) -> None:
    head = RequestHead(b"GET", path.encode(), b"a", [])
    side = servers.judge(Identity("w", labels={}), 80, Caller("10.0.0.1"), head)
    assert side.authorization == verdict
    assert side.rules[-1] == "ALLOW (dry run): no rule matches"
    assert side.tokens == ("me",)


def test_mutual_tls_to_a_plaintext_port_is_refused(servers: Servers) -> None:
    head = RequestHead(b"GET", b"/", b"a", [])
    side = servers.judge(Identity("w"), 80, Caller("10.0.0.1", "spiffe://cluster.local/ns/default/sa/a"), head)
    assert side.connection == "refused: mutual TLS, and the port takes plaintext alone"
    assert (side.authorization, side.rules) == ("not reached", ())
