"""What `pyproxy run` and `pyproxy gateway` make of their flags, and how they end when they cannot start."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyproxy.cli.run import gateway, run
from pyproxy.settings import Settings

FREE = [text for name in ("admin", "status", "metrics") for text in (f"--{name}-port", "0")]
FREE_SIDECAR = [*FREE, *(text for name in ("outbound", "inbound", "http-proxy") for text in (f"--{name}-port", "0"))]
WORKLOAD = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1}
spec: {address: 127.0.0.1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(WORKLOAD)
    return tmp_path


def test_without_flags_the_defaults_of_the_settings_hold(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Settings] = []
    monkeypatch.setattr("pyproxy.app.run_app", started.append)
    CliRunner().invoke(run, ["--config", str(config)])
    CliRunner().invoke(gateway, ["--config", str(config)])
    assert started == [Settings(config=(config,)), Settings(config=(config,), gateway=True)]


def pyproxy(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyproxy", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_unknown_workload_is_answered_with_those_that_there_are(config: Path) -> None:
    done = pyproxy("run", "--config", config, "--workload", "reviews-v2", *FREE_SIDECAR)
    assert done.returncode == 2
    assert done.stderr == "pyproxy: no WorkloadEntry is called reviews-v2: did you mean reviews-v1.default?\n"


def test_documents_with_errors_are_told_with_their_places(config: Path) -> None:
    (config / "y.yaml").write_text(WORKLOAD.replace("address", "adress"))
    done = pyproxy("run", "--config", config, *FREE_SIDECAR)
    assert done.returncode == 1
    assert f"{config / 'y.yaml'}:5:8" in done.stderr
    assert "did you mean address?" in done.stderr
    assert "1 error(s) in the documents; `pyproxy validate` shows them too" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_with_what_to_do(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = pyproxy("run", "--config", config, "--address", "127.0.0.1", *FREE_SIDECAR, "--outbound-port", str(port))
    assert done.returncode == 1
    assert done.stderr == (
        f"pyproxy: cannot listen on 127.0.0.1:{port} (virtualOutbound): Address already in use. "
        "Stop what uses the port, or choose another with the flag or document that names it.\n"
    )


def test_an_address_of_another_machine_is_told_as_such(config: Path) -> None:
    done = pyproxy("run", "--config", config, *FREE_SIDECAR, "--address", "192.0.2.1")
    assert done.returncode == 1
    assert "192.0.2.1:0 (--admin-port)" in done.stderr
    assert "This machine has no such address" in done.stderr
    assert "Traceback" not in done.stderr
