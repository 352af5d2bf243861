"""Files and folders to YAML documents: which files there are, and the root of each document in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from yaml import Node, ScalarNode, SequenceNode

from pyproxy.istio.problems import NOT_YAML, UNREADABLE, Problem
from pyproxy.istio.yaml_places import find
from pyproxy.istio.yaml_text import Fault, compose

SUFFIXES = (".yaml", ".yml", ".json")
MARKER = ".no-documents"
"""A folder below the one that was named, with a file of this name in it, is left out with all that is below it."""


def find_files(paths: Iterable[Path]) -> Iterator[Path | Problem]:
    """Every file once: named ones as they are named, those of a folder by suffix and in order."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            found = _below(path)
        elif path.exists():
            found = [path]
        else:
            yield _unreadable(path, "there is no such file or folder")
            continue
        for file in found:
            resolved = file.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield file


def _below(folder: Path) -> list[Path]:
    """Hidden names are left out: a mounted ConfigMap keeps every file a second time under `..data`."""
    return sorted(Path(name) for name in _names_below(folder))


def _names_below(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        if MARKER in names and parent != os.fspath(folder):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name)


def fingerprint(paths: Iterable[Path]) -> tuple[object, ...]:
    """Another value whenever a file that `find_files` finds may have another content; reads none of them."""
    return tuple(stamp(name) for path in paths for name in (_names_below(path) if path.is_dir() else (str(path),)))


def stamp(name: str) -> tuple[object, ...]:
    """The time of change and not of modification, which can be set back; the inode, because files are replaced."""
    try:
        status = os.stat(name)
    except OSError:
        return (name,)
    return name, status.st_ctime_ns, status.st_size, status.st_ino


def read_documents(file: Path) -> Iterator[Node | Problem]:
    """The root of each document that is not empty; the items of a `List` count as documents."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        yield _unreadable(file, f"cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        yield _unreadable(file, f"byte 0x{error.object[error.start]:02x} is not UTF-8: save it as UTF-8", line, column)
        return
    for node in compose(text):
        if isinstance(node, Fault):
            yield fault_problem(file, node)
        else:
            yield from _items(node)


def _items(root: Node) -> Iterator[Node]:
    kind, items = find(root, ("kind",)), find(root, ("items",))
    if isinstance(kind, ScalarNode) and kind.value.endswith("List") and isinstance(items, SequenceNode):
        for item in items.value:
            yield from _items(item)
    elif root.tag != "tag:yaml.org,2002:null":
        yield root


def _unreadable(file: Path, message: str, line: int = 0, column: int = 0) -> Problem:
    return Problem("error", UNREADABLE, file, line, column, "", "", message)


def fault_problem(file: Path, fault: Fault, resource: str = "") -> Problem:
    """A fault of the text as a problem."""
    return Problem("error", NOT_YAML, file, fault.line, fault.column, resource, "", fault.message)
