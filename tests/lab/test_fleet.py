import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxy.lab.fleet import Member, Plan, last_words, read_plan, write_plan

SECONDS = 60.0
"""How long anything may take on a busy machine."""


def say_who_and_sleep() -> None:
    """What the members of these tests do."""
    print(sys.argv[1], os.environ["COLOUR"], flush=True)
    time.sleep(600)


def end() -> None:
    sys.exit(sys.argv[1] if sys.argv[1] else None)


def member(folder: Path, name: str, function: str, argument: str = "") -> Member:
    log = str(folder / f"{name}.log")
    return Member(name, f"tests.lab.test_fleet:{function}", [argument or name], log, {"COLOUR": f"{name}-red"})


def plan_of(folder: Path, first: str = "") -> Plan:
    members = [member(folder, name, "say_who_and_sleep") for name in ("details", "ratings")]
    entry = member(folder, "first", "end")
    return Plan(Member(entry.name, entry.entry, [first], entry.log), members)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan


def test_last_words_name_the_signal_or_the_code(tmp_path: Path) -> None:
    quiet = member(tmp_path, "quiet", "end")
    Path(quiet.log).write_text("")
    assert last_words(quiet, -9) == "quiet ended with signal 9; its last lines:\n(it logged nothing)"
    Path(quiet.log).write_text("".join(f"line {number}\n" for number in range(30)))
    assert last_words(quiet, 3).splitlines()[-1] == "line 29"
    assert "exit code 3" in last_words(quiet, 3)
    assert len(last_words(quiet, 3).splitlines()) == 13


def start(folder: Path, plan: Plan) -> subprocess.Popen[str]:
    write_plan(folder / "plan.json", plan)
    return subprocess.Popen(
        [sys.executable, "-m", "pyproxy.lab.fleet", str(folder / "plan.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        process_group=0,
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """Two programs, each with its process id."""
    process = start(tmp_path, plan_of(tmp_path))
    assert process.stdout is not None
    lines = [process.stdout.readline().split() for _ in range(2)]
    yield process, {words[0].rstrip(":"): int(words[2]) for words in lines}
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.communicate()


@pytest.mark.integration
def test_each_member_has_a_process_a_log_and_an_environment(
    fleet: tuple[subprocess.Popen[str], dict[str, int]], tmp_path: Path
) -> None:
    process, pids = fleet
    assert len({process.pid, *pids.values()}) == 3
    deadline = time.monotonic() + SECONDS
    while (tmp_path / "ratings.log").read_text() != "ratings ratings-red\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    assert process.wait(SECONDS) == 0


@pytest.mark.integration
def test_the_death_of_one_ends_all(fleet: tuple[subprocess.Popen[str], dict[str, int]]) -> None:
    process, pids = fleet
    os.kill(pids["ratings"], signal.SIGKILL)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert errors.startswith("ratings ended with signal 9")


@pytest.mark.integration
def test_nobody_starts_when_the_first_fails(tmp_path: Path) -> None:
    process = start(tmp_path, plan_of(tmp_path, "no disk"))
    output, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, output) == (1, "")
    assert errors.splitlines() == ["first ended with exit code 1; its last lines:", "no disk"]
