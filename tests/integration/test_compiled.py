"""The compiled data path does what the plain one does: the suites that talk to a process, once more against it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from bench.build import compiled_tree

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SUITES = (
    "test_hostile_bytes.py",
    "test_http1.py",
    "test_istio_tasks.py",
    "test_reload_and_drain.py",
    "test_tunnels.py",
    "test_workers.py",
    "../grpc/test_calls.py",
    "../grpc/test_large.py",
    "../interop/test_mutual_tls.py",
)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """The variables under which `python -m pyproxy` is the compiled one."""
    if not (shutil.which("cc") or shutil.which("gcc")) or not _has_headers():
        pytest.skip("LOUD SKIP: no C compiler or no Python headers (Debian: gcc, python3-dev)")
    # Safe path: the working folder, which has the plain source, is not searched first.
    return {**os.environ, "PYTHONPATH": str(compiled_tree()), "PYTHONSAFEPATH": "1"}


def test_the_compiled_build_says_that_it_is(environment: dict[str, str]) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "pyproxy", "version"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "data path     compiled" in said


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_passes_against_the_compiled_build(environment: dict[str, str], suite: str) -> None:
    path = Path(__file__).parent / suite
    command = [sys.executable, "-m", "pytest", str(path), "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:]


def _has_headers() -> bool:
    return Path(sysconfig.get_paths()["include"], "Python.h").exists()
