"""The Go services under examples/go are formatted, vetted and pass their own tests."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SERVICES = Path(__file__).parents[2] / "examples" / "go"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def go(*command: str) -> str:
    """Standard output of a command in the Go module, which is allowed to download nothing."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"LOUD SKIP: not installed: {command[0]}")
    without_network = {"GOFLAGS": "-mod=readonly", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    environment = {**os.environ, **without_network, "CGO_ENABLED": "0"}  # the machine may have no C compiler
    done = subprocess.run(command, cwd=SERVICES, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_services_are_formatted() -> None:
    assert go("gofmt", "-l", ".") == ""


def test_the_services_are_vetted() -> None:
    go("go", "vet", "./...")


def test_the_services_pass_their_tests() -> None:
    go("go", "test", "./...")


def test_the_services_use_the_standard_library_alone() -> None:
    assert go("go", "list", "-m", "all").split() == ["example.com/mesh"]
