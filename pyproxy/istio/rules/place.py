"""Where a rule is looking: a path into the document that collects what the rules find there."""

from __future__ import annotations

from dataclasses import dataclass

from pyproxy.istio.problems import SCHEMA_ERROR, SCHEMA_WARNING, FieldPath, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says about one path."""

    severity: Severity
    code: str
    path: FieldPath
    message: str


class Place:
    """A path into the document. `error` and `warning` take None for "nothing is wrong", so checks can be passed in."""

    __slots__ = ("_findings", "path")

    def __init__(self, findings: list[Finding], path: FieldPath = ()) -> None:
        self._findings = findings
        self.path = path

    def at(self, *steps: str | int) -> Place:
        """A place further down."""
        return Place(self._findings, self.path + steps)

    def top(self, *steps: str | int) -> Place:
        """A place counted from the top of the document."""
        return Place(self._findings, steps)

    def error(self, message: str | None) -> None:
        """Istio refuses the document for this."""
        if message is not None:
            self._findings.append(Finding("error", SCHEMA_ERROR, self.path, message))

    def info(self, message: str, code: str) -> None:
        """Istio takes the document and has something to say."""
        self._findings.append(Finding("info", code, self.path, message))

    def warning(self, message: str | None, code: str = SCHEMA_WARNING) -> None:
        """Istio takes the document and warns."""
        if message is not None:
            self._findings.append(Finding("warning", code, self.path, message))
