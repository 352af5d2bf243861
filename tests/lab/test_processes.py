import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyproxy.lab.processes import ChildDied, Processes

pytestmark = pytest.mark.integration

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")
IGNORES_TERM = (
    *(sys.executable, "-c"),
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
)


def gone(pid: int, seconds: float = 5.0) -> bool:
    """No such process any more (a zombie does not run)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


async def test_the_end_takes_children_and_folder_along() -> None:
    async with Processes() as processes:
        child = processes.start("sleeper", SLEEPS, dict(os.environ))
        folder = processes.folder
        assert child.running
    assert child.process.returncode == -signal.SIGTERM
    assert not folder.exists()


async def test_who_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyproxy.lab.processes.STOP_SECONDS", 0.1)
    async with Processes() as processes:
        child = processes.start("deaf", IGNORES_TERM, dict(os.environ))
        await processes.ready(child, lambda: "deaf" in child.log.read_text())
    assert child.process.returncode == -signal.SIGKILL


async def test_without_its_guard_it_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyproxy.lab.processes.STOP_SECONDS", 0.1)
    async with Processes() as processes:
        child = processes.start("deaf", IGNORES_TERM, dict(os.environ))
        await processes.ready(child, lambda: "deaf" in child.log.read_text())
        processes._guard.kill()
    assert child.process.returncode == -signal.SIGKILL
    shutil.rmtree(processes.folder)


async def test_a_child_that_dies_at_the_start_is_quoted() -> None:
    command = (sys.executable, "-c", "import sys; print('first'); sys.exit('the port is taken')")
    async with Processes() as processes:
        child = processes.start("unlucky", command, dict(os.environ))
        with pytest.raises(ChildDied) as caught:
            await processes.ready(child, lambda: False)
        death = await processes.wait_for_a_death()
    assert "unlucky ended with exit code 1" in str(caught.value)
    assert "the port is taken" in str(caught.value)
    assert str(death) == str(caught.value)
    assert death.exit_code == 1


async def test_a_command_that_ends_is_no_death() -> None:
    async with Processes() as processes:
        await processes.run("quick", (sys.executable, "-c", "print('done')"), dict(os.environ))
        assert processes.children == []
        assert (processes.folder / "logs" / "quick.log").read_text() == "done\n"
        with pytest.raises(ChildDied, match=r"broken ended with exit code 1(.|\n)*no disk"):
            await processes.run("broken", (sys.executable, "-c", "import sys; sys.exit('no disk')"), dict(os.environ))


async def test_a_command_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyproxy.lab.processes.START_SECONDS", 0.1)
    async with Processes() as processes:
        with pytest.raises(ChildDied, match="slow was not done within"):
            await processes.run("slow", SLEEPS, dict(os.environ))


async def test_a_child_that_never_gets_ready_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyproxy.lab.processes.START_SECONDS", 0.1)
    async with Processes() as processes:
        child = processes.start("slow", SLEEPS, dict(os.environ))
        with pytest.raises(ChildDied, match="not ready within"):
            await processes.ready(child, lambda: False)


async def test_a_death_later_is_noticed() -> None:
    async with Processes() as processes:
        child = processes.start("victim", SLEEPS, dict(os.environ))
        os.kill(child.process.pid, signal.SIGKILL)
        death = await asyncio.wait_for(processes.wait_for_a_death(), 60)
    assert "victim ended with signal 9" in str(death)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_even_when_the_lab_is_killed_nothing_stays() -> None:
    program = """
import asyncio, os
from pyproxy.lab.processes import Processes
async def main():
    async with Processes() as processes:
        child = processes.start("parent", ["sh", "-c", "sleep 61 & echo $!; wait"], dict(os.environ))
        await processes.ready(child, lambda: child.log.read_text())
        print(child.process.pid, child.log.read_text().strip(), processes._guard.pid, processes.folder, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        *pids, folder = lab.stdout.readline().split()
        lab.kill()
    assert all(gone(int(pid)) for pid in pids)
    assert not Path(folder).exists()
