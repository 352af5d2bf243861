from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyproxy.cli.validate import validate

VALID = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}
"""
WARNED = (
    VALID
    + "---\n"
    + """\
apiVersion: networking.istio.io/v1
kind: EnvoyFilter
metadata: {name: a}
"""
)
WRONG = VALID.replace("hosts:", "hots:")


def run(tmp_path: Path, text: str, *options: str) -> Result:
    (tmp_path / "a.yaml").write_text(text)
    return CliRunner().invoke(validate, [*options, str(tmp_path)], color=False)


def test_valid_documents_exit_with_0(tmp_path: Path) -> None:
    result = run(tmp_path, VALID)
    assert (result.exit_code, result.output) == (0, "valid: 1 usable document\n")


def test_warnings_and_notices_do_not_make_it_invalid(tmp_path: Path) -> None:
    result = run(tmp_path, WARNED + "---\napiVersion: v1\nkind: Namespace\n---\napiVersion: v1\nkind: Secret\n")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "valid: 1 usable document, 1 warning, 2 notices"


def test_an_error_exits_with_1_and_names_the_place(tmp_path: Path) -> None:
    result = run(tmp_path, WRONG)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"error: {tmp_path}/a.yaml:4:8 VirtualService/default/a spec.hots: "
        "unknown field hots; did you mean hosts? [IST0106]",
        "not valid: 0 usable documents, 1 error",
    ]


def test_json_is_a_list_of_problems(tmp_path: Path) -> None:
    result = run(tmp_path, WRONG, "--output", "json")
    assert result.exit_code == 1
    assert json.loads(result.output) == [
        {
            "severity": "error",
            "code": "IST0106",
            "file": f"{tmp_path}/a.yaml",
            "line": 4,
            "column": 8,
            "resource": "VirtualService/default/a",
            "path": "spec.hots",
            "message": "unknown field hots; did you mean hosts?",
        }
    ]
    assert json.loads(run(tmp_path, VALID, "--output", "json").output) == []


def test_a_folder_without_documents_is_said_to_have_none(tmp_path: Path) -> None:
    result = run(tmp_path, "# nothing\n")
    assert (result.exit_code, result.output) == (0, "no documents found\n")


def test_a_folder_without_files_is_said_to_be_searched_for_which(tmp_path: Path) -> None:
    (tmp_path / "documents.txt").touch()
    result = CliRunner().invoke(validate, [str(tmp_path)])
    assert result.output.splitlines() == ["no documents found", "A folder is searched for *.yaml, *.yml, *.json."]


@pytest.mark.parametrize("arguments", [[], ["/no/such/path"], ["--output", "xml", "."], ["--unknown"]])
def test_bad_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(validate, arguments).exit_code == 2


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WRONG)
    assert "\x1b[" not in CliRunner().invoke(validate, [str(tmp_path)]).output
    assert "\x1b[" in CliRunner().invoke(validate, [str(tmp_path)], color=True).output
