"""WorkloadEntries as endpoints, found by label: documents' own and those written inside a ServiceEntry.

Source: Istio pilot/pkg/serviceregistry/serviceentry/conversion.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyproxy.istio.networking.workload_entry import WorkloadEntry
from pyproxy.istio.resources import Document
from pyproxy.snapshot.model import EMPTY, Endpoint

UNIX = "unix://"
_TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")


@dataclass(frozen=True, slots=True)
class Workload:
    """A WorkloadEntry with what its document's metadata adds."""

    name: str
    """What telemetry calls it."""
    entry_name: str
    """metadata.name."""
    namespace: str
    entry: WorkloadEntry
    labels: Mapping[str, str]
    locality: str
    mutual_tls: bool

    @property
    def service_account(self) -> str:
        """The account's name alone."""
        return self.entry.service_account or ""

    def endpoint(self, port: int, cluster_id: str) -> Endpoint | None:
        """The endpoint at a port; None for an entry that says only its network."""
        address = self.entry.address
        if not address:
            return None
        return Endpoint(
            address=address,
            port=0 if address.startswith(UNIX) else port,
            weight=self.entry.weight or 1,
            labels=self.labels,
            locality=self.locality,
            network=self.entry.network or "",
            service_account=self.service_account,
            workload=self.name,
            namespace=self.namespace,
            cluster_id=cluster_id,
            mutual_tls=self.mutual_tls,
        )


def workload_of(
    entry: WorkloadEntry,
    name: str,
    namespace: str,
    labels: Mapping[str, str] = EMPTY,
    annotations: Mapping[str, str] = EMPTY,
) -> Workload:
    """A workload out of its entry; labels of the metadata beat the entry's own."""
    merged = {**entry.labels, **labels} if labels else entry.labels
    mode = merged.get("security.istio.io/tlsMode")
    return Workload(
        name=annotations.get("istio.io/autoRegistrationGroup") or merged.get("service.istio.io/workload-name") or name,
        entry_name=name,
        namespace=namespace,
        entry=entry,
        labels=merged,
        locality=entry.locality or _locality(merged),
        mutual_tls=mode == "istio" if mode is not None else bool(entry.service_account),
    )


def _locality(labels: Mapping[str, str]) -> str:
    """`region/zone/subzone` out of labels, as far as they go."""
    whole = labels.get("istio-locality")
    if whole:
        return whole.replace(".", "/")
    parts = [labels.get(name, "") for name in _TOPOLOGY]
    return "/".join(parts).rstrip("/") if parts[0] else ""


class Workloads:
    """Every WorkloadEntry document, by namespace and label."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self.all = tuple(
            workload_of(document.spec, document.name, document.namespace, document.labels, document.annotations)
            for document in documents
            if isinstance(document.spec, WorkloadEntry)
        )
        self._by_label: dict[tuple[str, str, str], list[Workload]] = {}
        self._by_namespace: dict[str, list[Workload]] = {}
        self._by_address: dict[tuple[str, str], Workload] = {}
        for workload in self.all:
            if workload.entry.address:
                self._by_address.setdefault((workload.namespace, workload.entry.address), workload)
            self._by_namespace.setdefault(workload.namespace, []).append(workload)
            for key, value in workload.labels.items():
                self._by_label.setdefault((workload.namespace, key, value), []).append(workload)

    def select(self, namespace: str, labels: Mapping[str, str]) -> list[Workload]:
        """The workloads of a namespace that carry all these labels; with no labels all of them."""
        if not labels:
            return self._by_namespace.get(namespace, [])
        first, *rest = labels.items()
        found = self._by_label.get((namespace, *first), [])
        return [each for each in found if all(each.labels.get(key) == value for key, value in rest)]

    def at(self, namespace: str, address: str) -> Workload | None:
        """The first workload of a namespace with an address."""
        return self._by_address.get((namespace, address))
