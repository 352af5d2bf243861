"""`pyproxy validate`: checks Istio's documents, each alone, and says what is wrong with every one of them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from pyproxy.istio.files import SUFFIXES, find_files
from pyproxy.istio.loader import Loaded, load
from pyproxy.istio.problems import Problem, Severity

_COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}
_NOUNS: dict[Severity, tuple[str, str]] = {
    "error": ("error", "errors"),
    "warning": ("warning", "warnings"),
    "info": ("notice", "notices"),
}


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to report.")
def validate(paths: tuple[Path, ...], output: str) -> None:
    """Check files, and folders with everything below them: schema and Istio's own rules, each document alone.

    Exit code 0 when every document is valid (warnings and notices allowed), 1 when any is not, 2 for bad usage.

    \b
    Example:
      pyproxy validate config/
    """
    loaded = load(paths)
    if output == "json":
        click.echo(json.dumps([as_json(problem) for problem in loaded.problems], indent=2))
    else:
        for problem in loaded.problems:
            click.echo(as_text(problem))
        click.echo(_summary(loaded))
        if not any(find_files(paths)):
            click.echo(f"A folder is searched for {', '.join('*' + suffix for suffix in SUFFIXES)}.")
    sys.exit(0 if loaded.ok else 1)


def as_json(problem: Problem) -> dict[str, str | int]:
    """A problem as `--output json` lists it."""
    return {
        "severity": problem.severity,
        "code": problem.code,
        "file": str(problem.file),
        "line": problem.line,
        "column": problem.column,
        "resource": problem.resource,
        "path": problem.path,
        "message": problem.message,
    }


def as_text(problem: Problem) -> str:
    """A problem as one line for people."""
    severity = click.style(problem.severity, fg=_COLOURS[problem.severity], bold=True)
    return f"{severity}: {problem} [{problem.code}]"


def summary(problems: Sequence[Problem], nothing: str) -> str:
    """How many problems of each severity there are; `nothing` when there are none."""
    return ", ".join(_counts(problems)) or click.style(nothing, fg="green", bold=True)


def _summary(loaded: Loaded) -> str:
    documents = len(loaded.documents)
    if not documents and not loaded.problems:
        return click.style("no documents found", fg="yellow", bold=True)
    verdict = (
        click.style("valid", fg="green", bold=True) if loaded.ok else click.style("not valid", fg="red", bold=True)
    )
    usable = f"{documents} usable document{'' if documents == 1 else 's'}"
    return f"{verdict}: {', '.join([usable, *_counts(loaded.problems)])}"


def _counts(problems: Sequence[Problem]) -> list[str]:
    counts = Counter(problem.severity for problem in problems)
    return [
        f"{counts[severity]} {nouns[counts[severity] != 1]}" for severity, nouns in _NOUNS.items() if counts[severity]
    ]
