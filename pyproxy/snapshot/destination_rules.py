"""Which DestinationRule holds for a service, seen from one proxy: three tiers, rules of one host and audience in one.

Source: Istio pilot/pkg/model/push_context.go (destinationRule), destination_rule.go (mergeDestinationRule).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyproxy.istio.networking.destination_rule import DestinationRule, Subset, TrafficPolicy
from pyproxy.istio.resources import Document
from pyproxy.snapshot.hosts import HostIndex, expand
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.services import Service

_PRIVATE = frozenset({"."})


@dataclass(slots=True, eq=False)
class DestinationPolicy:
    """DestinationRules of one host that were consolidated. It no longer changes once the index is built."""

    name: str
    """`name.namespace` of the oldest, for people."""
    namespace: str
    export_to: frozenset[str]
    """As written; empty: the mesh's default."""
    selector: Mapping[str, str] | None
    traffic_policy: TrafficPolicy | None
    subsets: dict[str, Subset] = field(default_factory=dict)

    def take(self, rule: DestinationRule) -> None:
        """A younger rule adds subsets of new names, and a traffic policy where there is none."""
        for subset in rule.subsets:
            self.subsets.setdefault(subset.name, subset)
        if self.traffic_policy is None:
            self.traffic_policy = rule.traffic_policy


Index = HostIndex[list[DestinationPolicy]]


class DestinationRules:
    """All DestinationRules, looked up for one proxy."""

    def __init__(self, documents: Iterable[Document], identity: Identity, mesh: MeshSettings) -> None:
        self._identity = identity
        self._mesh = mesh
        self._local: dict[str, Index] = {}
        self._exported: dict[str, Index] = {}
        self._root_private: Index = HostIndex()
        rules = [(document, document.spec) for document in documents if isinstance(document.spec, DestinationRule)]
        for document, rule in sorted(rules, key=lambda each: each[1].workload_selector is None):
            self._index(document, rule)

    def for_service(self, service: Service, *, inbound: bool = False) -> DestinationPolicy | None:
        """The policy that this proxy applies to a service. Rules with a workload selector never act inbound."""
        chosen = None
        for each in self._tier(service):
            if each.selector is None:
                chosen = each
            elif not inbound and self._selects(each):
                return each
        return chosen

    def _index(self, document: Document, rule: DestinationRule) -> None:
        namespace = document.namespace
        host = expand(rule.host, namespace, self._mesh.domain).lower()
        export_to = frozenset(rule.export_to) if rule.workload_selector is None else _PRIVATE
        if not export_to or export_to & {"*", ".", namespace}:
            _merge(self._local.setdefault(namespace, HostIndex()), host, document, rule, export_to)
        default = export_to or self._mesh.destination_rules_export
        private = "." in default if not export_to else export_to in (_PRIVATE, frozenset({namespace}))
        if not private:
            _merge(self._exported.setdefault(namespace, HostIndex()), host, document, rule, export_to)
        elif namespace == self._mesh.root_namespace:
            _merge(self._root_private, host, document, rule, export_to)

    def _tier(self, service: Service) -> list[DestinationPolicy]:
        """The first of client namespace, service namespace and root namespace that has anything; never two together."""
        root = self._mesh.root_namespace
        namespace = self._identity.namespace
        own = self._root_private if namespace == root else self._local.get(namespace)
        found = own.most_specific(service.host) if own is not None else None
        return found or self._exported_by(service.namespace, service.host) or self._exported_by(root, service.host)

    def _exported_by(self, owner: str, host: str) -> list[DestinationPolicy]:
        """The most specific host is chosen before anyone asks whether its rules are exported to us."""
        index = self._exported.get(owner)
        found = index.most_specific(host) if index is not None else None
        audience = {"*", self._identity.namespace}
        return [each for each in found or () if not each.export_to or each.export_to & audience]

    def _selects(self, policy: DestinationPolicy) -> bool:
        labels = self._identity.labels
        selector = policy.selector or {}
        return policy.namespace == self._identity.namespace and all(
            labels.get(key) == value for key, value in selector.items()
        )


def _merge(index: Index, host: str, document: Document, rule: DestinationRule, export_to: frozenset[str]) -> None:
    """Into every older rule of the host with the same selector that no one sees who may not see this one."""
    selector = None if rule.workload_selector is None else rule.workload_selector.match_labels
    known = index.add(host, [])
    same_audience = False
    for each in known:
        if each.selector != selector:
            continue
        if each.export_to == export_to:
            same_audience = True
            each.take(rule)
        elif each.export_to and export_to > each.export_to:
            each.take(rule)
    if not same_audience:
        name = f"{document.name}.{document.namespace}"
        policy = DestinationPolicy(name, document.namespace, export_to, selector, None)
        policy.take(rule)
        known.append(policy)
