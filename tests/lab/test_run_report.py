import csv
from pathlib import Path

import pytest

from pyproxy.core.errors import CommandError
from pyproxy.lab.director import Event, Run
from pyproxy.lab.run_report import edges_of, events_of, fingerprint_of, make_report, render_html
from pyproxy.lab.samples import Samples, parse_samples
from pyproxy.lab.scenario import Finding, Scenario, Step


def series(reporter: str, code: str, flag: str, count: int) -> str:
    return (
        f'istio_requests_total{{reporter="{reporter}",source_workload="a-v1",destination_workload="b-v1",'
        f'destination_service_name="b.default.svc.cluster.local",response_code="{code}",'
        f'response_flags="{flag}"}} {count}'
    )


SAMPLES = Samples(
    parse_samples(
        "a-v1",
        "\n".join(
            (
                series("source", "200", "-", 90),
                series("source", "503", "UO", 6),
                series("source", "0", "DC", 2),
                series("source", "403", "-", 2),
                series("destination", "200", "-", 95),
            )
        ),
    )
)
SCENARIO = Scenario("lesson", "A <lesson>", "teaches", "what?", "so", (Step("one", ()),))
LOG = """\
2026-01-31T12:00:01.000Z  info    pyproxy.config  took up the documents: version abc
2026-01-31T12:00:02.000Z  info    pyproxy.outlier  {"action":"EJECT","upstream_url":"127.0.1.5:9080","cluster_name":"outbound|9080||b"}
2026-01-31T12:00:02.500Z  info    pyproxy  ready
2026-01-31T12:00:03.000Z  info    pyproxy.outlier  not JSON
"""  # noqa: E501
NOON = 1769860800.0


def run_at(began: float) -> Run:
    run = Run(SCENARIO, began, Samples(), {})
    run.events.append(Event(began + 0.5, "step 1: one"))
    run.findings[1] = [Finding("answered", 0.9, 0.8, 1, "%", True, ""), Finding("flags", None, 1, 1, "", False, "x")]
    return run


def test_an_edge_has_what_both_sides_counted() -> None:
    (edge,) = edges_of(SAMPLES)
    assert (edge.source, edge.service, edge.target) == ("a-v1", "b", "b-v1")
    assert (edge.requests, edge.arrived, edge.errors, edge.refused) == (100, 95, 8, 2)
    assert edge.flags == "DC:2 UO:6"


def test_events_are_those_of_the_scenario_and_of_the_proxies_in_order() -> None:
    events = events_of(run_at(NOON + 0.9), {"a-v1": LOG})
    assert [event.what for event in events] == [
        "a-v1: took up the documents: version abc",
        "step 1: one",
        "a-v1: ejects 127.0.1.5:9080 of outbound|9080||b",
        "a-v1: not JSON",
    ]
    assert events_of(run_at(NOON + 60), {"a-v1": LOG})[0].what == "step 1: one"


def test_the_page_escapes_and_marks_by_sign_and_colour() -> None:
    page = render_html(run_at(NOON), edges_of(SAMPLES), [Event(NOON, "<script>")], 7, "abc")
    assert "A &lt;lesson&gt;" in page and "<lesson>" not in page
    assert "&lt;script&gt;" in page and "<script>" not in page
    assert '<td class="ok">holds</td>' in page and '<td class="no">does not hold</td>' in page
    assert "seed 7" in page


class FakeDirector:
    def __init__(self, run: Run | None) -> None:
        self.run = run

    async def samples(self) -> tuple[Samples, dict[str, str]]:
        return SAMPLES, {"a-v1": LOG, "=b": LOG}


async def test_the_files_are_written_among_the_documents(tmp_path: Path) -> None:
    answer = await make_report(FakeDirector(run_at(NOON)), tmp_path, 1)  # type: ignore[arg-type]
    assert all(Path(answer[kind]).parent == tmp_path / "reports" for kind in ("html", "edges", "events"))
    rows = list(csv.DictReader(Path(answer["edges"]).read_text().splitlines()))
    assert [(row["source"], row["requests"], row["errors"]) for row in rows] == [("a-v1", "100", "8")]
    events = [row["event"] for row in csv.DictReader(Path(answer["events"]).read_text().splitlines())]
    assert "'=b: not JSON" in events, "a spreadsheet must not take it for a formula"


async def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no scenario has run yet"):
        await make_report(FakeDirector(None), tmp_path, 1)  # type: ignore[arg-type]


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(CommandError, match="cannot write the report"):
        await make_report(FakeDirector(run_at(NOON)), tmp_path, 1)  # type: ignore[arg-type]


def test_the_fingerprint_is_of_the_rules(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a")
    first = fingerprint_of(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert fingerprint_of(tmp_path) == first
    (tmp_path / "a.yaml").write_text("b")
    assert fingerprint_of(tmp_path) != first
