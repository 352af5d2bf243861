"""Loud skips are told, and fail in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_that_needs_more_than_this_machine_has():
    pytest.skip("LOUD SKIP: no root here")

def test_that_is_skipped_quietly():
    pytest.skip("not on this system")

@pytest.mark.xfail
def test_that_is_known_to_fail():
    assert False
"""


def run_suite(folder: Path, conftest: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def conftest() -> str:
    return Path(__file__).with_name("conftest.py").read_text()


def test_a_loud_skip_is_told_at_the_end(tmp_path: Path, conftest: str) -> None:
    done = run_suite(tmp_path, conftest, ci="")
    assert done.returncode == 0
    assert "not run on this machine" in done.stdout
    assert "test_suite.py: 1 test: no root here" in done.stdout
    assert "2 skipped, 1 xfailed" in done.stdout.splitlines()[-1]


def test_a_loud_skip_fails_in_ci_and_no_other_does(tmp_path: Path, conftest: str) -> None:
    done = run_suite(tmp_path, conftest, ci="true")
    assert done.returncode == 1
    assert "LOUD SKIP: no root here" in done.stdout
    assert "1 failed, 1 skipped, 1 xfailed" in done.stdout.splitlines()[-1]


def test_what_is_allowed_may_be_skipped_in_ci(tmp_path: Path, conftest: str) -> None:
    allowed = conftest.replace(
        "ALLOWED_IN_CI: dict[str, str] = {}", 'ALLOWED_IN_CI = {"test_suite.py::test_that_needs": "a reason"}'
    )
    assert allowed != conftest
    done = run_suite(tmp_path, allowed, ci="true")
    assert done.returncode == 0
    assert "no root here" in done.stdout
