import asyncio
import os
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab import commands
from pyproxy.lab.layout import choose_layout
from pyproxy.lab.mesh import CONSOLE_OFFSET, LabSettings, greeting, refused, run_lab
from pyproxy.lab.report import Report
from pyproxy.lab.views import JsonView
from tests.ports import free_port

pytestmark = pytest.mark.integration


class RecordingView(JsonView):
    """Keeps what it is shown; `enough` is set at the first report."""

    def __init__(self) -> None:
        self.greetings: list[str] = []
        self.reports: list[Report] = []
        self.enough = asyncio.Event()

    def greet(self, lines: str) -> None:
        self.greetings.append(lines)

    def show(self, report: Report) -> None:
        self.reports.append(report)
        self.enough.set()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LabSettings:
    """A lab of fake proxies on addresses of its own, its temporary folder inside `tmp_path`."""
    monkeypatch.setattr(commands, "PYPROXY", "tests.lab.fake_pyproxy:main")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return LabSettings(interval=0.2, rate=50.0, port=free_port(), subnet=f"127.1.{os.getpid() % 250}")


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("pyproxy-lab-")]


async def test_it_starts_reports_and_ends_by_itself(settings: LabSettings, tmp_path: Path) -> None:
    view = RecordingView()
    await run_lab(replace(settings, duration=1.0), view)
    assert "/productpage" in view.greetings[0]
    assert f"http://127.0.0.1:{settings.port + CONSOLE_OFFSET}/#token=" in view.greetings[0]
    assert sum(report.seconds for report in view.reports) == pytest.approx(1.0, abs=0.3)
    assert sum(report.tally.sent for report in view.reports) > 20
    assert {row.target for report in view.reports for row in report.rows} == {"productpage v1"}
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_in_order(settings: LabSettings, tmp_path: Path, number: signal.Signals) -> None:
    view = RecordingView()
    lab = asyncio.ensure_future(run_lab(settings, view))
    await asyncio.wait_for(view.enough.wait(), 60)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(lab, 60)
    assert left_in(tmp_path) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", settings.port))


async def test_a_sidecar_that_cannot_start_is_quoted(
    settings: LabSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DIES", "reviews-v2")
    with pytest.raises(CommandError) as caught:
        await run_lab(settings, RecordingView())
    assert "reviews-v2 ended with exit code 1" in str(caught.value)
    assert "these documents do not compile" in str(caught.value)
    assert caught.value.exit_code == 1
    assert left_in(tmp_path) == []


async def test_a_sidecar_that_crashes_ends_the_lab(
    settings: LabSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CRASHES", "ratings-v1")
    with pytest.raises(CommandError, match="ratings-v1 ended with exit code 3"):
        await run_lab(settings, RecordingView())
    assert left_in(tmp_path) == []


async def test_without_certificates_nothing_starts(
    settings: LabSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NO_CERTS", "yes")
    with pytest.raises(CommandError, match=r"certs ended with exit code 1(.|\n)*the disk is full"):
        await run_lab(settings, RecordingView())
    assert left_in(tmp_path) == []


async def test_a_taken_port_is_said_before_anything_starts(settings: LabSettings, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", settings.port)),
        pytest.raises(CommandError, match=f"127.0.0.1:{settings.port} is taken"),
    ):
        await run_lab(settings, RecordingView())
    assert left_in(tmp_path) == []


async def test_documents_in_a_folder_of_the_users_stay(settings: LabSettings, tmp_path: Path) -> None:
    await run_lab(replace(settings, duration=0.2, folder=tmp_path / "mine"), RecordingView())
    assert (tmp_path / "mine" / "reviews.yaml").exists()
    assert left_in(tmp_path) == []


async def test_without_traffic_there_are_reports_all_the_same(settings: LabSettings) -> None:
    view = RecordingView()
    await run_lab(replace(settings, duration=0.4, rate=0.0), view)
    assert view.reports
    assert sum(report.tally.sent for report in view.reports) == 0
    assert "visits" not in view.greetings[0]


REFUSAL = """\
2026-01-31T12:00:00.000Z  error   pyproxy.config  old.yaml:1:1 an error of long ago
2026-01-31T12:00:00.000Z  error   pyproxy.config  kept the last good configuration: 1 error(s) in the documents
2026-01-31T12:00:01.000Z  info    pyproxy.config  took up the documents: version abc
2026-01-31T12:00:02.000Z  error   pyproxy.config  reviews.yaml:9:2 VirtualService/default/reviews: no such field
2026-01-31T12:00:02.000Z  error   pyproxy.config  reviews.yaml:12:2 VirtualService/default/reviews: nor this one
2026-01-31T12:00:02.000Z  error   pyproxy.config  kept the last good configuration: 2 error(s) in the documents
2026-01-31T12:00:03.000Z  warning pyproxy         something else"""


async def test_a_refused_reload_is_shown_with_its_errors(
    settings: LabSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_REFUSES", REFUSAL)
    view = RecordingView()
    await run_lab(replace(settings, duration=0.2, rate=0.0), view)
    first, *errors = view.reports[-1].notes
    assert "last good ones" in first
    assert [error.partition(" ")[0] for error in errors] == ["reviews.yaml:9:2", "reviews.yaml:12:2"]


@pytest.mark.parametrize("log", ["", "2026-01-31T12:00:00.000Z  error   pyproxy.config  of another kind"])
def test_a_log_that_counts_no_errors_has_none(log: str) -> None:
    assert refused(log) == []


def test_the_greeting_says_where_everything_is() -> None:
    where = Path("/tmp/x/documents"), ["reviews.yaml"], Path("/tmp/x"), "http://127.0.0.1:8090/#token=t"
    text = greeting(LabSettings(), choose_layout("none"), *where)
    for part in (
        "http://127.0.0.1:8090/#token=t",
        "http://127.0.0.1:8080/productpage",
        "/tmp/x/documents/reviews.yaml",
        "as you left them: reviews.yaml",
        "pyproxy certs show --certs /tmp/x/certs",
        "/tmp/x/logs",
    ):
        assert part in text
