from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from pyproxy.cli.explain import explain
from pyproxy.core.errors import CommandError
from tests.analysis.conftest import REVIEWS

RULES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: nobody}}]
  - route: [{destination: {host: reviews}}]
"""


def run(tmp_path: Path, *words: str, text: str = REVIEWS + RULES) -> Result:
    (tmp_path / "a.yaml").write_text(text)
    return CliRunner().invoke(explain, ["--config", str(tmp_path), *words])


def test_the_tree_is_plain_where_there_is_no_terminal(tmp_path: Path) -> None:
    result = run(tmp_path, "get", "http://reviews:9080/x")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[:6] == [
        "GET reviews:9080/x",
        "  listener virtualOutbound (127.0.0.1:15001)",
        "  virtual host reviews.default.svc.cluster.local:9080",
        "  route 0 of reviews.default: does not match",
        "    no: header end-user = jason, and the request has (missing)",
        "  route 1 of reviews.default: matches",
    ]
    assert "  100 % to outbound|9080||reviews.default.svc.cluster.local" in lines


def test_json_has_the_same(tmp_path: Path) -> None:
    result = run(tmp_path, "GET", "http://reviews:9080/x", "-H", "end-user: jason", "--output", "json")
    found = json.loads(result.output)
    assert found["request"]["headers"] == {"end-user": "jason"}
    assert [each["matched"] for each in found["routes"]] == [True]
    assert found["targets"][0]["problem"] == "503 NC: there is no such cluster"


def test_a_header_without_a_colon_is_bad_usage(tmp_path: Path) -> None:
    assert run(tmp_path, "GET", "http://reviews/", "-H", "jason").exit_code == 2


def test_documents_with_errors_explain_nothing(tmp_path: Path) -> None:
    result = run(tmp_path, "GET", "http://reviews/", text=RULES.replace("hosts", "hots"))
    assert isinstance(result.exception, CommandError) and result.exception.exit_code == 1


def test_the_command_loads_what_it_needs_when_it_runs() -> None:
    code = "import sys, pyproxy.cli.explain; print('pyproxy.analysis.explain' in sys.modules, 'rich' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.split() == ["False", "False"]
