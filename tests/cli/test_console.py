"""The command's flags, and one console as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyproxy.cli.console import console
from pyproxy.console.console import ConsoleSettings


def test_every_admin_port_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[tuple[ConsoleSettings, str, int]] = []

    async def serve(settings: ConsoleSettings, address: str, port: int, *, open_page: bool, output: str) -> None:
        started.append((settings, address, port))

    monkeypatch.setattr("pyproxy.cli.console._serve", serve)
    arguments = f"--admin 127.0.1.1:15000 --admin [::1]:9 127.0.1.2:15000 15001 --config {tmp_path} --port 7"
    assert CliRunner().invoke(console, arguments).exit_code == 0
    proxies = ["127.0.1.1:15000", "[::1]:9", "127.0.1.2:15000", "127.0.0.1:15001"]
    assert started == [(ConsoleSettings(proxies, (tmp_path,), (), 0.5), "127.0.0.1", 7)]


def test_what_is_no_admin_port_is_told_what_one_is() -> None:
    result = CliRunner().invoke(console, ["--admin", "a b"])
    assert result.exit_code == 2
    assert "127.0.0.1:15000" in result.output


def test_help_has_an_example() -> None:
    assert "pyproxy console --admin 127.0.1.1:15000" in CliRunner().invoke(console, ["--help"]).output


@pytest.mark.integration
def test_json_is_one_line_with_the_address_and_who_does_not_answer() -> None:
    flags = ["--admin", "127.0.0.1:1", "--port", "0", "--output", "json"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from pyproxy.cli.console import console; console({flags!r})"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    found = json.loads(process.stdout.readline())
    assert found["url"].startswith("http://127.0.0.1:") and "#token=" in found["url"]
    assert (found["proxies"], found["silent"]) == (["127.0.0.1:1"], {"127.0.0.1:1": "nobody listens there"})
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.integration
def test_it_prints_where_it_is_and_who_does_not_answer_and_ends_quietly() -> None:
    flags = ["--admin", "127.0.0.1:1", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from pyproxy.cli.console import console; console({flags!r})"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    url = process.stdout.readline().split()[1]
    with urllib.request.urlopen(url.partition("#")[0]) as page:
        assert b"pyproxy console" in page.read()
    assert "127.0.0.1:1: nobody listens there" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
