"""Services: names of ports, protocols and ports that clash on a workload, and who answers at all.

IST0116, 0118, 0137, 0150, 0177, PYP0107, 0108. Source: Istio pkg/config/analysis/analyzers/service/portname.go,
deployment/services.go, serviceentry/conflictingserviceentries.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.analysis.subject import EVERYBODY, Found, Subject, carries, listed, scopes
from pyproxy.istio.kubernetes import KubernetesService, KubernetesServicePort
from pyproxy.istio.networking.gateway import Gateway
from pyproxy.istio.networking.service_entry import ServiceEntry
from pyproxy.istio.networking.workload_entry import WorkloadEntry
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.snapshot.services import AUTO, kubernetes_protocol
from pyproxy.snapshot.workloads import workload_of


def port_names(subject: Subject) -> Iterator[Found]:
    """Ports of Services whose protocol neither their name nor appProtocol tells."""
    for document, spec in subject.of(KubernetesService):
        external = spec.type == "ExternalName"
        for index, port in enumerate(spec.ports):
            path: FieldPath = ("spec", "ports", index)
            unknown = kubernetes_protocol(port.port, port.name, port.protocol, port.app_protocol) == AUTO
            if external and (unknown or port.name == "tcp"):
                message = f"port {port.port} of an ExternalName service: name it after its protocol, and not tcp"
                yield Found("IST0150", document, path, message)
            elif unknown:
                name = f"the name {port.name}" if port.name else "no name"
                message = f"port {port.port} has {name}: begin it with the protocol (http-, grpc-), or it is guessed"
                yield Found("IST0118", document, path, message)


def clashes_on_workloads(subject: Subject) -> Iterator[Found]:
    """One workload behind Services that disagree about a port's protocol, or about which port leads to it."""
    selecting: dict[tuple[str, str, str], list[tuple[Document, KubernetesService]]] = {}
    for service, spec in subject.of(KubernetesService):
        for first in list(spec.selector.items())[:1]:
            selecting.setdefault((service.namespace, *first), []).append((service, spec))
    for document, entry in subject.of(WorkloadEntry):
        workload = workload_of(entry, document.name, document.namespace, document.labels, document.annotations)
        behind = [
            (service, port)
            for label in workload.labels.items()
            for service, spec in selecting.get((document.namespace, *label), ())
            if carries(workload.labels, spec.selector)
            for port in spec.ports
        ]
        by_number: dict[int, dict[str, str]] = {}
        by_target: dict[str, dict[int, str]] = {}
        for service, port in behind:
            by_number.setdefault(port.port, {})[port.protocol or "TCP"] = service.name
            by_target.setdefault(_target(port), {})[port.port] = service.name
        for number, protocols in by_number.items():
            if len(protocols) > 1:
                message = (
                    f"port {number} is {listed(list(protocols))} in the services {listed(list(protocols.values()))}"
                )
                yield Found("IST0116", document, ("metadata", "name"), message)
        for target, ports in by_target.items():
            if len(ports) > 1:
                numbers = listed([str(number) for number in ports])
                message = f"target port {target} is behind the ports {numbers} of {listed(sorted(set(ports.values())))}"
                yield Found("IST0137", document, ("metadata", "name"), message)


def _target(port: KubernetesServicePort) -> str:
    return str(port.target_port or port.port)


def conflicting_protocols(subject: Subject) -> Iterator[Found]:
    """ServiceEntries that give one port of one host several protocols."""
    index: dict[tuple[str, str, int], list[tuple[Document, str]]] = {}
    for document, entry in subject.of(ServiceEntry):
        for scope in scopes(entry.export_to, document.namespace):
            for host in entry.hosts:
                for port in entry.ports:
                    index.setdefault((scope, host, port.number), []).append((document, (port.protocol or "").upper()))
    reported: set[int] = set()
    for (scope, host, number), own in index.items():
        found = own + (index.get((EVERYBODY, host, number), []) if scope != EVERYBODY else [])
        protocols = sorted({protocol or "none" for _, protocol in found})
        if len(protocols) < 2:
            continue
        names = listed(sorted({f"{document.namespace}/{document.name}" for document, _ in found}))
        for document, _ in found:
            if document.order not in reported:
                reported.add(document.order)
                message = f"{names} give {host}:{number} the protocols {listed(protocols)}"
                yield Found("IST0177", document, ("metadata", "name"), message)


def without_endpoints(subject: Subject) -> Iterator[Found]:
    """Services that list or select their endpoints, and have none."""
    for document in subject.documents:
        spec = document.spec
        if isinstance(spec, ServiceEntry):
            if spec.resolution == "STATIC" or spec.workload_selector is not None:
                yield from _unanswered(subject, document, spec.hosts[0] if spec.hosts else "", ("spec", "hosts"))
        elif isinstance(spec, KubernetesService) and spec.type != "ExternalName" and spec.selector:
            if any(carries(gateway.selector, spec.selector) for _, gateway in subject.of(Gateway)):
                continue  # proxies that no document lists
            host = f"{document.name}.{document.namespace}.svc.{subject.mesh.domain}"
            yield from _unanswered(subject, document, host, ("spec", "selector"))


def _unanswered(subject: Subject, document: Document, host: str, path: FieldPath) -> Iterator[Found]:
    service = subject.registry.by_host.get(host.lower(), {}).get(document.namespace)
    if service is not None and subject.workloads and not any(service.endpoints.values()):
        yield Found(
            "PYP0108", document, path, f"no WorkloadEntry and no endpoint answers for {host}: requests get 503 UH"
        )


def duplicates(subject: Subject) -> Iterator[Found]:
    """Documents of one kind, namespace and name: a cluster would keep the last, here both count."""
    first: dict[str, Document] = {}
    for document in subject.documents:
        known = first.setdefault(document.resource, document) if document.name else document
        if known is not document:
            message = f"is also at {known.file}:{known.line}: a cluster would keep one of them, here both count"
            yield Found("PYP0107", document, ("metadata", "name"), message)
