"""Every page of docs/lab, from top to bottom, as a student would do it: one lab for all of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxy.lab.scenarios import NAMES, find_scenario
from pyproxy.lab.scenarios.mystery import FAULTS
from tests.console_blocks import commands_of, run

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

DOCS = Path(__file__).parents[2] / "docs" / "lab"
PAGES = ("README", "mistakes", *NAMES)
SUBNET = f"127.5.{os.getpid() % 250}"
PORT = 20_000 + os.getpid() % 10_000
START_SECONDS = 60.0


class Classroom:
    """A running lab, and a shell beside it."""

    def __init__(self, folder: Path) -> None:
        self.documents = folder / "bookshop"
        programs = folder / "bin"
        programs.mkdir()
        (programs / "pyproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m pyproxy "$@"\n')
        (programs / "pyproxy").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TMPDIR": str(folder),
            "PYPROXY_LAB_SUBNET": SUBNET,
        }
        self.log = folder / "lab.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(programs / "pyproxy"), "lab", "--dir", str(self.documents), "--port", str(PORT)],
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while not (self.documents / ".lab" / "running.json").exists():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def here(self, line: str) -> str:
        line = line.replace("127.0.1.", f"{SUBNET}.").replace("127.0.0.1:8080", f"127.0.0.1:{PORT}")
        return line.replace("--port 8080", f"--port {PORT}").replace("~/bookshop", str(self.documents))

    def there(self, output: str) -> str:
        output = output.replace(f"{SUBNET}.", "127.0.1.").replace(f"127.0.0.1:{PORT}", "127.0.0.1:8080")
        return output.replace(str(self.documents), "~/bookshop")

    def orders(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pyproxy", "lab", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, timeout=60)


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classroom]:
    classroom = Classroom(tmp_path_factory.mktemp("class"))
    yield classroom
    if classroom.process.poll() is None:
        classroom.process.kill()
    classroom.process.wait(30)


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def proportional_bytes(pid: int) -> int:
    """Memory of a process, with its share of what it shares (Linux, proc(5): Pss)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_true_from_top_to_bottom(classroom: Classroom, page: str) -> None:
    before = {path.name: path.read_text() for path in classroom.documents.glob("*.yaml")}
    for command in commands_of((DOCS / f"{page}.md").read_text()):
        difference = run(command, classroom.environment, classroom.here, classroom.there)
        if difference:
            classroom.orders("reset")  # a page that is wrong leaves nothing for the next
            pytest.fail(difference)
    assert {path.name: path.read_text() for path in classroom.documents.glob("*.yaml")} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_the_question_every_step_and_the_documents_of_its_lesson(name: str) -> None:
    scenario, page = find_scenario(name), (DOCS / f"{name}.md").read_text()
    words = " ".join(page.split())
    assert scenario.question in words and scenario.teaches in words
    shown = {yaml.strip() for yaml in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)}
    applied = "".join(text for step in scenario.steps for text in step.documents.values())
    assert [yaml for yaml in shown if yaml not in applied] == []
    if not scenario.secret:
        for number, step in enumerate(scenario.steps, start=1):
            assert f"step {number} of {len(scenario.steps)}: {step.title}" in page
            assert all(check.what in page for check in step.checks)


def test_the_teachers_notes_have_every_check_and_every_answer() -> None:
    notes = (DOCS / "teachers.md").read_text()
    for name in NAMES:
        scenario = find_scenario(name)
        assert f"| {name} |" in notes
        if not scenario.secret:
            checks = [(n, check.what) for n, step in enumerate(scenario.steps, start=1) for check in step.checks]
            assert [each for each in checks if f"| {name} | {each[0]} | {each[1]} |" not in notes] == []
    for number, (workload, ailment, _) in enumerate(FAULTS, start=1):
        assert f"| {number} | `{workload}:{ailment}` |" in notes


def test_status_and_check_speak_json(classroom: Classroom) -> None:
    classroom.orders("scenario", "authorization")
    status = json.loads(classroom.orders("status", "--output", "json").stdout)
    assert (status["scenario"], status["step"], status["lab"]["seed"]) == ("authorization", 1, 1)
    check = classroom.orders("check", "--output", "json")
    found = json.loads(check.stdout)
    assert (check.returncode, found["ok"]) == (0, True)
    assert [finding["value"] for finding in found["findings"]] == [1.0]
    report = json.loads(classroom.orders("report", "--output", "json").stdout)
    assert "Who may ask what" in Path(report["html"]).read_text()
    assert Path(report["edges"]).read_text().startswith("source,service,target,requests")
    reset = json.loads(classroom.orders("reset", "--output", "json").stdout)
    assert reset["ended"] == "authorization" and reset["seconds"] < 2


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_undone_within_two_seconds(classroom: Classroom, name: str) -> None:
    assert classroom.orders("scenario", name).returncode == 0
    reset = json.loads(classroom.orders("reset", "--output", "json").stdout)
    assert reset["ended"] == name and reset["seconds"] < 2


def test_after_all_the_lessons_the_bookshop_with_its_sidecars_is_still_under_500_mb(classroom: Classroom) -> None:
    processes = set(tree(classroom.process.pid)) - {classroom.process.pid}
    assert len(processes) > 13, "six services, as many sidecars, the gateway and the console, but not the lab's own"
    found = [proportional_bytes(each) for each in processes]
    assert sum(found) < 500_000_000, found


def test_down_ends_the_lab_with_the_students_documents_back(classroom: Classroom) -> None:
    before = (classroom.documents / "ratings.yaml").read_text()
    classroom.orders("scenario", "delay")
    assert (classroom.documents / "ratings.yaml").read_text() != before
    assert classroom.orders("down").returncode == 0
    assert classroom.process.wait(15) == 0
    assert (classroom.documents / "ratings.yaml").read_text() == before
    assert "no lab is running" in classroom.orders("status").stderr
