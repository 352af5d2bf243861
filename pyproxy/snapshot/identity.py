"""Who the proxy is: the workload that it stands beside, out of that workload's own documents."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from pyproxy.core.errors import CommandError
from pyproxy.istio.networking.proxy_config import ProxyConfig
from pyproxy.istio.resources import Document
from pyproxy.snapshot.mesh import MeshSettings, mesh_settings
from pyproxy.snapshot.model import Identity
from pyproxy.snapshot.workloads import Workload, Workloads


def identity_of(documents: Sequence[Document], workload: str) -> Identity:
    """The identity of `NAME[.NAMESPACE]`, a WorkloadEntry. No namespace: `default`, else the only one of that name.

    Raises CommandError, with the nearest names, when there is no such entry or several.
    """
    mesh = mesh_settings(documents)
    found = _find(Workloads(documents), workload)
    return in_mesh(
        Identity(
            workload=found.name,
            namespace=found.namespace,
            labels=found.labels,
            service_account=found.service_account or "default",
            locality=found.locality,
            network=found.entry.network or "",
            address=found.entry.address or "127.0.0.1",
        ),
        mesh,
    )


def in_mesh(identity: Identity, mesh: MeshSettings) -> Identity:
    """The identity with what the mesh says of all its workloads."""
    return replace(
        identity,
        network=identity.network or mesh.network,
        cluster_id=mesh.cluster_id,
        mesh_id=mesh.mesh_id,
        trust_domain=mesh.trust_domain,
    )


def concurrency_of(documents: Sequence[Document], identity: Identity) -> int | None:
    """Worker processes that ProxyConfig asks for; 0 is one per core, None: nobody says.

    A document for the workload, else one for its namespace, else one for the mesh, else MeshConfig; the oldest of each.
    """
    mesh = mesh_settings(documents)
    ranked: dict[int, int] = {}
    for document in documents:
        config = document.spec
        if not isinstance(config, ProxyConfig) or config.concurrency is None:
            continue
        selector = config.selector.match_labels if config.selector is not None else {}
        if selector:
            fits = document.namespace == identity.namespace and all(
                identity.labels.get(key) == value for key, value in selector.items()
            )
            rank = 0
        else:
            fits = document.namespace in (identity.namespace, mesh.root_namespace)
            rank = 1 if document.namespace == identity.namespace else 2
        if fits:
            ranked.setdefault(rank, config.concurrency)
    return ranked[min(ranked)] if ranked else mesh.proxy.concurrency


def _find(workloads: Workloads, wanted: str) -> Workload:
    name, _, namespace = wanted.partition(".")
    named = [each for each in workloads.all if each.entry_name == name]
    found = [each for each in named if each.namespace == (namespace or "default")]
    if not found and not namespace:
        found = named
    if len(found) == 1:
        return found[0]
    every = [f"{each.entry_name}.{each.namespace}" for each in workloads.all]
    if found:
        choices = ", ".join(f"{each.entry_name}.{each.namespace}" for each in found)
        raise CommandError(f"several WorkloadEntries are called {wanted}: say which of {choices}")
    if not every:
        raise CommandError(f"no WorkloadEntry is called {wanted}: the documents hold none at all")
    full = wanted if namespace else f"{wanted}.default"
    near = difflib.get_close_matches(full, every, n=3, cutoff=0.5) or every[:3]
    raise CommandError(f"no WorkloadEntry is called {wanted}: did you mean {' or '.join(near)}?")
