"""A document: one Istio or Kubernetes resource of a file, its body typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyproxy.istio.fields import Json, Message


@dataclass(frozen=True, slots=True)
class Document:
    """One resource, as loaded. Equal resources are told apart by where they were found."""

    api_version: str
    kind: str
    name: str
    namespace: str
    """`default` when the document names none."""
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Message
    """The model of the kind: `VirtualService`, `KubernetesService`, `Endpoints`, ... One isinstance tells which."""
    file: Path
    line: int
    """Where the document begins, from 1."""
    order: int
    """Its place among all documents: by file, then within the file. Stands in for Istio's creation time."""
    raw: Mapping[str, Json]
    """The whole document as it was written."""

    @property
    def resource(self) -> str:
        """`Kind/namespace/name`."""
        return f"{self.kind}/{self.namespace}/{self.name}"
