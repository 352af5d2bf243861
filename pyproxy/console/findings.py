"""What `pyproxy analyze` says of a text that would be one of the files, beside all the others as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from pyproxy.console.documents import Documents, File
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.problems import Problem

_OF_FILES_ELSEWHERE = frozenset({"IST0161"})
"""Codes about certificates, which lie where the proxies are told and the console is not."""


class Findings:
    """Keeps what it has read of files that stay as they are: one text is typed, and the others are many."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._loaded: dict[str, tuple[str, Loaded]] = {}
        """By file: the digest of its text and what is in it."""
        self._known: tuple[object, frozenset[tuple[str, ...]]] = ((), frozenset())
        """For which texts on disk, and what is to be said of those."""

    def of(self, name: str, text: str) -> list[Problem]:
        """Of the text, by line; then of other files what was not to be said before. `file` is as `File.name` has it.

        The text alone may be wrong: what `Documents.check` says is not said again.
        """
        files = self._documents.files()
        before = self._said(files)
        with tempfile.TemporaryDirectory(prefix="pyproxy-console-") as folder:
            path = Path(folder, Path(name).name)
            path.write_text(text, "utf-8")
            edited = load([path])
            found = list(_together((edited if file.name == name else self._load(file)) for file in files))
        names = {file.path: file.name for file in files} | {path: name}
        found = [replace(problem, file=Path(names[problem.file])) for problem in found]
        here = sorted((each for each in found if str(each.file) == name), key=lambda each: (each.line, each.column))
        return here + [each for each in found if str(each.file) != name and _key(each) not in before]

    def _said(self, files: list[File]) -> frozenset[tuple[str, ...]]:
        texts = [(file.name, file.digest) for file in files]
        if texts != self._known[0]:
            names = {file.path: Path(file.name) for file in files}
            said = _together(self._load(file) for file in files)
            self._known = texts, frozenset(_key(replace(each, file=names[each.file])) for each in said)
        return self._known[1]

    def _load(self, file: File) -> Loaded:
        known = self._loaded.get(file.name)
        if known is None or known[0] != file.digest:
            known = self._loaded[file.name] = file.digest, load([file.path])
        return known[1]


def _together(parts: Iterable[Loaded]) -> Iterator[Problem]:
    # Here and not above: it is all of the compiler, which a console that nobody asks has no use for.
    from pyproxy.analysis.problems import together

    parts, order = list(parts), count()
    loaded = Loaded(
        tuple(replace(document, order=next(order)) for part in parts for document in part.documents),
        tuple(problem for part in parts for problem in part.problems),
    )
    return (problem for problem in together(loaded, "") if problem.code not in _OF_FILES_ELSEWHERE)


def _key(problem: Problem) -> tuple[str, ...]:
    """Without the line, which moves."""
    return str(problem.file), problem.code, problem.resource, problem.path, problem.message
