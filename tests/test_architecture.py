"""The rules of the house that a tool can check: imports point down, every module has its twin among the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Bottom row first: a package may import the rows below it, never its neighbours.
ROWS = (
    {"core"},
    {"wire", "istio", "policy"},
    {"snapshot"},
    {"runtime"},
    {"upstream", "telemetry"},
    {"proxy", "envoy"},
    {"downstream"},
    {"admin"},
    {"reload", "settings"},
    {"app", "lab"},
    {"cli"},
    {"__main__"},
)
ROW_OF = {package: row for row, packages in enumerate(ROWS) for package in packages}


def modules_of(package: str) -> list[Path]:
    """The files of a package, or the one file of a top module."""
    folder = ROOT / "pyproxy" / package
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def packages_imported_by(file: Path) -> set[str]:
    """The top packages of ours that a file imports when it runs; imports for type checkers alone do not count."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("pyproxy.")}


@pytest.mark.parametrize("package", sorted(ROW_OF))
def test_every_import_points_down(package: str) -> None:
    upward = [
        f"{file.relative_to(ROOT)} imports {there}"
        for file in modules_of(package)
        for there in sorted(packages_imported_by(file) - {package})
        if ROW_OF.get(there, 99) >= ROW_OF[package]
    ]
    assert upward == []


def test_every_package_has_its_row() -> None:
    found = {
        path.stem for path in (ROOT / "pyproxy").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert found - {"__init__"} == set(ROW_OF)
