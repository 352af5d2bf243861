"""Runs every analyzer over the documents, and says which need what to conclude anything from what is not there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pyproxy.analysis import (
    destination_rules,
    fan_out,
    gateways,
    references,
    resilience,
    services,
    virtual_services,
    workload_policies,
)
from pyproxy.analysis.annotations import misused
from pyproxy.analysis.left_out import left_out
from pyproxy.analysis.subject import Analyzer, Found, Subject
from pyproxy.istio.problems import Problem
from pyproxy.istio.resources import Document

SUPPRESS = "galley.istio.io/analyze-suppress"
"""Annotation of Istio's: codes, with commas between them, that a document wants to hear nothing of; `*` for all."""
_SERVICES = frozenset({"Service", "ServiceEntry"})
_WORKLOADS = frozenset({"WorkloadEntry", "ServiceEntry"})
_GATEWAYS = frozenset({"Gateway"})
_NOTHING: frozenset[str] = frozenset()
ANALYZERS: Sequence[tuple[Analyzer, frozenset[str]]] = (
    (references.destinations, _SERVICES | {"DestinationRule"}),
    (references.gateways, _GATEWAYS),
    (references.selectors, _WORKLOADS),
    (references.imports, _SERVICES | {"VirtualService"}),
    (references.namespaces, frozenset({"Namespace"})),
    (virtual_services.conflicting_hosts, _NOTHING),
    (virtual_services.hosts_of_gateways, _GATEWAYS),
    (virtual_services.subsets_beside_gateways, _NOTHING),
    (virtual_services.claims_without_tokens, frozenset({"RequestAuthentication"})),
    (destination_rules.unverified_servers, _NOTHING),
    (destination_rules.unknown_hosts, _SERVICES),
    (destination_rules.empty_subsets, _WORKLOADS),
    (destination_rules.ignored_policies, _NOTHING),
    (destination_rules.failover_without_detection, _NOTHING),
    (destination_rules.plaintext_to_strict, frozenset({"PeerAuthentication"})),
    (gateways.shared_certificates, _NOTHING),
    (gateways.conflicts, _NOTHING),
    (gateways.credentials, _NOTHING),
    (gateways.unexposed_ports, frozenset({"Service"})),
    (services.port_names, _NOTHING),
    (services.clashes_on_workloads, _NOTHING),
    (services.conflicting_protocols, _NOTHING),
    (services.without_endpoints, _WORKLOADS | {"Endpoints", "EndpointSlice"}),
    (services.duplicates, _NOTHING),
    (workload_policies.sidecars, _NOTHING),
    (workload_policies.telemetries, _NOTHING),
    (workload_policies.logging_providers, frozenset({"IstioOperator"})),
    (workload_policies.unselective_policies, _WORKLOADS | _GATEWAYS),
    (workload_policies.ineffective_policies, _NOTHING),
    (workload_policies.unrestricted_keys, frozenset({"IstioOperator"})),
    (misused, _NOTHING),
    (resilience.routes, _NOTHING),
    (resilience.outlier_detection, _WORKLOADS),
    (fan_out.retry_fan_out, _NOTHING),
    (left_out, frozenset({"IstioOperator"}) | _SERVICES),
)
"""Each with the kinds whose absence it draws conclusions from: with a document of theirs left out it stays silent."""
EVERY_KIND = "*"


def analyze(subject: Subject, unusable: Collection[str] = ()) -> Iterator[Found]:
    """All findings that nobody suppressed. `unusable`: kinds of documents with errors; EVERY_KIND: some kind."""
    for analyzer, concludes_from in ANALYZERS:
        if (EVERY_KIND in unusable and concludes_from) or not concludes_from.isdisjoint(unusable):
            continue
        yield from (found for found in analyzer(subject) if not suppressed(found.code, found.document))


def suppressed(code: str, document: Document) -> bool:
    """Whether a document's own annotation wants to hear nothing of a code."""
    codes = [part.strip() for part in document.annotations.get(SUPPRESS, "").split(",")]
    return "*" in codes or code in codes


def unusable_kinds(problems: Collection[Problem]) -> set[str]:
    """The kinds of documents that have errors; EVERY_KIND for text that is no document."""
    return {problem.resource.partition("/")[0] or EVERY_KIND for problem in problems if problem.severity == "error"}


def namespaces_named(problems: Collection[Problem]) -> set[str]:
    """The names of the Namespace documents, of which the loader knows no more than that there are some."""
    parts = (problem.resource.split("/") for problem in problems)
    return {part[-1] for part in parts if part[0] == "Namespace"}
