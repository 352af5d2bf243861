from pathlib import Path

import pytest

from pyproxy.lab.stage import SAVED, Stage, link_to, shipped


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    (tmp_path / "workloads").mkdir()
    (tmp_path / "workloads" / "reviews-v1.yaml").write_text("workload")
    (tmp_path / "reviews.yaml").write_text("mine")
    (tmp_path / "extra.yaml").write_text("mine too")
    (tmp_path / "notes.txt").write_text("notes")
    return tmp_path


def yaml_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.yaml")}


def test_the_labs_own_documents_come_with_those_of_the_scenario(documents: Path) -> None:
    stage = Stage(documents)
    stage.begin()
    assert stage.put({"reviews.yaml": "a lesson", "details.yaml": "another"})
    assert yaml_in(documents) == {**shipped(), "reviews.yaml": "a lesson", "details.yaml": "another"}
    assert (documents / "workloads" / "reviews-v1.yaml").read_text() == "workload"
    assert (documents / "notes.txt").exists()
    assert not stage.put({"reviews.yaml": "a lesson", "details.yaml": "another"})


def test_the_users_documents_come_back_whatever_was_done_to_the_others(documents: Path) -> None:
    before = yaml_in(documents)
    stage = Stage(documents)
    stage.begin()
    stage.put({"reviews.yaml": "a lesson"})
    (documents / "reviews.yaml").write_text("edited")
    (documents / "new.yaml").write_text("new")
    stage.begin()  # a later step: what was put away stays
    assert stage.restore()
    assert yaml_in(documents) == before
    assert not (documents / SAVED).exists()
    assert not stage.restore()


def test_what_nobody_could_end_is_undone_by_the_next(documents: Path) -> None:
    before = yaml_in(documents)
    Stage(documents).begin()
    Stage(documents).put({})
    assert Stage(documents).taken
    Stage(documents).restore()
    assert yaml_in(documents) == before


def test_bytes_that_are_no_utf8_survive(documents: Path) -> None:
    (documents / "reviews.yaml").write_bytes(b"# caf\xe9\n")
    stage = Stage(documents)
    stage.begin()
    stage.put({})
    stage.restore()
    assert (documents / "reviews.yaml").read_bytes() == b"# caf\xe9\n"


def test_a_link_leads_to_the_labs_own_folder(documents: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for _ in range(2):
        folder = tmp_path_factory.mktemp("lab")
        link_to(documents, folder)
        assert (documents / ".lab").resolve() == folder
