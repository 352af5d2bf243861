from __future__ import annotations

from pathlib import Path

from pyproxy.istio.loader import load
from pyproxy.istio.positions import Positions

TEXT = """\
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec:
  ports:
  - port: 81
"""


def test_places_are_found_in_the_right_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    first, second = load([tmp_path]).documents
    positions = Positions()
    assert positions.of(first, ("spec", "ports", 0, "port")) == (4, 23)
    assert positions.of(second, ("spec", "ports", 0, "port")) == (11, 11)
    assert positions.of(second, ("spec", "ports", 0, "port"), of_key=True) == (11, 5)


def test_a_path_that_is_not_written_is_what_comes_nearest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    assert Positions().of(load([tmp_path]).documents[1], ("spec", "selector")) == (10, 3)


def test_a_file_that_changed_since_gives_the_beginning_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    second = load([tmp_path]).documents[1]
    (tmp_path / "a.yaml").write_text("")
    assert Positions().of(second, ("spec",)) == (6, 1)
