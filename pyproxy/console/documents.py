"""The documents on disk, for an editor: read, checked as `pyproxy validate` does, written whole or not at all."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyproxy.istio.files import find_files, fingerprint
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.problems import Problem

MAX_BYTES = 4 * 1024 * 1024
"""Of one file; Istio's own limit for a document is etcd's 1.5 MB."""


class Refused(Exception):
    """A change is not made; the text says why and what to do."""


class OutOfDate(Refused):
    """The file on disk is another than the one that was edited."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of documents as it is on disk."""

    name: str
    """As the page has it; never a path to be opened."""
    path: Path
    text: str
    digest: str


def digest(text: str) -> str:
    """Tells one content from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Documents:
    """The files below `paths`, which are `--config` of the proxies."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def fingerprint(self) -> tuple[object, ...]:
        """Another value whenever a file may be another."""
        return fingerprint(self.paths)

    def files(self) -> list[File]:
        """Every file that can be read as text."""
        found = []
        for path in find_files(self.paths):
            if isinstance(path, Path):
                try:
                    text = _read(path)
                except (OSError, UnicodeDecodeError):
                    continue  # `load` says what is wrong with it
                found.append(File(self._name(path), path, text, digest(text)))
        return found

    def file(self, name: str) -> File:
        """The file of this name. Raises Refused: nothing but what is below `paths` is ever opened."""
        for file in self.files():
            if file.name == name:
                return file
        raise Refused(f"there is no file {name} among the documents")

    def load(self) -> Loaded:
        """All of them, as a proxy would read them."""
        return load(self.paths)

    def check(self, name: str, text: str) -> list[Problem]:
        """What is wrong with a text that would be this file's. Raises Refused when it is too long."""
        if len(text.encode()) > MAX_BYTES:
            raise Refused(f"longer than {MAX_BYTES} bytes")
        with tempfile.TemporaryDirectory(prefix="pyproxy-console-") as folder:
            path = Path(folder, Path(name).name)
            path.write_text(text, "utf-8")
            return list(load([path]).problems)

    def write(self, name: str, text: str, base: str) -> File:
        """Put a text into the place of the file's content, and give what was there.

        `base` is the digest of the content that was edited. Raises OutOfDate when the file has another by now, Refused
        when the text is not valid or cannot be written.
        """
        file = self.file(name)
        if file.digest != base:
            raise OutOfDate(f"{name} was changed on disk meanwhile; load it again, or nothing of that change is left")
        errors = [problem for problem in self.check(name, text) if problem.severity == "error"]
        if errors:
            raise Refused(f"{name} was not written: {describe(errors[0])}")
        try:
            _replace(file.path.resolve(), text)
        except OSError as error:
            raise Refused(f"{name} cannot be written: {error.strerror}") from error
        return file

    def _name(self, path: Path) -> str:
        for root in self.paths:
            if root.is_dir() and path.is_relative_to(root):
                inner = str(path.relative_to(root))
                return inner if len(self.paths) == 1 else f"{root.name}/{inner}"
        return str(path)


def describe(problem: Problem) -> str:
    """Line, place and what is wrong, without the file."""
    parts = (
        f"line {problem.line}" if problem.line else "",
        f"{problem.resource} {problem.path}".strip(),
        problem.message,
    )
    return ": ".join(part for part in parts if part)


def unified(before: str, after: str, name: str) -> str:
    """The difference as `diff -u` writes it; empty when there is none."""
    names = f"{name} (on disk)", f"{name} (new)"
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def _replace(path: Path, text: str) -> None:
    """In one step, so that no proxy reads half a file; with the mode that the file had."""
    mode = path.stat().st_mode & 0o777
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
