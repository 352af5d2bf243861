"""The command's flags, and one console as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

import pytest
from click.testing import CliRunner

from pyproxy.cli.console import AdminPort, console


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.1.1:15000", "127.0.1.1:15000"),
        ("127.0.1.1", "127.0.1.1:15000"),
        ("http://localhost:9/", "localhost:9"),
        ("[::1]:9", "[::1]:9"),
    ],
)
def test_an_admin_port_may_be_given_in_several_ways(given: str, expected: str) -> None:
    assert AdminPort().convert(given, None, None) == expected


@pytest.mark.parametrize("given", ["a b", "host:99999", "https://h/x", ""])
def test_what_is_no_admin_port_is_told_what_one_is(given: str) -> None:
    result = CliRunner().invoke(console, ["--admin", given])
    assert result.exit_code == 2
    assert "127.0.1.1:15000" in result.output


def test_help_has_an_example() -> None:
    assert "pyproxy console --admin 127.0.1.1:15000" in CliRunner().invoke(console, ["--help"]).output


@pytest.mark.integration
def test_it_prints_where_it_is_and_who_does_not_answer_and_ends_quietly() -> None:
    flags = ["--admin", "127.0.0.1:1", "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from pyproxy.cli.console import console; console({flags!r})"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[1]
    with urllib.request.urlopen(url.partition("#")[0]) as page:
        assert b"pyproxy console" in page.read()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "127.0.0.1:1: nobody listens there" in errors
