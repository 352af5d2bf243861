from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pyproxy.__main__ import cli


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _pyproxy_completion pyproxy"),
        ("zsh", "#compdef pyproxy"),
        ("fish", "complete --no-files --command pyproxy"),
    ],
)
def test_each_shell_has_its_script(shell: str, line: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert line in result.output
    assert "_PYPROXY_COMPLETE" in result.output


def test_json_has_the_script_as_it_is() -> None:
    plain = CliRunner().invoke(cli, ["completion", "bash"]).output
    found = json.loads(CliRunner().invoke(cli, ["completion", "bash", "--output", "json"]).output)
    assert found == {"shell": "bash", "script": plain.removesuffix("\n")}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_takes_its_script() -> None:
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


def complete(*words: str) -> list[str]:
    """What a shell is offered for the last of these words."""
    asked = {"_PYPROXY_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "pyproxy"], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_commands_flags_and_values_are_offered() -> None:
    assert complete("pyproxy", "val") == ["validate"]
    assert complete("pyproxy", "analyze", "--fail") == ["--failure-threshold"]
    assert complete("pyproxy", "pc", "clusters", "--direction", "in") == ["inbound"]
    assert complete("pyproxy", "lab", "sc") == ["scenario"]
    assert complete("pyproxy", "lab", "scenario", "ca") == ["canary"]
    assert complete("pyproxy", "lab", "check", "grey") == ["grey-failure"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_itself_completes(tmp_path: Path) -> None:
    program = tmp_path / "pyproxy"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pyproxy "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(pyproxy completion bash)"; COMP_WORDS=(pyproxy lab scenario can); COMP_CWORD=3; '
        '_pyproxy_completion pyproxy; echo "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "canary"
