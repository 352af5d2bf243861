"""`pyproxy test`: route tests in istio-config-validator's format, against the documents, without a proxy."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyproxy.cli.describe import DOCUMENTS
from pyproxy.cli.flags import options

if TYPE_CHECKING:
    from pyproxy.analysis.route_tests import Placed, Tried


@click.command()
@click.argument("tests", metavar="TESTS...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@options(DOCUMENTS)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to report.")
def test(tests: tuple[Path, ...], config: tuple[Path, ...], output: str) -> None:
    """Check where requests would be routed: test cases in the format of istio-config-validator, each with requests and
    the route, rewrite, redirect, fault, headers or delegate that they must meet (wantMatch: true) or must not.

    Exit code 0 when all pass, 1 when any fails, 2 for bad usage.

    \b
    Example:
      pyproxy test --config config tests/routes.yaml
    """
    from pyproxy.analysis.route_tests import Rules, read_tests
    from pyproxy.cli.validate import as_text
    from pyproxy.istio.loader import load

    loaded = load(config)
    cases, problems = read_tests(tests)
    errors = [problem for problem in (*loaded.problems, *problems) if problem.severity == "error"]
    if errors:
        for problem in errors:
            click.echo(as_text(problem), err=True)
        sys.exit(1)
    rules = Rules(loaded.documents)
    results = [(case, list(rules.run(case.test))) for case in cases]
    if output == "json":
        click.echo(json.dumps([_as_json(case, tried) for case, tried in results], indent=2))
    else:
        _print(results)
    sys.exit(0 if all(each.passed for _, tried in results for each in tried) else 1)


def _as_json(case: Placed, tried: list[Tried]) -> dict[str, object]:
    return {
        "description": case.test.description or "",
        "file": str(case.file),
        "line": case.line,
        "passed": all(each.passed for each in tried),
        "requests": [{"passed": each.passed, **asdict(each)} for each in tried],
    }


def _print(results: list[tuple[Placed, list[Tried]]]) -> None:
    failed = requests = 0
    for case, tried in results:
        wrong = [each for each in tried if not each.passed]
        failed += bool(wrong)
        requests += len(tried)
        mark = click.style("FAIL", fg="red", bold=True) if wrong else click.style("PASS", fg="green")
        click.echo(f"{mark} {case.test.description or 'no description'} ({case.file}:{case.line})")
        for each in wrong:
            click.echo(f"  {each.method} {each.authority}{each.uri} met {each.rule or 'no rule'}")
            for difference in each.differences:
                click.echo("\n".join(f"    {line}" for line in difference.diff.splitlines()))
    passed = len(results) - failed
    verdict = click.style(f"{failed} failed", fg="red", bold=True) if failed else click.style("passed", fg="green")
    click.echo(f"{verdict}: {passed} of {len(results)} tests pass, {requests} requests")
