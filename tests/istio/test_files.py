from __future__ import annotations

import os
from pathlib import Path

import pytest
from yaml import Node

from pyproxy.istio.files import find_files, fingerprint, read_documents
from pyproxy.istio.problems import Problem


def names(*paths: Path) -> list[str]:
    return [found.name if isinstance(found, Path) else found.message for found in find_files(paths)]


def test_a_folder_is_searched_by_suffix_and_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "c.json", "d.txt", "sub/a.yaml", ".hidden.yaml", "..data/a.yaml"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    found = [str(path.relative_to(tmp_path)) for path in find_files([tmp_path]) if isinstance(path, Path)]
    assert found == ["a.yml", "b.yaml", "c.json", "sub/a.yaml"]


def test_a_folder_below_that_is_marked_is_left_out(tmp_path: Path) -> None:
    for name in ("a.yaml", "grafana/.no-documents", "grafana/b.yaml", "grafana/dashboards/c.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.touch()
    before = fingerprint([tmp_path])
    (tmp_path / "grafana" / "b.yaml").write_text("changed")
    assert names(tmp_path) == ["a.yaml"]
    assert fingerprint([tmp_path]) == before
    assert names(tmp_path / "grafana") == ["b.yaml", "c.json"]


def test_a_named_file_may_have_any_suffix_and_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "mesh.conf"
    file.touch()
    (tmp_path / "again.yaml").symlink_to(file)
    assert names(file, tmp_path) == ["mesh.conf"]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    assert names(tmp_path / "nothing") == ["there is no such file or folder"]


def roots(file: Path) -> list[Node | Problem]:
    return list(read_documents(file))


def test_empty_and_null_documents_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# nothing\n---\n---\nnull\n---\n~\n---\na: 1\n---\n")
    assert len(roots(file)) == 1
    file.write_text("")
    assert roots(file) == []


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    (root,) = roots(file)
    assert isinstance(root, Node)


def test_what_is_not_utf_8_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: caf\xe9\n")
    (problem,) = roots(file)
    assert str(problem) == f"{file}:2:7: byte 0xe9 is not UTF-8: save it as UTF-8"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (problem,) = roots(tmp_path)
    assert isinstance(problem, Problem)
    assert problem.message == "cannot be read: Is a directory"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.touch(mode=0)
    (problem,) = roots(file)
    assert isinstance(problem, Problem)
    assert problem.message == "cannot be read: Permission denied"


def test_the_items_of_a_list_are_documents(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: List\nitems:\n- a: 1\n- kind: ServiceList\n  items: [{b: 2}, {c: 3}]\n---\nkind: List\n")
    assert [root.start_mark.line for root in roots(file) if isinstance(root, Node)] == [2, 4, 4, 6]
