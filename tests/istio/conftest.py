"""Short ways to ask what the loader thinks of a text."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pyproxy.istio.kinds import KINDS
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.problems import Problem

LoadText = Callable[[str], Loaded]
Judge = Callable[..., list[Problem]]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Load a text as if it were a file `mesh.yaml`."""

    def load_one(text: str) -> Loaded:
        file = tmp_path / "mesh.yaml"
        file.write_text(textwrap.dedent(text))
        return load([file])

    return load_one


@pytest.fixture
def judge(load_text: LoadText) -> Judge:
    """The problems of one document, given its kind, its spec in YAML, and more of its metadata in YAML."""

    def judge_one(kind: str, spec: str, metadata: str = "") -> list[Problem]:
        group, known = next((group, known) for (group, name), known in KINDS.items() if name == kind)
        version = f"{group}/{known.versions[0]}" if group else known.versions[0]
        top = f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: x\n"
        body = textwrap.dedent(spec)
        if known.in_spec:
            body = "spec:\n" + textwrap.indent(body, "  ")
        loaded = load_text(top + textwrap.indent(textwrap.dedent(metadata), "  ") + "\n" + body)
        # What nothing acts on yet changes with every feature; it has tests of its own.
        return [problem for problem in loaded.problems if not problem.code.startswith("PYP0005")]

    return judge_one
