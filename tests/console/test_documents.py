from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyproxy.console.documents import MAX_BYTES, Documents, OutOfDate, Refused, digest, unified
from tests.console.test_yaml_edit import TEXT

VALID = "\n".join(TEXT.split("---\n")[1:])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "reviews.yaml").write_text(VALID)
    (folder / "notes.txt").write_text("not a document")
    (tmp_path / "outside.yaml").write_text(VALID)
    return folder


def test_files_are_named_below_their_folder(folder: Path) -> None:
    (file,) = Documents([folder]).files()
    assert (file.name, file.text, file.digest) == ("reviews.yaml", VALID, digest(VALID))
    names = [each.name for each in Documents([folder, folder.parent / "outside.yaml"]).files()]
    assert names == ["config/reviews.yaml", str(folder.parent / "outside.yaml")]


@pytest.mark.parametrize("name", ["../outside.yaml", "/etc/passwd", "notes.txt", "", "nothing.yaml"])
def test_nothing_but_documents_is_opened(folder: Path, name: str) -> None:
    documents = Documents([folder])
    with pytest.raises(Refused, match="no file"):
        documents.file(name)
    with pytest.raises(Refused, match="no file"):
        documents.write(name, VALID, digest(VALID))


def test_a_text_is_checked_as_validate_checks_a_file(folder: Path) -> None:
    documents = Documents([folder])
    assert documents.check("reviews.yaml", VALID) == []
    (problem,) = documents.check("reviews.yaml", VALID.replace("weight: 50  # half", "weight: many"))
    assert (problem.severity, problem.line, problem.path) == ("error", 14, "spec.http[1].route[0].weight")
    (fault,) = documents.check("reviews.yaml", "a: [")
    assert fault.code == "PYP0002"
    with pytest.raises(Refused, match="longer"):
        documents.check("reviews.yaml", "#" * (MAX_BYTES + 1))


def test_a_valid_text_takes_the_place_of_the_file_and_its_mode_stays(folder: Path) -> None:
    path = folder / "reviews.yaml"
    path.chmod(0o640)
    text = VALID.replace("weight: 50", "weight: 40", 1)
    before = Documents([folder]).write("reviews.yaml", text, digest(VALID))
    assert before.text == VALID
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ["notes.txt", "reviews.yaml"]


def test_a_link_stays_one_and_its_target_is_written(folder: Path) -> None:
    link = folder / "linked.yaml"
    link.symlink_to(folder.parent / "outside.yaml")
    Documents([folder]).write("linked.yaml", VALID + "# new\n", digest(VALID))
    assert link.is_symlink()
    assert (folder.parent / "outside.yaml").read_text().endswith("# new\n")


def test_what_is_wrong_or_was_changed_meanwhile_is_not_written(folder: Path) -> None:
    documents = Documents([folder])
    with pytest.raises(Refused, match="not written: line 2: did not find"):
        documents.write("reviews.yaml", "kind: [", digest(VALID))
    (folder / "reviews.yaml").write_text(VALID + "# by somebody else\n")
    with pytest.raises(OutOfDate, match="changed on disk"):
        documents.write("reviews.yaml", VALID, digest(VALID))
    assert (folder / "reviews.yaml").read_text().endswith("# by somebody else\n")


def test_a_difference_is_shown_as_diff_shows_it() -> None:
    assert unified("a\nb\n", "a\nc\n", "x.yaml").splitlines()[2:] == ["@@ -1,2 +1,2 @@", " a", "-b", "+c"]
    assert unified("a\n", "a\n", "x.yaml") == ""
