"""Every document at once, as the analyzers look at it: typed, with services, workloads and mesh settings at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pyproxy.istio.fields import Message
from pyproxy.istio.networking.service_entry import ServiceEntry
from pyproxy.istio.problems import FieldPath, format_path
from pyproxy.istio.resources import Document
from pyproxy.snapshot.credentials import Credentials
from pyproxy.snapshot.destination_rules import DestinationRules
from pyproxy.snapshot.hosts import expand
from pyproxy.snapshot.mesh import mesh_settings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.services import Service
from pyproxy.snapshot.workloads import Workload, workload_of

ModelT = TypeVar("ModelT", bound=Message)
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: a code of the catalogue, about a place in a document."""

    code: str
    document: Document
    path: FieldPath
    message: str
    of_key: bool = False
    """Points at the field's name and not at its value."""

    @property
    def dotted_path(self) -> str:
        """The path as people write it."""
        return format_path(self.path)


class Subject:
    """What is analyzed. Documents must be valid each for itself."""

    def __init__(
        self, documents: Sequence[Document], certs: str = "certs", more_namespaces: Collection[str] = ()
    ) -> None:
        """`certs`: the folder of certificates. `more_namespaces`: those that Namespace documents name."""
        self.documents = tuple(sorted(documents, key=lambda document: document.order))
        self.mesh = mesh_settings(self.documents)
        self.registry = Registry(self.documents, self.mesh)
        self.credentials = Credentials(certs)
        self._rules: dict[str, DestinationRules] = {}
        self.namespaces = {document.namespace for document in self.documents} | set(more_namespaces)

    def of(self, model: type[ModelT]) -> Iterator[tuple[Document, ModelT]]:
        """Every document of one kind with its spec, the oldest first."""
        for document in self.documents:
            if isinstance(document.spec, model):
                yield document, document.spec

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        """WorkloadEntries, and the endpoints that ServiceEntries list."""
        inline = (
            workload_of(endpoint, f"{document.name}-{index}", document.namespace)
            for document, entry in self.of(ServiceEntry)
            for index, endpoint in enumerate(entry.endpoints)
        )
        return (*self.registry.workloads.all, *inline)

    def selected(self, labels: Mapping[str, str], namespace: str | None) -> list[Workload]:
        """The workloads that carry all these labels, in one namespace or (None) in any."""
        candidates: Sequence[Workload] = self.workloads
        for first in list(labels.items())[:1]:
            candidates = self._by_label.get(first, ())
        return [
            each
            for each in candidates
            if (namespace is None or each.namespace == namespace) and carries(each.labels, labels)
        ]

    @cached_property
    def _by_label(self) -> dict[tuple[str, str], list[Workload]]:
        found: dict[tuple[str, str], list[Workload]] = {}
        for each in self.workloads:
            for label in each.labels.items():
                found.setdefault(label, []).append(each)
        return found

    def destination_rules(self, namespace: str) -> DestinationRules:
        """The DestinationRules as clients of a namespace follow them, whatever their labels."""
        found = self._rules.get(namespace)
        if found is None:
            identity = Identity(namespace=namespace)
            found = self._rules[namespace] = DestinationRules(self.documents, identity, self.mesh)
        return found

    def host(self, name: str, namespace: str) -> str:
        """The full name of a host that a document of a namespace names."""
        return expand(name, namespace, self.mesh.domain).lower()

    def service(self, name: str, namespace: str, export_to: Collection[str] = ()) -> Service | None:
        """The service that a document means by a host: its own namespace's, else one that its audience sees."""
        by_namespace = self.registry.by_host.get(self.host(name, namespace), {})
        own = by_namespace.get(namespace)
        if own is not None:
            return own
        audience = {namespace if each == "." else each for each in export_to} - {EVERYBODY} or {namespace}
        visible = (service for service in by_namespace.values() if any(map(service.visible_to, audience)))
        return next(visible, None)


Analyzer = Callable[[Subject], Iterator[Found]]


def carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether all the wanted labels are among these."""
    return all(labels.get(key) == value for key, value in wanted.items())


def scopes(export_to: Collection[str], namespace: str) -> set[str]:
    """The namespaces that an exportTo names; `*` for all."""
    if not export_to or EVERYBODY in export_to:
        return {EVERYBODY}
    return {namespace if each == "." else each for each in export_to}


def listed(names: Collection[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
