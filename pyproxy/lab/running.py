"""How commands in another terminal find a running lab: it writes down where it takes orders, and a secret for them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pyproxy.core.errors import CommandError

FILE = "running.json"
LINK = ".lab"
START = "Start one in another terminal: pyproxy lab --dir ~/bookshop"


@dataclass(frozen=True, slots=True)
class RunningLab:
    """What a lab says of itself."""

    pid: int
    url: str
    """Where it takes orders."""
    token: str
    """Who knows it may give them: only this user can read the file."""
    documents: str
    folder: str
    """The lab's own: logs, certificates."""
    page: str
    seed: int


def announce(folder: Path, lab: RunningLab) -> None:
    """Write it where only this user can read it."""
    descriptor = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(lab), file)


def find_lab(documents: Path | None) -> RunningLab:
    """The lab of this folder of documents; None: the only one of this user. Raises CommandError with what to do."""
    if documents is not None:
        lab = _read(documents / LINK / FILE)
        if lab is None:
            raise CommandError(
                f"no lab is running with --dir {documents}. {START.replace('~/bookshop', str(documents))}"
            )
        return lab
    found = list(_all())
    if not found:
        raise CommandError(f"no lab is running. {START}")
    if len(found) > 1:
        choices = "\n".join(f"  --dir {lab.documents}" for lab in found)
        raise CommandError(f"{len(found)} labs are running. Say which one is meant:\n{choices}")
    return found[0]


def refuse_second(documents: Path) -> None:
    """Raise CommandError when a lab runs with these documents already."""
    if (lab := _read(documents / LINK / FILE)) is not None:
        raise CommandError(
            f"a lab is running with --dir {documents} already (process {lab.pid}). End it with `pyproxy lab down --dir "
            f"{documents}`, or give this one a folder of its own."
        )


def _all() -> Iterator[RunningLab]:
    for file in sorted(Path(tempfile.gettempdir()).glob(f"pyproxy-lab-*/{FILE}")):
        if (lab := _read(file)) is not None:
            yield lab


def _read(file: Path) -> RunningLab | None:
    """None when there is none, it is another user's, or its lab has ended without a word."""
    try:
        if file.stat().st_uid != os.getuid():
            return None
        lab = RunningLab(**json.loads(file.read_text("utf-8")))
        os.kill(lab.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return lab
