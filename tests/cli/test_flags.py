from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from pyproxy.cli.flags import flag, options


@click.command()
@options(flag("--first-thing", default="a", help="One."), flag("--second", default="", help="Two."))
def command(first_thing: str, second: str) -> None:
    click.echo(f"{first_thing} {second}".strip())


def test_help_shows_them_in_order_with_the_defaults_that_say_something() -> None:
    lines = CliRunner().invoke(command, ["--help"]).output.splitlines()
    assert [line.strip() for line in lines if "--first" in line or "--second" in line] == [
        "--first-thing TEXT  One.  [default: a]",
        "--second TEXT       Two.",
    ]


def test_each_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYPROXY_FIRST_THING", "b")
    assert CliRunner().invoke(command, []).output == "b\n"
    assert CliRunner().invoke(command, ["--first-thing", "c", "--second", "d"]).output == "c d\n"
