"""Documents as text → what the analyzers find, without the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyproxy.analysis.analyze import analyze, namespaces_named, unusable_kinds
from pyproxy.analysis.subject import Found, Subject
from pyproxy.istio.loader import load

Find = Callable[[str], list[Found]]
REVIEWS = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1, labels: {app: reviews, version: v1}}]
---
"""


@pytest.fixture
def subject_of(tmp_path: Path) -> Callable[[str], Subject]:
    def subject_of(text: str) -> Subject:
        (tmp_path / "a.yaml").write_text(text)
        loaded = load([tmp_path])
        assert loaded.ok, loaded.problems
        return Subject(loaded.documents, str(tmp_path / "certs"), namespaces_named(loaded.problems))

    return subject_of


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """What is found beside a service `reviews` with one endpoint."""

    def find(text: str) -> list[Found]:
        (tmp_path / "a.yaml").write_text(REVIEWS + text)
        loaded = load([tmp_path])
        subject = Subject(loaded.documents, str(tmp_path / "certs"), namespaces_named(loaded.problems))
        return list(analyze(subject, unusable_kinds(loaded.problems)))

    return find


@pytest.fixture
def told(find: Find) -> Callable[[str], list[str]]:
    """The same as `CODE path`."""
    return lambda text: [f"{found.code} {found.dotted_path}" for found in find(text)]
