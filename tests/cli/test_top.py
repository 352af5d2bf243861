from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from pyproxy.cli.top import Watch, drawn, top
from pyproxy.cli.top_rows import TopRow
from pyproxy.core.errors import CommandError
from tests.analysis.conftest import REVIEWS
from tests.pyproxy_process import PyproxyProcess

ROW = TopRow("web", "outbound|80||a", 10.0, 0.5, 1.0, 2.0, 0, 0.0, 0.0, 2, 1, ("requests",), True)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    folder: Path = tmp_path_factory.mktemp("proxy")
    proxy = PyproxyProcess(folder / "run", REVIEWS, "--labels", "app=web")
    yield "127.0.0.1", proxy.ports["admin"]
    proxy.close()


@pytest.mark.integration
def test_once_as_json_is_a_list_of_rows(admin: tuple[str, int]) -> None:
    words = ["--admin", f"{admin[0]}:{admin[1]}", "--once", "--all", "--interval", "0.1"]
    rows = json.loads(CliRunner().invoke(top, [*words, "--output", "json"]).output)
    assert "outbound|9080||reviews.default.svc.cluster.local" in {row["cluster"] for row in rows}
    assert rows[0]["requests_per_second"] == 0.0
    assert CliRunner().invoke(top, words).output.startswith("PROXY")


@pytest.mark.integration
def test_a_proxy_that_falls_silent_is_told_and_the_others_go_on(admin: tuple[str, int]) -> None:
    watch = Watch((admin,), everything=True)
    watch._last["127.0.0.1", 1] = watch._last[admin]
    watch._names["127.0.0.1", 1] = "gone"
    assert watch.look()
    assert watch.silent == ["gone"]


def test_nobody_there_is_an_error() -> None:
    result = CliRunner().invoke(top, ["--admin", "1", "--once"])
    assert isinstance(result.exception, CommandError)


def test_the_live_table_shows_what_fails() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(drawn([ROW], ["no answer from gone"]))
    text = console.export_text()
    assert "outbound|80||a" in text and "50.0 %" in text and "no answer from gone; Ctrl-C ends" in text
