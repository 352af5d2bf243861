"""Who a document is for: exportTo, selectors of workloads, and the Gateway API objects a policy is attached to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyproxy.istio.metadata import DEFAULT_NAMESPACE, ObjectMeta
from pyproxy.istio.rules.names import is_dns_label
from pyproxy.istio.rules.place import Place
from pyproxy.istio.selector import PolicyTargetReference, WorkloadSelector


def check_export_to(
    export_to: Sequence[str], meta: ObjectMeta, place: Place, *, nobody: bool = False, own_namespace_only: bool = False
) -> None:
    """`.`, `*` or namespaces. `nobody` allows `~`, `own_namespace_only` nothing but the document's namespace."""
    own = meta.namespace or DEFAULT_NAMESPACE
    seen: set[str] = set()
    for index, entry in enumerate(export_to):
        namespace = own if entry == "." else entry
        if namespace in seen:
            place.at(index).error(f"{entry} is there twice" if entry != "." else f". is {own}, which is there already")
        elif not (entry in (".", "*") or (entry == "~" and nobody) or is_dns_label(entry)):
            allowed = "., *, ~ or a namespace" if nobody else ". or * or a namespace"
            place.at(index).error(f'"{entry}" is none of what is accepted: {allowed}')
        seen.add(namespace)
    if own_namespace_only and seen and seen != {own}:
        place.error(f'with a workloadSelector only the own namespace is accepted: "." or {own}')
    elif len(export_to) > 1 and "*" in seen:
        place.error("* exports to everybody: it must stand alone")
    elif len(export_to) > 1 and "~" in seen:
        place.error("~ exports to nobody: it must stand alone")


def check_selector(selector: WorkloadSelector | None, place: Place) -> None:
    """Labels without wildcards."""
    if selector is not None:
        check_label_selector(selector.match_labels, place, "matchLabels")


def check_label_selector(labels: Mapping[str, str], place: Place, name: str) -> None:
    """The labels of a selector, which are in its field `name`."""
    for key, value in labels.items():
        if not key:
            place.at(name).error("a label needs a name")
        if "*" in key or "*" in value:
            place.at(name, key).error("a selector takes no wildcards")
        if len(value) > 63:
            place.at(name, key).error("a label's value has 63 characters at most")
    if not labels:
        place.warning("the selector has no labels, so it selects every workload")


_TARGETS = frozenset(
    (
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
    )
)


def check_targets(
    selector: WorkloadSelector | None,
    target: PolicyTargetReference | None,
    targets: Sequence[PolicyTargetReference],
    place: Place,
) -> None:
    """A policy has a selector, or is attached to objects, not both."""
    if sum((selector is not None, target is not None, len(targets) > 0)) > 1:
        place.error("selector, targetRef and targetRefs exclude each other: set one of them")
    check_selector(selector, place.at("selector"))
    if target is not None:
        _check_target(target, place.at("targetRef"))
    if len(targets) > 16:
        place.at("targetRefs").error(f"16 targets at most, not {len(targets)}")
    for index, one in enumerate(targets):
        _check_target(one, place.at("targetRefs", index))


def _check_target(target: PolicyTargetReference, place: Place) -> None:
    if not target.name:
        place.at("name").error("is required")
    if target.namespace:
        place.at("namespace").error("a target is in the policy's own namespace: leave it out")
    if (target.group or "", target.kind) not in _TARGETS:
        accepted = "Service, ServiceEntry (networking.istio.io), Gateway and GatewayClass (gateway.networking.k8s.io)"
        place.at("kind").error(f"{target.kind} of group {target.group or 'core'} is no target; accepted are {accepted}")
