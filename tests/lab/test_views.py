import io
import json

import pytest
from rich.console import Console

from pyproxy.lab.metrics import Edge, Totals
from pyproxy.lab.report import Report, make_rows
from pyproxy.lab.traffic import Tally
from pyproxy.lab.views import JsonView, PlainView, choose_view, render_table, users_text


def report(*notes: str) -> Report:
    tally = Tally(sent=4)
    tally.served.update({("jason", "v2"): 1, ("anonymous", "v1"): 2, ("anonymous", "v3"): 1})
    edges = {
        Edge("productpage-v1", "reviews.default.svc.cluster.local", f"reviews-{version}", version): Totals(*counts)
        for version, counts in {"v1": (500, 0, 500), "v2": (1499, 1, 1650), "v3": (0, 0, 70)}.items()
    }
    rows = make_rows(edges, ["productpage-v1", "reviews-v1", "reviews-v2", "reviews-v3"], 10.0)
    return Report(0.0, 10.0, rows, tally, notes)


def test_the_table_names_who_and_how_much() -> None:
    out = io.StringIO()
    Console(file=out, width=100).print(render_table(report("a note")))
    lines = out.getvalue().splitlines()
    assert any("productpage v1" in line and "reviews v1" in line and "25 %" in line for line in lines)
    assert any("reviews v2" in line and "75 %" in line and "165.0" in line and "99.9 %" in line for line in lines)
    assert "a note" in lines


def test_plain_lines_stand_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    PlainView().show(report())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("productpage v1  -> reviews v" in line for line in lines[:3])


def test_json_goes_alone_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    view.greet("hello")
    view.show(report())
    captured = capsys.readouterr()
    assert captured.err == "hello\n"
    assert json.loads(captured.out)["traffic"]["sent"] == 4


def test_without_a_terminal_there_are_plain_lines() -> None:
    assert isinstance(choose_view("text"), PlainView)
    assert isinstance(choose_view("json"), JsonView)


def test_the_users_are_shown_with_what_they_saw() -> None:
    assert users_text(report().tally) == "anonymous -> v1 67 %, v3 33 % · jason -> v2 100 % · 4 pages, 0 failed"
    assert users_text(Tally()) == "none"
    assert users_text(Tally(sent=1, skipped=2)).endswith("2 not sent: too many are still waiting")
