"""Which connections a workload's ports accept: PeerAuthentication by port, workload, namespace, mesh; narrowest first.

Source: Istio pilot/pkg/security/authn/policy_applier.go (ComposePeerAuthentication), pilot/pkg/model/authentication.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyproxy.core.tls import MtlsMode
from pyproxy.istio.resources import Document
from pyproxy.istio.security import MutualTLS, PeerAuthentication

_MODES = {mode.value: mode for mode in MtlsMode}


@dataclass(frozen=True, slots=True)
class PortModes:
    """What the ports of one workload accept."""

    default: MtlsMode = MtlsMode.PERMISSIVE
    ports: Mapping[int, MtlsMode] = field(default_factory=dict)
    """Workload ports of which a policy speaks."""

    def of(self, port: int) -> MtlsMode:
        """What a workload port accepts."""
        return self.ports.get(port, self.default)


class PeerAuthentications:
    """All PeerAuthentications, the oldest first; of one scope the oldest alone counts."""

    def __init__(self, documents: Iterable[Document], root_namespace: str) -> None:
        self._root = root_namespace
        self._wide: dict[str, PeerAuthentication] = {}
        """By namespace, those without labels to select by; the root namespace's is the mesh's."""
        self._narrow: dict[str, list[PeerAuthentication]] = {}
        self.ignored: list[tuple[Document, str]] = []
        """Policies without effect anywhere, and why."""
        for document in documents:
            if isinstance(document.spec, PeerAuthentication):
                self._take(document, document.spec)

    def _take(self, document: Document, policy: PeerAuthentication) -> None:
        namespace = document.namespace
        if _labels(policy):
            if namespace == self._root:
                self.ignored.append((document, f"a selector in the root namespace {namespace} selects nothing"))
            else:
                self._narrow.setdefault(namespace, []).append(policy)
        elif namespace in self._wide:
            self.ignored.append((document, f"an older one already holds for the whole of {namespace}"))
        else:
            self._wide[namespace] = policy

    def namespace(self, namespace: str) -> MtlsMode:
        """What workloads of a namespace accept when no policy selects them."""
        mesh = _mode(self._mtls(self._root)) or MtlsMode.PERMISSIVE
        return _mode(self._mtls(namespace)) or mesh

    def workload(self, namespace: str, labels: Mapping[str, str]) -> PortModes:
        """What one workload's ports accept."""
        default = self.namespace(namespace)
        for policy in self._narrow.get(namespace, ()):
            if all(labels.get(key) == value for key, value in _labels(policy).items()):
                default = _mode(policy.mtls) or default
                ports = {int(port): _mode(mtls) or default for port, mtls in policy.port_level_mtls.items()}
                return PortModes(default, ports)
        return PortModes(default)

    def _mtls(self, namespace: str) -> MutualTLS | None:
        found = self._wide.get(namespace)
        return found.mtls if found is not None else None


def _labels(policy: PeerAuthentication) -> Mapping[str, str]:
    return policy.selector.match_labels if policy.selector is not None else {}


def _mode(block: MutualTLS | None) -> MtlsMode | None:
    """None when the block leaves it to the wider scope."""
    return _MODES.get(block.mode or "") if block is not None else None
