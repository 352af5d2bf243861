"""Which security policies hold for a proxy: by namespace, selector or target (Istio model/policyattachment.go)."""

from __future__ import annotations

from typing import Protocol

from pyproxy.istio.resources import Document
from pyproxy.istio.selector import PolicyTargetReference, WorkloadSelector
from pyproxy.snapshot.model import Identity

_GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
_GATEWAY_GROUP, _GATEWAY_KIND = "gateway.networking.k8s.io", "Gateway"


class Targetable(Protocol):
    """What AuthorizationPolicy and RequestAuthentication have in common."""

    selector: WorkloadSelector | None
    target_ref: PolicyTargetReference | None
    target_refs: tuple[PolicyTargetReference, ...]


def attaches(document: Document, policy: Targetable, identity: Identity, root_namespace: str) -> bool:
    """Whether a policy is for this proxy. One with targets is for the Gateway API's gateways alone."""
    if document.namespace not in (root_namespace, identity.namespace):
        return False
    targets = policy.target_refs or ((policy.target_ref,) if policy.target_ref is not None else ())
    if targets:
        return document.namespace == identity.namespace and any(_is_us(target, identity) for target in targets)
    wanted = policy.selector.match_labels if policy.selector is not None else {}
    return all(identity.labels.get(key) == value for key, value in wanted.items())


def _is_us(target: PolicyTargetReference, identity: Identity) -> bool:
    return (
        (target.group, target.kind) == (_GATEWAY_GROUP, _GATEWAY_KIND)
        and target.name == identity.labels.get(_GATEWAY_NAME)
        and (target.namespace or identity.namespace) == identity.namespace
    )
