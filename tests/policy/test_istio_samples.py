"""Istio's published tokens and keys, where somebody has them: security/tools/jwt/samples of its repository.

ISTIO_JWT_SAMPLES names the folder. Its files are Istio's and not in this repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyproxy.core.http import RequestHead
from pyproxy.policy.jwks import parse_key_set
from pyproxy.policy.token_rules import KeySource, TokenRule
from pyproxy.policy.tokens import Authenticator

FOLDER = os.environ.get("ISTIO_JWT_SAMPLES", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="ISTIO_JWT_SAMPLES does not name Istio's security/tools/jwt/samples")
ISSUER = "testing@secure.istio.io"
JULY_2018 = 1_532_400_000


def verified(name: str, issuer: str = ISSUER, now: float = JULY_2018) -> RequestHead | str:
    """The head of a request with a sample; or why it is refused."""
    keys = parse_key_set(Path(FOLDER, "jwks.json").read_text())
    text = Path(FOLDER, name).read_text().strip()
    head = RequestHead(b"GET", b"/", b"httpbin.foo", [(b"authorization", f"Bearer {text}".encode())])
    failure = Authenticator([TokenRule(issuer, KeySource())], lambda source: keys).authenticate(head, now)
    return failure or head


@pytest.mark.parametrize("name", ["demo.jwt", "groups-scope.jwt"])
def test_samples_are_verified(name: str) -> None:
    head = verified(name)
    assert isinstance(head, RequestHead) and head.token is not None
    assert head.token.principal == f"{ISSUER}/{ISSUER}"
    assert verified(name, "somebody@secure.istio.io") == "Jwt issuer is not configured"
    assert verified(name, now=1e10) == "Jwt is expired"


def test_groups_and_scopes_are_lists() -> None:
    head = verified("groups-scope.jwt")
    assert isinstance(head, RequestHead) and head.token is not None
    assert head.token.claims["groups"] == ["group1", "group2"]
    assert head.token.claims["scope"] == ["scope1", "scope2"]
