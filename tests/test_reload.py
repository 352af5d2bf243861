"""What makes a running proxy read its documents again, and what it keeps when they are wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyproxy import reload
from pyproxy.core.loop import SystemClock, spawn
from pyproxy.reload import Reloader
from pyproxy.snapshot.model import Identity, Listening, Snapshot


def document(host: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: one}}
spec: {{hosts: [{host}], ports: [{{number: 80, name: http, protocol: HTTP}}], resolution: NONE}}
"""


class Watched:
    """A reloader that looks often, and the snapshots that it gave."""

    def __init__(self, *paths: Path) -> None:
        self.taken: asyncio.Queue[Snapshot] = asyncio.Queue()
        self.reloader = Reloader(paths, lambda documents: Identity(), Listening(), self.taken.put_nowait, SystemClock())

    async def hosts(self) -> set[str]:
        """The services of the next snapshot."""
        snapshot = await asyncio.wait_for(self.taken.get(), 30)
        return {name.rpartition("|")[2] for name in snapshot.clusters if name.startswith("outbound|80||")}

    @contextmanager
    def watching(self) -> Iterator[None]:
        task = spawn(self.reloader.watch(), name="watch")
        try:
            yield
        finally:
            task.cancel()


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LOOK_INTERVAL", 0.005)
    monkeypatch.setattr(reload, "SETTLE_INTERVAL", 0.005)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "one.yaml"
    path.parent.mkdir()
    path.write_text(document("a.example"))
    return path


def replace(path: Path, text: str) -> None:
    """As editors save: a new file under the old name."""
    new = path.with_name("new.tmp")
    new.write_text(text)
    new.replace(path)


@pytest.mark.parametrize("of_folder", [False, True])
async def test_a_file_that_editors_replace_is_read_every_time(file: Path, of_folder: bool) -> None:
    watched = Watched(file.parent if of_folder else file)
    with watched.watching():
        for host in ("b.example", "c.example", "d.example"):
            replace(file, document(host))
            assert await watched.hosts() == {host}


async def test_a_folder_that_is_replaced_is_read_every_time(file: Path, tmp_path: Path) -> None:
    folder = file.parent
    watched = Watched(folder)
    with watched.watching():
        for host in ("b.example", "c.example"):
            new = tmp_path / "new"
            new.mkdir()
            (new / "one.yaml").write_text(document(host))
            folder.rename(tmp_path / f"before {host}")
            new.rename(folder)
            found = await watched.hosts()
            assert found == {host}


async def test_a_change_made_before_the_watch_began_is_noticed(file: Path) -> None:
    watched = Watched(file)
    file.write_text(document("b.example"))
    with watched.watching():
        assert await watched.hosts() == {"b.example"}


async def test_a_change_that_sets_the_clock_back_is_noticed(file: Path) -> None:
    before = file.stat()
    watched = Watched(file)
    file.write_text(document("b.example"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with watched.watching():
        assert await watched.hosts() == {"b.example"}


async def test_added_and_removed_files_count_and_strangers_do_not(file: Path) -> None:
    watched = Watched(file.parent)
    with watched.watching():
        (file.parent / ".one.yaml.swp").write_text("half")
        (file.parent / "notes.txt").write_text("half")
        second = file.with_name("two.yaml")
        second.write_text(document("b.example").replace("name: one", "name: two"))
        assert await watched.hosts() == {"a.example", "b.example"}
        second.unlink()
        assert await watched.hosts() == {"a.example"}
    assert watched.reloader.status.accepted == 2


async def test_what_is_wrong_changes_nothing_and_is_told(
    file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload._log, "propagate", True)
    watched = Watched(file)
    with watched.watching():
        file.write_text("kind: [half\n")
        status = watched.reloader.status
        while not status.rejected:
            await asyncio.sleep(0)
        assert watched.taken.empty()
        assert not status.successful
        assert str(file) in status.errors[0]
        assert "kept the last good configuration: 1 error(s)" in caplog.text
        file.unlink()
        while status.rejected < 2:
            await asyncio.sleep(0)
        file.write_text(document("b.example"))
        assert await watched.hosts() == {"b.example"}
        assert status.successful
        assert status.errors == ()


async def test_a_change_is_read_when_it_is_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy empties the file first and fills it later."""
    monkeypatch.setattr(reload, "SETTLE_INTERVAL", 0.5)
    watched = Watched(file)
    with watched.watching():
        file.write_text("")
        await asyncio.sleep(0.05)
        file.write_text(document("b.example"))
        assert await watched.hosts() == {"b.example"}
    assert watched.reloader.status.accepted == 1


async def test_a_bug_in_reading_keeps_the_last_good_documents(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("our bug")

    monkeypatch.setattr(reload, "read", broken)
    watched = Watched(file)
    await watched.reloader.reload()
    assert watched.reloader.status.errors == ("our bug",)
    with suppress(asyncio.QueueEmpty):
        watched.taken.get_nowait()
        pytest.fail("nothing is to be taken up")
