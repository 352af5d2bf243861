"""Collects the problems of one document and finds the line and column of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from yaml import Node, ScalarNode

from pyproxy.istio.files import fault_problem
from pyproxy.istio.problems import SCHEMA_ERROR, FieldPath, Problem, Severity, format_path
from pyproxy.istio.rules.place import Finding
from pyproxy.istio.schema import Mismatch
from pyproxy.istio.yaml_places import find, position
from pyproxy.istio.yaml_text import Fault


class Report:
    """The problems of the document whose text begins at `root`."""

    def __init__(self, file: Path, root: Node) -> None:
        self.problems: list[Problem] = []
        self.resource = ""
        """`Kind/namespace/name`, once it is known."""
        self._file = file
        self._root = root

    def add(self, severity: Severity, code: str, path: FieldPath, message: str, *, of_key: bool = False) -> None:
        """One problem at a path; `of_key` points at the field's name, not at its value."""
        line, column = position(self._root, path, of_key=of_key)
        text = format_path(path)
        self.problems.append(Problem(severity, code, self._file, line, column, self.resource, text, message))

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """What the text itself has wrong."""
        self.problems += [fault_problem(self._file, fault, self.resource) for fault in faults]

    def add_mismatches(self, prefix: FieldPath, mismatches: Iterable[Mismatch]) -> None:
        """What does not fit the schema; paths begin below `prefix`."""
        for mismatch in mismatches:
            self.add("error", SCHEMA_ERROR, prefix + mismatch.path, mismatch.message, of_key=mismatch.of_key)

    def add_findings(self, findings: Iterable[Finding]) -> None:
        """What the rules of the kind say."""
        for finding in findings:
            self.add(finding.severity, finding.code, finding.path, finding.message)

    def written(self, path: FieldPath) -> str | None:
        """The text of a scalar that is not in quotes."""
        node = find(self._root, path)
        return node.value if isinstance(node, ScalarNode) and not node.style else None

    @property
    def failed(self) -> bool:
        """Whether the document cannot be used."""
        return any(problem.severity == "error" for problem in self.problems)
