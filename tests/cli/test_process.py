"""Flags into settings: each value checked, each with its variable, and what they cannot do said."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pyproxy.cli.process import set_up_logging
from pyproxy.cli.run import gateway, run
from pyproxy.core.errors import CommandError
from pyproxy.settings import Settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What would have been run."""
    settings: list[Settings] = []
    monkeypatch.setattr("pyproxy.app.run_app", settings.append)
    return settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    logger = logging.getLogger("pyproxy")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").touch()
    return tmp_path


def invoke(*arguments: str | Path, command: click.Command = run, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments], env=env)


@pytest.mark.parametrize(
    ("written", "seconds"), [("5s", 5.0), ("250ms", 0.25), ("1m30s", 90.0), ("1h", 3600.0), ("1.5", 1.5), ("0", 0.0)]
)
def test_a_duration_has_units_or_is_in_seconds(
    started: list[Settings], config: Path, written: str, seconds: float
) -> None:
    assert invoke("--config", config, "--drain-duration", written).exit_code == 0
    assert started[0].drain_duration == seconds


def test_labels_are_pairs(started: list[Settings], config: Path) -> None:
    invoke("--config", config, "--labels", "app=web, version=v1,empty=")
    assert started[0].labels == {"app": "web", "version": "v1", "empty": ""}


@pytest.mark.parametrize(
    ("flag", "value", "complaint"),
    [
        ("--drain-duration", "5x", "'5x' is not a duration such as 5s, 250ms or 1m30s"),
        ("--drain-duration", "-1", "'-1' is not a duration"),
        ("--drain-duration", "nan", "'nan' is not a duration"),
        ("--drain-duration", "", "'' is not a duration"),
        ("--labels", "app", "'app' is not a list of labels such as app=web,version=v1"),
        ("--address", "localhost", "'localhost' is not an IP address such as 127.0.0.1"),
        ("--admin-port", "70000", "70000 is not in the range 0<=x<=65535"),
        ("--admin-port", "http", "'http' is not a valid port"),
        ("--log-level", "loud", "'loud' is not one of 'debug', 'info', 'warning', 'error'"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(
    started: list[Settings], config: Path, flag: str, value: str, complaint: str
) -> None:
    result = invoke("--config", config, flag, value)
    assert result.exit_code == 2
    assert complaint in result.output
    assert started == []


@pytest.mark.parametrize("command", [run, gateway])
def test_every_flag_has_its_variable(command: click.Command) -> None:
    for parameter in command.params:
        flag = parameter.opts[0]
        assert parameter.envvar == "PYPROXY_" + flag.removeprefix("--").replace("-", "_").upper()


def test_several_paths_in_the_variable_are_separated_as_in_path(started: list[Settings], config: Path) -> None:
    invoke(env={"PYPROXY_CONFIG": f"{config}:{config / 'x.yaml'}"})
    assert started[0].config == (config, config / "x.yaml")


def test_documents_that_are_not_there_are_named(started: list[Settings], tmp_path: Path) -> None:
    error = invoke("--config", tmp_path / "nowhere").exception
    assert isinstance(error, CommandError)
    assert str(error) == (
        f"no such file or folder: {tmp_path / 'nowhere'}. Give --config PATH with Istio documents (YAML or JSON)."
    )


def test_a_ready_file_in_a_folder_that_is_not_there_is_refused_at_once(started: list[Settings], config: Path) -> None:
    error = invoke("--config", config, "--ready-file", config / "nowhere" / "ready.json").exception
    assert isinstance(error, CommandError)
    assert f"there is no folder {config / 'nowhere'}" in str(error)
    assert started == []


def test_a_folder_without_documents_is_served_with_a_warning(started: list[Settings], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    output = invoke("--config", tmp_path).output
    assert f"no documents in {tmp_path}: put some there (*.yaml, *.yml, *.json)" in output
    assert len(started) == 1


def test_nothing_is_said_where_nothing_is_amiss(started: list[Settings], config: Path) -> None:
    assert invoke("--config", config, "--workers", "2").output == ""


# The log


def test_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "text")
    logging.getLogger("pyproxy.test").info("hello %s", "there")
    logging.getLogger("pyproxy.test").debug("not this")
    (line,) = capsys.readouterr().err.splitlines()
    stamp, rest = line.split("  ", 1)
    assert stamp.endswith("Z")
    assert rest == "info    pyproxy.test  hello there"


def test_a_line_of_json_with_what_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("pyproxy.test").exception("broken")
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "pyproxy.test", "broken")
    assert "ValueError: no" in entry["exception"]
