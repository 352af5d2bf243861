"""The frames around the documents of the scenarios, so that each scenario shows only what it is about."""

from __future__ import annotations

from textwrap import dedent, indent


def virtual_service(host: str, http: str, comment: str) -> str:
    """A VirtualService for one host of the bookshop; `http` are the routes."""
    return f"""\
# {comment}
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: {host}
spec:
  hosts: [{host}]
  http:
{_inset(http, 4)}"""


def destination_rule(host: str, policy: str, comment: str = "") -> str:
    """A DestinationRule for one host; `policy` is its trafficPolicy."""
    first = f"# {comment}\n" if comment else ""
    return f"""\
{first}apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: {host}
spec:
  host: {host}
  trafficPolicy:
{_inset(policy, 4)}"""


def authorization(name: str, spec: str, comment: str) -> str:
    """An AuthorizationPolicy of the bookshop's namespace."""
    return f"""\
# {comment}
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: {name}
spec:
{_inset(spec, 2)}"""


def _inset(text: str, spaces: int) -> str:
    return indent(dedent(text).strip("\n"), " " * spaces) + "\n"


VERSIONS = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
spec:
  host: reviews
  subsets:
    - name: v1
      labels: {version: v1}
    - name: v2
      labels: {version: v2}
    - name: v3
      labels: {version: v3}
"""
"""The three versions of reviews as subsets."""

ANY_REPLICA = """\
- name: any-replica
  route:
    - destination: {host: reviews}
"""
"""The three versions as three replicas of one service."""
