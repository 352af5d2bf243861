import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pyproxy.__main__ import cli
from pyproxy.core.errors import CommandError
from pyproxy.lab import orders, running
from pyproxy.lab.scenarios import NAMES

CHECKED = {
    "scenario": "canary",
    "step": 1,
    "steps": 3,
    "title": "t",
    "ok": True,
    "errors": [],
    "findings": [],
    "next": "n",
    "unchecked": [],
    "because": "",
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str, dict[str, Any]]]:
    """What a lab was asked: its folder, the order, the arguments."""
    asked: list[tuple[Any, str, dict[str, Any]]] = []

    def give(lab: Any, order: str, **arguments: Any) -> dict[str, Any]:
        asked.append((lab, order, arguments))
        return dict(CHECKED)

    monkeypatch.setattr(running, "find_lab", lambda documents: documents)
    monkeypatch.setattr(orders, "give", give)
    return asked


def invoke(arguments: str) -> Any:
    return CliRunner().invoke(cli, ["lab", *arguments.split()])


def test_the_list_needs_no_lab() -> None:
    result = invoke("scenario list --output json")
    assert [each["name"] for each in json.loads(result.output)] == list(NAMES)
    assert invoke("scenario").output == invoke("scenario list").output


def test_a_check_ends_with_what_it_found(given: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("check canary --output json")
    assert (result.exit_code, json.loads(result.output)) == (0, CHECKED)
    monkeypatch.setitem(CHECKED, "ok", False)
    assert invoke("check canary").exit_code == 1
    assert given[0][1:] == ("check", {"name": "canary", "answer": ""})


def test_the_folder_may_stand_on_either_side(given: list[Any], tmp_path: Path) -> None:
    invoke(f"check --dir {tmp_path}")
    invoke(f"--dir {tmp_path} check")
    assert [lab for lab, _, _ in given] == [tmp_path, tmp_path]


def test_a_step_is_a_number(given: list[Any]) -> None:
    invoke("scenario canary 2 --output json")
    assert given[0][1:] == ("scenario", {"name": "canary", "step": 2})
    assert invoke("scenario canary two").exit_code == 2
    assert invoke("scenario canary 0").exit_code == 2


def test_a_wrong_name_is_told_before_a_lab_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("scenario cannary")
    assert isinstance(result.exception, CommandError)
    assert "Did you mean canary" in str(result.exception)


@pytest.mark.parametrize("order", ["status", "reset", "report", "down"])
def test_the_others_ask_for_nothing_more(given: list[Any], order: str) -> None:
    assert invoke(f"{order} --output json").exit_code == 0
    assert given[0][1:] == (order, {})


def test_every_order_shows_an_example() -> None:
    for order in ("scenario", "check", "status", "reset", "report", "down"):
        assert "Example:" in invoke(f"{order} --help").output
