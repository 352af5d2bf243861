"""The rules of the house that a tool can check: imports point down, every module has its twin among the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Bottom row first: a package may import the rows below it, never its neighbours.
ROWS = (
    {"core"},
    {"cel"},
    {"wire", "istio", "policy"},
    {"snapshot"},
    {"runtime", "mtls"},
    {"upstream", "telemetry"},
    {"proxy", "envoy"},
    {"downstream"},
    {"admin", "analysis"},
    {"reload", "settings"},
    {"worker", "readiness"},
    {"workers", "console"},
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


WITHOUT_TWIN = {
    # Data alone: nothing to decide. Who reads it is tested.
    "core/text_match.py": "one frozen record",
    "core/tls.py": "frozen records",
    "core/token.py": "one frozen record",
    "core/trace.py": "one frozen record",
    "istio/mesh/": "messages: tests/istio/examples has every field, tests/istio/rules what may be in it",
    "istio/networking/": "messages: as above",
    "istio/resources.py": "one frozen record",
    "istio/security.py": "messages: as above",
    "istio/selector.py": "messages: as above",
    "istio/telemetry.py": "messages: as above",
    "admin/served.py": "protocols: mypy checks them",
    "analysis/explanation.py": "frozen records: test_explain.py makes each",
    "lab/scenarios/": "lessons: test_scenarios.py has each as data, tests/integration/test_lab_lessons.py for real",
    "mtls/alpn.py": "constants",
    "mtls/facts.py": "one frozen record: test_parsing.py makes it",
    "mtls/layout.py": "constants",
    "mtls/material.py": "one frozen record: test_reading.py makes it",
    "cel/attributes.py": "names: tests/telemetry/test_attributes.py has a value for each",
    "cel/errors.py": "exceptions alone",
    "cel/tree.py": "frozen records",
    "proxy/client_stream.py": "an interface: mypy checks it",
    "policy/host.py": "protocols: mypy checks them",
    "policy/rbac_terms.py": "frozen records",
    "snapshot/reporting.py": "frozen records",
    "upstream/stream.py": "interfaces: mypy checks them",
    # Tested with what they are a part of.
    "cli/certs_flags.py": "test_certs.py and test_certs_issue.py use each",
    "cli/certs_report.py": "as above: they read what it prints",
    "admin/actions.py": "test_endpoints.py asks for each by its path",
    "admin/port.py": "test_server.py asks three of them over sockets",
    "worker.py": "test_app.py: an App is one, with documents and admin ports",
    "workers/process.py": "tests/integration/test_workers.py runs several",
    "workers/seat.py": "as above",
    "workers/supervisor.py": "as above",
}
"""Module, or folder, under pyproxy/ → why it has no test file of its own name."""


def twin_of(module: Path) -> Path:
    """`pyproxy/policy/retry.py` → `tests/policy/test_retry.py`; `__main__` is `test_main.py`."""
    inner = module.relative_to(ROOT / "pyproxy")
    return ROOT / "tests" / inner.with_name(f"test_{inner.stem.strip('_')}.py")


def excepted(module: Path) -> list[str]:
    """The exceptions that a module falls under."""
    name = str(module.relative_to(ROOT / "pyproxy"))
    return [each for each in WITHOUT_TWIN if name == each or (each.endswith("/") and name.startswith(each))]


MODULES = sorted(path for path in (ROOT / "pyproxy").rglob("*.py") if path.name != "__init__.py")


def test_every_module_has_its_twin_among_the_tests() -> None:
    lonely = [path for path in MODULES if not twin_of(path).exists() and not excepted(path)]
    assert [str(twin_of(path).relative_to(ROOT)) for path in lonely] == []


def test_every_exception_is_one() -> None:
    needless = {each for path in MODULES if twin_of(path).exists() for each in excepted(path) if not each.endswith("/")}
    assert needless == set()
    assert set(WITHOUT_TWIN) - {each for path in MODULES for each in excepted(path)} == set()
