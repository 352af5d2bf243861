"""The lab's documents while a scenario has the stage: the lab's own and the scenario's; the user's wait in a hidden
folder, and come back when it ends, or when the lab starts the next time if nobody could end it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from pyproxy.istio.files import SUFFIXES

SAVED = ".before-scenario"
"""Hidden: the proxies do not read it."""


class Stage:
    """One folder of documents. Only files beside `workloads/` are touched; no call leaves half a change."""

    def __init__(self, documents: Path) -> None:
        self._documents = documents
        self._saved = documents / SAVED

    @property
    def taken(self) -> bool:
        """The user's documents are put away."""
        return self._saved.is_dir()

    def begin(self) -> None:
        """Put the user's documents away, unless they are already."""
        if self.taken:
            return
        unfinished = self._saved.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name, text in self._present().items():
            (unfinished / name).write_text(text, "utf-8", "surrogateescape")
        unfinished.rename(self._saved)

    def put(self, documents: Mapping[str, str]) -> bool:
        """The lab's own documents with these in their place or beside them. Returns whether that changed anything."""
        return self._make({**shipped(), **documents})

    def restore(self) -> bool:
        """The user's documents as they were. Returns whether that changed anything."""
        if not self.taken:
            return False
        changed = self._make({path.name: path.read_text("utf-8", "surrogateescape") for path in self._saved.iterdir()})
        shutil.rmtree(self._saved)
        return changed

    def _present(self) -> dict[str, str]:
        found = {}
        for path in sorted(self._documents.iterdir()):
            if path.is_file() and path.name.endswith(SUFFIXES) and not path.name.startswith("."):
                found[path.name] = path.read_text("utf-8", "surrogateescape")
        return found

    def _make(self, wanted: Mapping[str, str]) -> bool:
        present = self._present()
        for name in present.keys() - wanted.keys():
            (self._documents / name).unlink()
        changed = {name: text for name, text in wanted.items() if present.get(name) != text}
        for name, text in changed.items():
            new = self._documents / f".{name}.new"
            new.write_text(text, "utf-8", "surrogateescape")
            os.replace(new, self._documents / name)
        return bool(changed) or bool(present.keys() - wanted.keys())


def shipped() -> dict[str, str]:
    """The package's rules: name of the file → text."""
    folder = files("pyproxy.lab") / "documents"
    return {each.name: each.read_text("utf-8") for each in folder.iterdir() if each.name.endswith(".yaml")}


def link_to(documents: Path, working_folder: Path) -> None:
    """`.lab` among the documents leads to the lab's own folder while it is there: logs, certificates, running.json."""
    link = documents / ".lab"
    with suppress(OSError):  # a file system without links: everything is found through the temporary folder
        link.unlink(missing_ok=True)
        link.symlink_to(working_folder, target_is_directory=True)
