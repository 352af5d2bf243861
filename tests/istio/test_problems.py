from pathlib import Path

import pytest

from pyproxy.istio.problems import ConfigError, FieldPath, Problem, format_path, parse_path


def test_a_path_reads_as_jsonpath() -> None:
    assert format_path(("spec", "http", 0, "route", 1, "weight")) == "spec.http[0].route[1].weight"
    assert format_path(("spec", "selector", "app.kubernetes.io/name")) == 'spec.selector["app.kubernetes.io/name"]'
    assert format_path(()) == ""


def problem(line: int, resource: str, path: str) -> Problem:
    return Problem("error", "IST0106", Path("a.yaml"), line, 5, resource, path, "is wrong")


def test_a_problem_says_where_what_and_why() -> None:
    assert str(problem(3, "Gateway/edge/a", "spec.servers")) == "a.yaml:3:5 Gateway/edge/a spec.servers: is wrong"
    assert str(problem(3, "", "")) == "a.yaml:3:5: is wrong"
    assert str(problem(0, "", "")) == "a.yaml: is wrong"


def test_a_configuration_error_holds_them_all() -> None:
    error = ConfigError([problem(1, "", ""), problem(2, "", "")])
    assert len(error.problems) == 2
    assert str(error) == "a.yaml:1:5: is wrong\na.yaml:2:5: is wrong"


@pytest.mark.parametrize(
    "path",
    [
        ("spec", "http", 0, "route", 12, "weight"),
        ("metadata", "annotations", "istio.io/dry-run"),
        ("spec", "set", "x-a", "b"),
        (3, "a"),
        (),
    ],
)
def test_a_path_that_was_written_can_be_read(path: FieldPath) -> None:
    assert parse_path(format_path(path)) == path
