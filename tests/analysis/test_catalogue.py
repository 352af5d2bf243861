"""docs/analysis.md is the table: for every code of the catalogue documents that give it, and others that do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyproxy.analysis.catalogue import CODES
from pyproxy.analysis.problems import problems_of
from pyproxy.istio.problems import Problem

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+) (.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
BASE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
WITHOUT_EXAMPLE = {"PYP0001"}  # no text shows it: test_a_file_that_is_not_utf8


# The language of a bad example is yml: tests/test_docs.py wants no remark on any that is yaml.
def blocks(code: str) -> list[str]:
    """The bad example and the good one."""
    return re.findall(r"^(?:Bad|Good):\n\n```ya?ml\n(.*?)```", SECTIONS[code], re.MULTILINE | re.DOTALL)


def found_in(tmp_path: Path, text: str) -> list[Problem]:
    kept = tmp_path / "certs" / "credentials" / "kept"
    kept.mkdir(parents=True)
    for name in ("tls.crt", "tls.key"):
        (kept / name).touch()
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "example.yaml").write_text(text)
    return problems_of((tmp_path / "base.yaml", tmp_path / "example.yaml"), str(tmp_path / "certs"))


def test_the_page_has_every_code_and_no_other_with_its_name_and_severity() -> None:
    assert list(SECTIONS) == list(CODES)
    for code, section in SECTIONS.items():
        assert section.startswith(f"{CODES[code].name} ({CODES[code].severity})\n"), code


@pytest.mark.parametrize("code", [code for code in CODES if code not in WITHOUT_EXAMPLE])
def test_the_bad_example_gives_the_code(code: str, tmp_path: Path) -> None:
    found = [problem for problem in found_in(tmp_path, blocks(code)[0]) if problem.code == code]
    assert found
    for problem in found:
        assert problem.severity == CODES[code].severity
        assert problem.line >= 1 and problem.column >= 1 and problem.message


BESIDE = {"IST0175": "PYP0004"}
"""Code → what is said beside it whatever the example: of settings that are istiod's."""


@pytest.mark.parametrize("code", [code for code in CODES if code not in WITHOUT_EXAMPLE])
def test_the_good_example_gives_nothing_at_all(code: str, tmp_path: Path) -> None:
    found = found_in(tmp_path, blocks(code)[1])
    assert [str(problem) for problem in found if problem.code != BESIDE.get(code)] == []


def test_the_documents_beside_the_examples_give_nothing(tmp_path: Path) -> None:
    assert found_in(tmp_path, "") == []


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"kind: \xff\n")
    assert [(problem.code, problem.line) for problem in problems_of((tmp_path,), "certs")] == [("PYP0001", 1)]
