"""Istio's canonical names of a workload, and what traces call its proxy.

Source: Istio pkg/kube/labels, pkg/bootstrap/config.go (getServiceCluster).
"""

from __future__ import annotations

from collections.abc import Mapping

from pyproxy.istio.mesh.proxy import ProxyConfig
from pyproxy.snapshot.model import Identity

_CANONICAL_NAMES = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_CANONICAL_REVISIONS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
_APPS = ("app", "app.kubernetes.io/name", "service.istio.io/canonical-name")
_NOBODY = "istio-proxy"


def first_label(labels: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The value of the first of these labels that is there."""
    for name in names:
        if name in labels:
            return labels[name]
    return ""


def canonical_service(labels: Mapping[str, str], workload: str) -> str:
    """Istio's name for a workload's service."""
    return first_label(labels, _CANONICAL_NAMES) or workload


def canonical_revision(labels: Mapping[str, str]) -> str:
    """Istio's revision of a workload, `latest` without a label."""
    return first_label(labels, _CANONICAL_REVISIONS) or "latest"


def service_cluster(identity: Identity, config: ProxyConfig) -> str:
    """Envoy's node cluster: `<app>.<namespace>`, unless ProxyConfig says otherwise."""
    if config.tracing_service_name in ("CANONICAL_NAME_ONLY", "CANONICAL_NAME_AND_NAMESPACE"):
        name = canonical_service(identity.labels, identity.workload or _NOBODY)
        if config.tracing_service_name == "CANONICAL_NAME_AND_NAMESPACE":
            return f"{name}.{identity.namespace}"
        if name != _NOBODY:
            return name
    elif config.service_cluster and config.service_cluster != _NOBODY:
        return config.service_cluster
    return f"{first_label(identity.labels, _APPS) or identity.workload or _NOBODY}.{identity.namespace}"
