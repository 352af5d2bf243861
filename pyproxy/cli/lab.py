"""`pyproxy lab`: a whole small mesh on this machine, until Ctrl-C; and what gives it orders from another terminal."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from pyproxy.cli.lab_orders import ORDERS


@click.group(invoke_without_command=True)
@click.option(
    "--dir",
    "folder",
    envvar="PYPROXY_LAB_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the documents go and stay; a temporary folder if not given.",
)
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="Stop by itself after so many seconds.")
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds between two reports."
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, max=1000),
    default=20.0,
    show_default=True,
    help="Visits to the page a second.",
)
@click.option("--no-traffic", is_flag=True, help="Send nothing: bring your own traffic.")
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="Of all chance: who comes when, who is served by whom, who fails.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Of the page, on 127.0.0.1."
)
@click.option(
    "--console-port",
    type=click.IntRange(1, 65535),
    help="Of the console, on 127.0.0.1; ten above the page's if not given.",
)
@click.option(
    "--subnet",
    default="127.0.1",
    show_default=True,
    help="Loopback addresses of the services; `none`: all on 127.0.0.1, ports of their own.",
)
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object per interval, on standard output.",
)
@click.pass_context
def lab(
    context: click.Context,
    folder: Path | None,
    duration: float | None,
    interval: float,
    rate: float,
    no_traffic: bool,
    seed: int,
    port: int,
    console_port: int | None,
    subnet: str,
    output: str,
) -> None:
    """A whole small mesh on this machine, to look at and to play with.

    A bookshop (productpage, details, three versions of reviews, ratings), a sidecar beside each, a gateway, visitors,
    a console for the browser, and a table of who is served by what. Edit the documents that it names and watch.
    Ctrl-C leaves nothing behind.

    The commands below act on a lab that runs in another terminal: lessons, each with a question, a load and a check.

    \b
    Example:
      pyproxy lab --dir ~/bookshop
      pyproxy lab scenario canary        in another terminal
      pyproxy lab check canary
      pyproxy lab reset
    """
    if context.invoked_subcommand is not None:
        context.obj = folder
        return
    from pyproxy.lab.mesh import LabSettings, run_lab
    from pyproxy.lab.views import choose_view

    settings = LabSettings(folder, duration, interval, 0.0 if no_traffic else rate, seed, port, subnet, console_port)
    asyncio.run(run_lab(settings, choose_view(output)))


for order in ORDERS:
    lab.add_command(order)
