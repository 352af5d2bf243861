"""The command line as a whole: help that tells where to begin, errors that tell what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from pyproxy import __main__, __version__
from pyproxy.__main__ import cli, main
from pyproxy.core.errors import CommandError


def pyproxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pyproxy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command_with_a_line() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for name, (_, _, text) in __main__._COMMANDS.items():
        assert name in output
        assert text in output
    assert "pyproxy lab" in output


def test_help_loads_no_command() -> None:
    code = (
        "import sys; sys.argv = ['pyproxy', '--help']; from pyproxy.__main__ import cli; cli(standalone_mode=False); "
    )
    check = "print([name for name in sys.modules if name.startswith(('pyproxy.cli.', 'pyproxy.app', 'pydantic'))])"
    done = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", __main__._COMMANDS)
def test_every_command_has_help_for_itself_and_each_option(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option) and option.name not in ("output", "log_level", "log_format"):
            assert option.help, option.name


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be called, with its words."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            assert found is not None
            yield from leaves(found, f"{name} {word}")


@pytest.mark.parametrize("name", __main__._COMMANDS)
def test_every_command_shows_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert [words for words, each in leaves(command, name) if "Example" not in (each.help or "")] == []


@pytest.mark.parametrize("name", __main__._COMMANDS)
def test_every_command_has_an_output_for_programs(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    without = [
        words
        for words, each in leaves(command, name)
        if not (isinstance(each, click.Group) and not each.invoke_without_command)
        and not any(
            "--output" in option.opts and isinstance(option.type, click.Choice) and "json" in option.type.choices
            for option in each.params
        )
    ]
    assert without == []


def test_an_unknown_command_is_usage() -> None:
    done = pyproxy("fly")
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr
    assert "pyproxy --help" in done.stderr


def test_the_version() -> None:
    assert __version__ in pyproxy("--version").stdout


def test_an_error_of_a_command_is_one_message_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise CommandError("this is wrong; do that", exit_code=7)

    monkeypatch.setattr(__main__, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 7
    assert capsys.readouterr().err == "pyproxy: this is wrong; do that\n"
