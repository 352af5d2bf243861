import json
import os
import tempfile
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab.running import FILE, RunningLab, announce, find_lab, refuse_second
from pyproxy.lab.stage import link_to


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def lab_in(folder: Path, name: str, pid: int = 0) -> RunningLab:
    own, documents = folder / f"pyproxy-lab-{name}", folder / name
    own.mkdir()
    documents.mkdir()
    lab = RunningLab(pid or os.getpid(), "http://127.0.0.1:1", "secret", str(documents), str(own), "http://p", 1)
    announce(own, lab)
    link_to(documents, own)
    return lab


def test_only_the_user_can_read_the_secret(tmp_path: Path) -> None:
    lab_in(tmp_path, "a")
    assert (tmp_path / "pyproxy-lab-a" / FILE).stat().st_mode & 0o077 == 0


def test_the_only_lab_is_found_and_one_by_its_documents(tmp_path: Path) -> None:
    first = lab_in(tmp_path, "a")
    assert find_lab(None) == find_lab(tmp_path / "a") == first
    second = lab_in(tmp_path, "b")
    assert find_lab(tmp_path / "b") == second
    with pytest.raises(CommandError, match=r"2 labs are running(.|\n)*--dir .*/a\n.*--dir .*/b"):
        find_lab(None)


def test_without_a_lab_one_is_told_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no lab is running.*pyproxy lab --dir"):
        find_lab(None)
    with pytest.raises(CommandError, match=f"no lab is running with --dir {tmp_path}/x"):
        find_lab(tmp_path / "x")


def test_a_lab_that_has_died_is_none(tmp_path: Path) -> None:
    lab_in(tmp_path, "dead", pid=2**22 - 3)
    (tmp_path / "pyproxy-lab-broken").mkdir()
    (tmp_path / "pyproxy-lab-broken" / FILE).write_text(json.dumps({"pid": os.getpid()}))
    with pytest.raises(CommandError, match="no lab is running"):
        find_lab(None)


def test_a_second_lab_with_the_same_documents_is_refused(tmp_path: Path) -> None:
    refuse_second(tmp_path / "a")
    lab_in(tmp_path, "a")
    with pytest.raises(CommandError, match=r"already .*pyproxy lab down --dir"):
        refuse_second(tmp_path / "a")
