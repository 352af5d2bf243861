"""What selects workloads: Sidecars, Telemetries, policies that clash or that nobody follows.

IST0110, 0111, 0127, 0157, 0159, 0160, 0167, 0175. Source: Istio pkg/config/analysis/analyzers/sidecar/selector.go,
telemetry/{selector,default_selector,providers}.go, authz/authorizationpolicies.go, authn/blockedcidrs.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pyproxy.analysis.subject import Found, Subject, carries, listed
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.networking.sidecar import Sidecar
from pyproxy.istio.operator import IstioOperator
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.istio.security import AuthorizationPolicy, RequestAuthentication
from pyproxy.istio.telemetry import Telemetry

_BLOCKED = "BLOCKED_CIDRS_IN_JWKS_URIS"
_Selecting = Sequence[tuple[Document, Mapping[str, str] | None]]


def sidecars(subject: Subject) -> Iterator[Found]:
    """Sidecars of one namespace that are for the same workloads."""
    found = [
        (document, spec.workload_selector.labels if spec.workload_selector is not None else None)
        for document, spec in subject.of(Sidecar)
    ]
    yield from _overlaps(subject, found, "IST0110", ("spec", "workloadSelector"))
    yield from _several_without(found, "IST0111")


def telemetries(subject: Subject) -> Iterator[Found]:
    """Telemetries of one namespace that are for the same workloads."""
    found = [
        (document, spec.selector.match_labels if spec.selector is not None else None)
        for document, spec in subject.of(Telemetry)
        if not (spec.target_ref or spec.target_refs)
    ]
    yield from _overlaps(subject, found, "IST0159", ("spec", "selector"))
    yield from _several_without(found, "IST0160")


def _overlaps(subject: Subject, selecting: _Selecting, code: str, path: FieldPath) -> Iterator[Found]:
    by_workload: dict[tuple[str, str], list[Document]] = {}
    for document, labels in selecting:
        if labels:
            for workload in subject.selected(labels, document.namespace):
                by_workload.setdefault((workload.namespace, workload.entry_name), []).append(document)
    reported: set[int] = set()
    for (_, workload_name), documents in by_workload.items():
        for document in documents if _several(documents) else ():
            if document.order not in reported:
                reported.add(document.order)
                names = listed([each.name for each in documents])
                yield Found(code, document, path, f"{names} all select {workload_name}: the oldest counts there")


def _several(documents: Sequence[Document]) -> bool:
    """More than one, and not one that is there twice: that is said already."""
    return len({document.resource for document in documents}) > 1


def _several_without(selecting: _Selecting, code: str) -> Iterator[Found]:
    by_namespace: dict[str, list[Document]] = {}
    for document, labels in selecting:
        if labels is None:
            by_namespace.setdefault(document.namespace, []).append(document)
    for namespace, documents in by_namespace.items():
        for document in documents if _several(documents) else ():
            names = listed([each.name for each in documents])
            message = f"{names} are all for the whole of namespace {namespace}: the oldest counts"
            yield Found(code, document, ("metadata", "name"), message)


def logging_providers(subject: Subject) -> Iterator[Found]:
    """Access logging of a Telemetry that names no provider, where the mesh has no default one."""
    defaults = subject.mesh.config.default_providers
    if defaults is not None and defaults.access_logging:
        return
    for document, spec in subject.of(Telemetry):
        for index, logging in enumerate(spec.access_logging):
            if not logging.disabled and not logging.providers:
                message = "names no provider, and MeshConfig has no defaultProviders.accessLogging: it is ignored"
                yield Found("IST0157", document, ("spec", "accessLogging", index), message)


def unselective_policies(subject: Subject) -> Iterator[Found]:
    """AuthorizationPolicies that no workload falls under. Proxies of gateways are known by Gateways' selectors."""
    if not subject.workloads:
        return
    gateways = [gateway.selector for _, gateway in subject.of(Gateway)]
    for document, policy in subject.of(AuthorizationPolicy):
        labels = policy.selector.match_labels if policy.selector is not None else {}
        root = document.namespace == subject.mesh.root_namespace
        if policy.target_ref or policy.target_refs or (root and not labels):
            continue
        if subject.selected(labels, None if root else document.namespace):
            continue
        if labels and any(carries(selector, labels) for selector in gateways):
            continue
        shown = ",".join(f"{key}={value}" for key, value in labels.items())
        where = "in the mesh" if root else f"in namespace {document.namespace}"
        message = f"no workload {where} has the labels {shown}" if labels else f"there is no workload {where}"
        yield Found("IST0127", document, ("spec", "selector") if labels else ("metadata", "name"), message)


def ineffective_policies(subject: Subject) -> Iterator[Found]:
    """PeerAuthentications that nothing follows, and policies for objects of the Gateway API."""
    for document, reason in subject.registry.authentication.ignored:
        path: FieldPath = ("spec", "selector") if "selector" in reason else ("metadata", "name")
        yield Found("IST0167", document, path, f"has no effect: {reason}")
    for document, policy in subject.of(AuthorizationPolicy):
        targets = policy.target_refs or ((policy.target_ref,) if policy.target_ref is not None else ())
        if targets and not any(target.kind == "Gateway" for target in targets):
            field = "targetRefs" if policy.target_refs else "targetRef"
            message = f"has no effect: {targets[0].kind} {targets[0].name} has no proxy of its own without a waypoint"
            yield Found("IST0167", document, ("spec", field), message)


def unrestricted_keys(subject: Subject) -> Iterator[Found]:
    """An istiod that may fetch keys from anywhere, in documents that configure one and have it fetch some."""
    fetching = [
        document
        for document, policy in subject.of(RequestAuthentication)
        if any(rule.jwks_uri for rule in policy.jwt_rules)
    ]
    if not fetching or subject.mesh.environment.get(_BLOCKED):
        return
    for document, _ in subject.of(IstioOperator):
        names = listed([f"{each.namespace}/{each.name}" for each in fetching])
        message = f"values.pilot.env has no {_BLOCKED}: istiod fetches keys from wherever {names} say"
        yield Found("IST0175", document, ("spec", "values", "pilot", "env"), message)
        return
