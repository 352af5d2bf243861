from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner, Result

from pyproxy.cli.route_tests import test as command
from tests.analysis.test_explain import MESH

PAGE = (Path(__file__).parents[2] / "docs" / "route-tests.md").read_text()


def run(tmp_path: Path, text: str, *options: str, rules: str = MESH) -> Result:
    (tmp_path / "mesh.yaml").write_text(rules)
    (tmp_path / "tests.yaml").write_text(text)
    words = ["--config", str(tmp_path / "mesh.yaml"), str(tmp_path / "tests.yaml"), *options]
    return CliRunner().invoke(command, words, color=False)


def example() -> str:
    [text] = re.findall(r"```yml\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    result = run(tmp_path, example())
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "passed: 2 of 2 tests pass, 5 requests"


def test_a_failure_shows_the_difference_and_exits_with_1(tmp_path: Path) -> None:
    result = run(tmp_path, example().replace("subset: v2", "subset: v9"))
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0] == f"FAIL Jason gets the new reviews ({tmp_path}/tests.yaml:2)"
    assert lines[1] == "  GET reviews/reviews/1 met VirtualService/default/reviews http[0] (jason)"
    assert "    -    subset: v9" in lines and "    +    subset: v2" in lines
    assert lines[-1] == "1 failed: 1 of 2 tests pass, 5 requests"


def test_json_has_every_request(tmp_path: Path) -> None:
    first, second = json.loads(run(tmp_path, example(), "--output", "json").output)
    assert (first["passed"], first["line"], len(first["requests"])) == (True, 2, 4)
    assert second["requests"][0]["rule"].startswith("VirtualService/default/reviews http[2]")


def test_text_that_is_not_valid_exits_with_1(tmp_path: Path) -> None:
    assert run(tmp_path, "testCases: [{}]").exit_code == 1
    assert run(tmp_path, example(), rules=MESH.replace("hosts", "hots")).exit_code == 1
    assert CliRunner().invoke(command, []).exit_code == 2
