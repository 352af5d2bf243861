from __future__ import annotations

from pathlib import Path

from pyproxy.analysis.problems import alone, problems_of, together
from pyproxy.istio.loader import load

DANGLING = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: nobody}}]}]}
"""
INVALID = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: b}\nspec: {egress: 1}\n"


def test_what_is_wrong_alone_and_together_comes_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(DANGLING)
    (tmp_path / "b.yaml").write_text(INVALID)
    found = [(problem.file.name, problem.line, problem.code) for problem in problems_of([tmp_path], "certs")]
    assert found == [("a.yaml", 4, "IST0101"), ("b.yaml", 4, "IST0106")]


def test_each_half_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(DANGLING)
    (tmp_path / "a.yaml").write_text(INVALID)
    loaded = load([tmp_path])
    assert [problem.code for problem in alone(loaded)] == ["IST0106"]
    assert [(problem.code, problem.column) for problem in together(loaded, "certs")] == [("IST0101", 57)]


def test_what_a_document_wants_to_hear_nothing_of_is_not_said(tmp_path: Path) -> None:
    quiet = DANGLING.replace("{name: a}", "{name: a, annotations: {galley.istio.io/analyze-suppress: IST0101}}")
    (tmp_path / "a.yaml").write_text(quiet)
    assert problems_of([tmp_path], "certs") == []
