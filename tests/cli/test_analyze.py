from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pyproxy.cli.analyze import analyze

DANGLING = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: nobody}}]}]}
"""
UNFOLLOWED = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: nobody}
"""


def run(tmp_path: Path, text: str, *options: str) -> Result:
    (tmp_path / "a.yaml").write_text(text)
    return CliRunner().invoke(analyze, [*options, str(tmp_path)], color=False)


def test_an_error_exits_with_1_and_names_the_place(tmp_path: Path) -> None:
    result = run(tmp_path, DANGLING)
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"error: {tmp_path}/a.yaml:4:57 VirtualService/default/a spec.http[0].route[0].destination.host: "
        "no service is called nobody.default.svc.cluster.local: requests get 503 NC [IST0101]",
        "1 error",
    ]


def test_json_is_the_list_that_validate_prints(tmp_path: Path) -> None:
    result = run(tmp_path, DANGLING, "--output", "json")
    [found] = json.loads(result.output)
    assert list(found) == ["severity", "code", "file", "line", "column", "resource", "path", "message"]
    assert (found["severity"], found["code"], found["line"], found["column"]) == ("error", "IST0101", 4, 57)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--suppress", "IST0101"), 0),
        (("-S", "IST0101=VirtualService/default/*"), 0),
        (("-S", "IST0101=VirtualService/shop/*"), 1),
        (("-S", "IST0174"), 1),
    ],
)
def test_codes_can_be_suppressed_everywhere_or_for_resources(
    tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    assert run(tmp_path, DANGLING, *options).exit_code == code


def test_warnings_fail_only_when_asked_to(tmp_path: Path) -> None:
    assert run(tmp_path, UNFOLLOWED).exit_code == 0
    assert run(tmp_path, UNFOLLOWED, "--failure-threshold", "warning").exit_code == 1


def test_what_validate_finds_is_there_too_in_the_order_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(DANGLING.replace("hosts: [a]", "hots: [a]"))
    result = run(tmp_path, DANGLING)
    assert [line.rpartition(" ")[2] for line in result.output.splitlines()] == ["[IST0101]", "[IST0106]", "errors"]


def test_a_path_that_is_not_there_is_bad_usage() -> None:
    assert CliRunner().invoke(analyze, ["/no/such/path"]).exit_code == 2


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(analyze, [str(tmp_path)])
    assert (result.exit_code, result.output) == (0, "no documents found\n")


def test_nothing_wrong_exits_with_0(tmp_path: Path) -> None:
    result = run(tmp_path, "")
    assert (result.exit_code, result.output) == (0, "no problems\n")
