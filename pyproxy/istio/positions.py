"""Line and column of any path in a loaded document: the text is read again when somebody asks, once per file."""

from __future__ import annotations

from pathlib import Path

from yaml import Node

from pyproxy.istio.files import read_documents
from pyproxy.istio.problems import FieldPath
from pyproxy.istio.resources import Document
from pyproxy.istio.yaml_places import position


class Positions:
    """Keeps what it has read: one object serves one report."""

    def __init__(self) -> None:
        self._roots: dict[Path, dict[int, Node]] = {}

    def of(self, document: Document, path: FieldPath, *, of_key: bool = False) -> tuple[int, int]:
        """Line and column, from 1, of what comes nearest to the path; where the document begins if its file changed."""
        root = self._roots_in(document.file).get(document.line)
        return (document.line, 1) if root is None else position(root, path, of_key=of_key)

    def _roots_in(self, file: Path) -> dict[int, Node]:
        roots = self._roots.get(file)
        if roots is None:
            nodes = (node for node in read_documents(file) if isinstance(node, Node))
            roots = self._roots[file] = {node.start_mark.line + 1: node for node in nodes}
        return roots
