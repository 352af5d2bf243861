"""`pyproxy analyze`: Istio's documents against each other: what leads nowhere, clashes, or cannot do what is hoped."""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import click

from pyproxy.istio.problems import Problem, Severity

_SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to report.")
@click.option(
    "--suppress",
    "-S",
    metavar="CODE[=RESOURCE]",
    multiple=True,
    help="Leave a code out, everywhere or for resources such as VirtualService/default/*. Repeatable.",
)
@click.option(
    "--failure-threshold",
    type=click.Choice(_SEVERITIES),
    default="error",
    show_default=True,
    help="The least severity that makes the exit code 1.",
)
@click.option(
    "--certs", default="certs", show_default=True, help="Folder of certificates, for credentials of gateways."
)
def analyze(
    paths: tuple[Path, ...], output: str, suppress: tuple[str, ...], failure_threshold: Severity, certs: str
) -> None:
    """Check documents alone, as validate does, and then together: names that lead nowhere, subsets without endpoints,
    rules that hide or fight each other, retries that multiply. docs/analysis.md explains every code.

    Exit code 0 when nothing is an error (or what --failure-threshold says), 1 when something is, 2 for bad usage.

    \b
    Example:
      pyproxy analyze config/
      pyproxy analyze config/ --suppress IST0118 --suppress 'PYP0104=VirtualService/default/*'
    """
    from pyproxy.analysis.problems import problems_of
    from pyproxy.cli.validate import as_json, as_text, summary
    from pyproxy.istio.files import find_files

    problems = [problem for problem in problems_of(paths, certs) if not _is_suppressed(problem, suppress)]
    if output == "json":
        click.echo(json.dumps([as_json(problem) for problem in problems], indent=2))
    else:
        for problem in problems:
            click.echo(as_text(problem))
        click.echo(summary(problems, "no problems" if any(find_files(paths)) else "no documents found"))
    failing = _SEVERITIES[: _SEVERITIES.index(failure_threshold) + 1]
    sys.exit(1 if any(problem.severity in failing for problem in problems) else 0)


def _is_suppressed(problem: Problem, patterns: tuple[str, ...]) -> bool:
    for pattern in patterns:
        code, _, resource = pattern.partition("=")
        if problem.code == code and (not resource or fnmatchcase(problem.resource, resource)):
            return True
    return False
