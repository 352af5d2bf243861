"""What one proxy tells about its requests: the Telemetry documents that apply to it, over MeshConfig.

Source: Istio pilot/pkg/model/telemetry.go (applicableTelemetries).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyproxy.istio.problems import NOT_ACTED_ON, SCHEMA_WARNING, FieldPath, Problem
from pyproxy.istio.resources import Document
from pyproxy.istio.telemetry import Telemetry as TelemetryDocument
from pyproxy.snapshot.access_logs import LogRules
from pyproxy.snapshot.findings import warn
from pyproxy.snapshot.mesh import MeshSettings
from pyproxy.snapshot.metric_rules import compile_metrics
from pyproxy.snapshot.model import Cluster, Identity
from pyproxy.snapshot.policy_scope import attaches
from pyproxy.snapshot.providers import Providers
from pyproxy.snapshot.registry import Registry
from pyproxy.snapshot.reporting import Reporting, Telemetry
from pyproxy.snapshot.tracing import TracingRules
from pyproxy.wire.format import FormatError, compile_header_value


@dataclass(frozen=True, slots=True)
class CompiledTelemetry:
    """What came of it."""

    telemetry: Telemetry
    clusters: Mapping[str, Cluster]
    """Collectors that are no service of the mesh."""
    troubles: Mapping[tuple[str, str], str]
    """(field of Telemetry, provider's name) → why nothing goes to it."""

    def problems(self, documents: Sequence[Document]) -> Iterator[Problem]:
        """Warnings, each where a Telemetry names the provider; the mesh's own defaults come first."""
        for document in documents:
            spec = document.spec
            if isinstance(spec, TelemetryDocument):
                yield from _bad_formats(document, spec)
                for section, index, number, name in _named(spec):
                    trouble = self.troubles.get((section, name))
                    if trouble is not None:
                        path: FieldPath = ("spec", section, index, "providers", number, "name")
                        yield warn(document, NOT_ACTED_ON, path, f"{name}: {trouble}")


def _bad_formats(document: Document, spec: TelemetryDocument) -> Iterator[Problem]:
    for index, entry in enumerate(spec.tracing):
        for name, tag in entry.custom_tags.items():
            if tag.formatter is not None:
                try:
                    compile_header_value(tag.formatter.value)
                except FormatError as error:
                    path: FieldPath = ("spec", "tracing", index, "customTags", name, "formatter", "value")
                    yield warn(document, SCHEMA_WARNING, path, f"{error}: spans go without this tag")


def _named(spec: TelemetryDocument) -> Iterator[tuple[str, int, int, str]]:
    """Every provider that a document names: field, number of the entry, number of the provider, name."""
    lists = [("tracing", [entry.providers for entry in spec.tracing])]
    lists.append(("accessLogging", [entry.providers for entry in spec.access_logging]))
    for section, entries in lists:
        for index, providers in enumerate(entries):
            for number, provider in enumerate(providers):
                yield section, index, number, provider.name


def compile_telemetry(
    documents: Sequence[Document], identity: Identity, mesh: MeshSettings, registry: Registry
) -> CompiledTelemetry:
    """Both directions' spans, log lines and metrics; never raises."""
    applying = list(_applying(documents, identity, mesh.root_namespace))
    providers = Providers(mesh, registry)
    tracing = TracingRules(identity, mesh, providers)
    logs = LogRules(mesh, providers)
    client_tracing, server_tracing = tracing.compile([entry for spec in applying for entry in spec.tracing])
    levels = [spec.access_logging for spec in applying]
    metrics = compile_metrics([entry for spec in applying for entry in spec.metrics], mesh, providers)
    client = Reporting(client_tracing, logs.compile(levels, "CLIENT"), metrics.client)
    server = Reporting(server_tracing, logs.compile(levels, "SERVER"), metrics.server)
    troubles = {("tracing", name): text for name, text in tracing.troubles.items()}
    troubles |= {("accessLogging", name): text for name, text in logs.troubles.items()}
    return CompiledTelemetry(Telemetry(client, server, metrics.interval), tracing.clusters, troubles)


def _applying(documents: Sequence[Document], identity: Identity, root: str) -> Iterator[TelemetryDocument]:
    """The mesh's, then the namespace's (of each the oldest without a selector), then those that select the workload."""
    namespaces = dict.fromkeys((root, identity.namespace))
    for namespace in namespaces:
        for document in documents:
            spec = document.spec
            if isinstance(spec, TelemetryDocument) and document.namespace == namespace and _is_wide(spec):
                yield spec
                break
    for document in documents:
        spec = document.spec
        if not isinstance(spec, TelemetryDocument) or _is_wide(spec) or document.namespace != identity.namespace:
            continue
        if attaches(document, spec, identity, root):
            yield spec


def _is_wide(spec: TelemetryDocument) -> bool:
    selected = spec.selector is not None and spec.selector.match_labels
    return not selected and not spec.target_ref and not spec.target_refs
