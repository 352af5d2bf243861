"""`pyproxy console`: one live page of any running set of proxies, until Ctrl-C."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import signal
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyproxy.cli.admin_client import ADMIN
from pyproxy.cli.process import PORT, set_up_logging

if TYPE_CHECKING:
    from pyproxy.console.console import ConsoleSettings

Admin = tuple[str, int]


@click.command()
@click.option(
    "--admin",
    "admins",
    multiple=True,
    type=ADMIN,
    envvar="PYPROXY_ADMIN",
    default=("127.0.0.1:15000",),
    show_default=True,
    help="Admin port of a running proxy. Repeatable; more of them may follow at the end.",
)
@click.argument("more", metavar="[HOST:PORT]...", nargs=-1, type=ADMIN)
@click.option(
    "--config",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="File or folder of the proxies' documents, to be edited on the page. Repeatable.",
)
@click.option(
    "--logs",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="File with a proxy's access log, or folder of *.log, to find requests in. Repeatable.",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Where the page is served; loopback is safe.")
@click.option("--port", type=PORT, default=8090, show_default=True, help="Of the page; 0: any free one.")
@click.option(
    "--interval", type=click.FloatRange(0.25, 60), default=0.5, show_default=True, help="Seconds between two looks."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to say where the page is; json: one line.",
)
def console(
    admins: tuple[Admin, ...],
    more: tuple[Admin, ...],
    config: tuple[Path, ...],
    logs: tuple[Path, ...],
    address: str,
    port: int,
    interval: float,
    open_page: bool,
    output: str,
) -> None:
    """A live page of running proxies: who calls whom, how fast, what is ejected, which breaker is full.

    It asks their admin ports twice a second, and keeps fifteen minutes. The address that it prints has a token: who
    has it may change the documents of --config on the page; everybody else may look.

    \b
    Example:
      pyproxy console --admin 127.0.1.1:15000 127.0.1.2:15000 --config ~/bookshop
    """
    from pyproxy.console.console import ConsoleSettings

    set_up_logging("info", "text")
    addresses = [f"[{host}]:{number}" if ":" in host else f"{host}:{number}" for host, number in (*admins, *more)]
    settings = ConsoleSettings(addresses, config, logs, interval)
    try:
        asyncio.run(_serve(settings, address, port, open_page=open_page, output=output))
    except KeyboardInterrupt:
        click.echo()


async def _serve(settings: ConsoleSettings, address: str, port: int, *, open_page: bool, output: str) -> None:
    from pyproxy.console.console import Console
    from pyproxy.console.server import Server

    told = _told_to_end()  # before anybody can know that it runs
    async with Console(settings) as running:
        server = Server(running, address, port)
        await server.start()
        try:
            poller = running.poller
            if output == "json":
                where = {"url": server.url, "proxies": poller.addresses, "silent": poller.errors}
                click.echo(json.dumps(where))  # flushes
            else:
                click.echo(f"console  {server.url}")
                click.echo(f"         {len(poller.addresses)} proxies; Ctrl-C ends it")
            if not _is_loopback(address):
                click.echo(
                    "         whoever reaches this address can look; only who has the token can change", err=True
                )
            for silent, why in poller.errors.items():
                click.echo(f"         {silent}: {why}", err=True)
            if open_page:
                webbrowser.open(server.url)
            await told.wait()
        finally:
            await server.stop()
    if output == "text":
        click.echo()


def _told_to_end() -> asyncio.Event:
    """By Ctrl-C or SIGTERM, also where a shell lets its background programs ignore the first."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
