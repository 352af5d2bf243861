"""`pyproxy lab scenario`, `check`, `reset`, `status`, `report` and `down`: orders to a lab that runs elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

LIST = "list"


def order_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which lab, and how to answer."""
    output = click.option(
        "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to answer."
    )
    where = click.option(
        "--dir",
        "folder",
        envvar="PYPROXY_LAB_DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="The folder of the lab's documents, where several labs run.",
    )
    return where(output(command))


def _names(context: click.Context, argument: click.Parameter, incomplete: str) -> list[str]:
    """For a shell: the scenarios whose names begin so."""
    from pyproxy.lab.scenarios import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def _ask(folder: Path | None, order: str, **arguments: Any) -> dict[str, Any]:
    """The lab's answer. Raises CommandError."""
    from pyproxy.lab.orders import give
    from pyproxy.lab.running import find_lab

    context = click.get_current_context()
    parent = context.parent.obj if context.parent is not None and isinstance(context.parent.obj, Path) else None
    return give(find_lab(folder or parent), order, **arguments)


def _answer(answer: Any, output: str, as_text: Callable[[Any], str]) -> None:
    click.echo(json.dumps(answer, indent=2) if output == "json" else as_text(answer))


@click.command()
@click.argument("name", metavar="[list|NAME]", default=LIST, shell_complete=_names)
@click.argument("step", type=click.IntRange(1), default=1)
@order_options
def scenario(name: str, step: int, folder: Path | None, output: str) -> None:
    """List the lessons, or begin one: its documents, its load, its faults. STEP goes to a later step of it.

    \b
    Example:
      pyproxy lab scenario list
      pyproxy lab scenario canary
      pyproxy lab scenario canary 2
    """
    from pyproxy.lab import answers
    from pyproxy.lab.scenarios import NAMES, find_scenario

    if name == LIST:
        _answer(answers.listing([find_scenario(each) for each in NAMES]), output, answers.listing_text)
        return
    find_scenario(name)  # a wrong name is told before a lab is looked for
    _answer(_ask(folder, "scenario", name=name, step=step), output, answers.begun_text)


@click.command()
@click.argument("name", default="", shell_complete=_names)
@click.option("--answer", default="", help="Your answer, where the scenario asks for one.")
@order_options
def check(name: str, answer: str, folder: Path | None, output: str) -> None:
    """Measure, and compare with what the step in force should show. Exit code 0 when it holds, 1 when it does not.

    \b
    Example:
      pyproxy lab check canary
    """
    from pyproxy.lab import answers

    found = _ask(folder, "check", name=name, answer=answer)
    _answer(found, output, answers.checked_text)
    sys.exit(0 if found["ok"] else 1)


@click.command()
@order_options
def status(folder: Path | None, output: str) -> None:
    """Where the lab is, which scenario runs, and how far it has been measured.

    \b
    Example:
      pyproxy lab status
    """
    from pyproxy.lab import answers

    _answer(_ask(folder, "status"), output, answers.status_text)


@click.command()
@order_options
def reset(folder: Path | None, output: str) -> None:
    """Everything as before the scenario: your documents, no faults, no load, nobody ejected, counters at nothing.

    \b
    Example:
      pyproxy lab reset
    """
    from pyproxy.lab import answers

    _answer(_ask(folder, "reset"), output, answers.reset_text)


@click.command()
@order_options
def report(folder: Path | None, output: str) -> None:
    """Write what the last scenario showed as HTML and CSV, in `reports` among the documents.

    \b
    Example:
      pyproxy lab report
    """
    from pyproxy.lab import answers

    _answer(_ask(folder, "report"), output, answers.report_text)


@click.command()
@order_options
def down(folder: Path | None, output: str) -> None:
    """End a lab, as Ctrl-C in its terminal does; your documents are put back first.

    \b
    Example:
      pyproxy lab down
    """
    from pyproxy.lab import answers

    _answer(_ask(folder, "down"), output, answers.down_text)


ORDERS = (scenario, check, status, reset, report, down)
"""In the order in which a student meets them."""
