"""examples/locust/compare.py, with files as locust writes them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "locust"
HEAD = (
    "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,"
    "Max Response Time,Average Content Size,Requests/s,Failures/s,50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%\n"
)
PAGE = "GET,page,{count},{failed},10,12.5,5,90,4,{rate},0.0,10,11,12,13,15,{p95},25,30,90,90,90\n"
NONE = ",Aggregated,0,0,N/A,0.0,0,0,0,0.0,0.0,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A,N/A\n"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"locust_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


compare = module("compare")
shapes = module("shapes")


@pytest.fixture
def runs(tmp_path: Path) -> tuple[str, str]:
    """`after` is slower, fails sometimes, and has a request that `before` has not."""
    before, after = tmp_path / "before", tmp_path / "after"
    Path(f"{before}_stats.csv").write_text(HEAD + PAGE.format(count=200, failed=0, rate=20, p95=20) + NONE)
    more = PAGE.replace("page", "other").format(count=1, failed=0, rate=1, p95=1)
    Path(f"{after}_stats.csv").write_text(HEAD + PAGE.format(count=100, failed=25, rate=10, p95=50) + NONE + more)
    return str(before), str(after)


def test_differences_as_json(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--output", "json", *runs]) == 0
    rows = {(row["name"], row["measure"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows["page", "p95 ms"] == {
        "name": "page",
        "measure": "p95 ms",
        "before": 20,
        "after": 50,
        "difference": 30,
        "percent": 150,
    }
    assert rows["page", "failed %"]["difference"] == 25
    assert rows["page", "failed %"]["percent"] is None  # of nothing
    assert rows["other", "requests"]["before"] is None
    assert rows["Aggregated", "p95 ms"]["difference"] is None


def test_differences_as_a_table(runs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([*runs]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["p95", "ms", "20", "50", "+30", "+150", "%"] in lines
    assert ["per", "second", "20", "10", "-10", "-50", "%"] in lines
    assert ["p99", "ms", "-", "-", "-"] in lines


def test_what_is_no_run_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(tmp_path / "x"), str(tmp_path / "y")]) == 2
    assert "x_stats.csv" in capsys.readouterr().err
    for name, text in (("x", HEAD), ("y", "a,b\n1,2\n")):
        (tmp_path / f"{name}_stats.csv").write_text(text)
        assert compare.main([str(tmp_path / name), str(tmp_path / name)]) == 2
    assert "is not what locust --csv writes" in capsys.readouterr().err


def test_shapes() -> None:
    def levels(shape: str, *seconds: float) -> list[int | None]:
        return [getattr(shapes, shape)(second, 10, 40) for second in seconds]

    assert levels("spike", 0, 9.9, 10, 19.9, 20, 30) == [4, 4, 40, 40, 4, None]
    assert levels("ramp", 0, 15, 29.9, 30) == [1, 20, 40, None]
    assert levels("step", 0, 10, 20, 30, 40) == [10, 20, 30, 40, None]
