"""pyproxy compiled, as `pip install .` leaves it where there is a C compiler: built once per state of the source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BUILDS = ROOT / "build" / "bench"
_NEEDED = ("setup.py", "pyproject.toml", "README.md")


class BuildFailedError(Exception):
    """It cannot be compiled here; the text has the end of the build's output."""


def compiled_tree() -> Path:
    """A folder to import the compiled pyproxy from; building it takes a minute or two. Raises BuildFailedError."""
    tree = _BUILDS / digest()
    if (tree / "built").exists():
        return tree
    shutil.rmtree(_BUILDS, ignore_errors=True)
    shutil.copytree(ROOT / "pyproxy", tree / "pyproxy", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in _NEEDED:
        shutil.copy(ROOT / name, tree / name)
    print("compiling pyproxy ...", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=tree,
        env={**os.environ, "PYPROXY_COMPILE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise BuildFailedError(done.stdout[-1000:])
    (tree / "built").touch()
    return tree


def digest() -> str:
    """Names the state of the source that is compiled, and the Python that it is compiled for."""
    found = hashlib.sha256(sys.version.encode())
    for path in [ROOT / "setup.py", *sorted((ROOT / "pyproxy").rglob("*.py"))]:
        found.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return found.hexdigest()[:16]
