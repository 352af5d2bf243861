from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyproxy.__main__ import cli
from pyproxy.cli.lab import lab
from pyproxy.lab import mesh
from pyproxy.lab.mesh import LabSettings
from pyproxy.lab.views import JsonView, PlainView


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[LabSettings, Any]]:
    calls: list[tuple[LabSettings, Any]] = []

    async def run_lab(settings: LabSettings, view: Any) -> None:
        calls.append((settings, view))

    monkeypatch.setattr(mesh, "run_lab", run_lab)
    return calls


def test_without_options_the_defaults_of_the_settings_hold(started: list[tuple[LabSettings, Any]]) -> None:
    assert CliRunner().invoke(lab, []).exit_code == 0
    ((settings, view),) = started
    assert settings == LabSettings()
    assert isinstance(view, PlainView)


def test_every_option_arrives(started: list[tuple[LabSettings, Any]], tmp_path: Path) -> None:
    arguments = f"--dir {tmp_path} --duration 5 --interval 1 --rate 3 --seed 9 --port 81 --subnet none --output json"
    arguments += " --console-port 82"
    assert CliRunner().invoke(lab, arguments).exit_code == 0
    ((settings, view),) = started
    assert settings == LabSettings(tmp_path, 5.0, 1.0, 3.0, 9, 81, "none", 82)
    assert isinstance(view, JsonView)


def test_each_flag_has_a_variable(started: list[tuple[LabSettings, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPROXY_LAB_DIR", "/d")
    monkeypatch.setenv("PYPROXY_LAB_RATE", "7")
    CliRunner().invoke(cli, ["lab"], auto_envvar_prefix="PYPROXY")
    ((settings, _),) = started
    assert (settings.folder, settings.rate) == (Path("/d"), 7.0)


def test_no_traffic_is_a_rate_of_nothing(started: list[tuple[LabSettings, Any]]) -> None:
    CliRunner().invoke(lab, "--no-traffic --rate 5")
    assert started[0][0].rate == 0


@pytest.mark.parametrize("arguments", ["--rate -1", "--duration 0", "--port 0", "--output xml", "--interval 0"])
def test_what_makes_no_sense_is_bad_usage(started: list[tuple[LabSettings, Any]], arguments: str) -> None:
    assert CliRunner().invoke(lab, arguments).exit_code == 2
    assert not started
