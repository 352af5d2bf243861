"""What the analyzers find, as problems with line and column, beside what each document has wrong alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyproxy.analysis.analyze import analyze, namespaces_named, suppressed, unusable_kinds
from pyproxy.analysis.catalogue import CODES
from pyproxy.analysis.subject import Subject
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.positions import Positions
from pyproxy.istio.problems import Problem


def problems_of(paths: Sequence[Path], certs: str) -> list[Problem]:
    """Everything that validate finds and everything that analyzers find, by file and line."""
    loaded = load(paths)
    found = alone(loaded) + together(loaded, certs)
    files = [*(document.file for document in loaded.documents), *(problem.file for problem in found)]
    place = {file: number for number, file in enumerate(dict.fromkeys(files))}
    return sorted(found, key=lambda each: (place[each.file], each.line, each.column))


def alone(loaded: Loaded) -> list[Problem]:
    """What validate finds and the document does not want to hear nothing of."""
    by_resource = {(document.file, document.resource): document for document in loaded.documents}
    return [
        problem
        for problem in loaded.problems
        if (document := by_resource.get((problem.file, problem.resource))) is None
        or not suppressed(problem.code, document)
    ]


def together(loaded: Loaded, certs: str) -> list[Problem]:
    """What the documents have wrong between them. `certs`: the folder of certificates."""
    positions = Positions()
    subject = Subject(loaded.documents, certs, namespaces_named(loaded.problems))
    return [
        Problem(
            CODES[found.code].severity,
            found.code,
            found.document.file,
            *positions.of(found.document, found.path, of_key=found.of_key),
            found.document.resource,
            found.dotted_path,
            found.message,
        )
        for found in analyze(subject, unusable_kinds(loaded.problems))
    ]
