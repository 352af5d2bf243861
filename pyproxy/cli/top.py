"""`pyproxy top`: the clusters of running proxies, live: rates, errors, latencies, ejections, open breakers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pyproxy.cli.admin_client import ADMIN, get, get_json
from pyproxy.core.errors import CommandError

if TYPE_CHECKING:
    from rich.table import Table

    from pyproxy.cli.top_rows import Reading, TopRow

Admin = tuple[str, int]
_STYLES = ((0.05, "red"), (0.0, "yellow"))


@click.command()
@click.option(
    "--admin",
    "admins",
    type=ADMIN,
    multiple=True,
    envvar="PYPROXY_ADMIN",
    default=("127.0.0.1:15000",),
    show_default=True,
    help="Admin port of a running proxy. Repeatable.",
)
@click.option(
    "--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds between readings."
)
@click.option("--once", is_flag=True, help="One interval, then end.")
@click.option("--all", "everything", is_flag=True, help="Clusters without any traffic too.")
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How.")
def top(admins: tuple[Admin, ...], interval: float, once: bool, everything: bool, output: str) -> None:
    """Show what the clusters of running proxies do: rate, errors, p50 and p99, retries, overflows,
    ejected hosts, open breakers. --output json prints a line, which is a list of rows, for each interval. Ctrl-C ends.

    \b
    Example:
      pyproxy top --admin 127.0.0.1:15000 --admin 127.0.1.2:15000
      pyproxy top --once --output json
    """
    watch = Watch(admins, everything=everything)
    try:
        if output == "json" or once:
            show = _print_json if output == "json" else _print_table
            while True:
                time.sleep(interval)
                show(watch.look())
                if once:
                    return
        else:
            _live(watch, interval)
    except KeyboardInterrupt:
        return


class Watch:
    """Reads proxies again and again; each look tells what happened since the one before."""

    def __init__(
        self, admins: tuple[Admin, ...], *, everything: bool, now: Callable[[], float] = time.perf_counter
    ) -> None:
        """Raises CommandError when one of them does not answer."""
        self.silent: list[str] = []
        """Proxies that did not answer at the last look."""
        self._now = now
        self._everything = everything
        self._last = {admin: self._read(admin) for admin in admins}
        self._names = {admin: _name(admin) for admin in admins}

    def look(self) -> list[TopRow]:
        """The rows since the last look, the busiest first. Raises CommandError when nobody answers."""
        from pyproxy.cli.top_rows import busiest, rows_between

        rows: list[TopRow] = []
        self.silent = []
        reason: CommandError | None = None
        for admin, before in self._last.items():
            try:
                after = self._read(admin)
            except CommandError as error:
                reason = error
                self.silent.append(self._names[admin])
                continue
            rows += rows_between(self._names[admin], before, after)
            self._last[admin] = after
        if reason is not None and len(self.silent) == len(self._last):
            raise reason
        return busiest(rows, everything=self._everything)

    def _read(self, admin: Admin) -> Reading:
        from pyproxy.cli.top_rows import DURATIONS, STATS, parse_reading

        stats = get_json(admin, STATS)
        return parse_reading(self._now(), stats, get(admin, DURATIONS).decode())


def _name(admin: Admin) -> str:
    """The workload's name out of the node's id, `sidecar~ADDRESS~NAME.NAMESPACE~...`; else the address."""
    parts = str(get_json(admin, "/server_info").get("node", {}).get("id", "")).split("~")
    name = parts[2] if len(parts) > 2 else ""
    return name if name and not name.startswith(".") else f"{admin[0]}:{admin[1]}"


def _print_json(rows: list[TopRow]) -> None:
    click.echo(json.dumps([asdict(row) for row in rows]))


def _print_table(rows: list[TopRow]) -> None:
    from pyproxy.cli.dump_tables import table
    from pyproxy.cli.top_rows import COLUMNS, cells

    click.echo(table(COLUMNS, [cells(row) for row in rows]))


def _live(watch: Watch, interval: float) -> None:
    from rich.live import Live

    with Live(drawn([], ["reading"]), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            rows = watch.look()
            live.update(drawn(rows, [f"no answer from {name}" for name in watch.silent]), refresh=True)


def drawn(rows: list[TopRow], notes: list[str]) -> Table:
    """The rows as rich draws them: what fails is red, what is full or ejected is marked."""
    from rich.table import Table

    from pyproxy.cli.top_rows import COLUMNS, cells

    found = Table(*COLUMNS, expand=True, caption="; ".join([*notes, "Ctrl-C ends"]))
    for column in found.columns[2:10]:
        column.justify = "right"
    for row in rows:
        style = next((style for share, style in _STYLES if row.error_share > share), "")
        found.add_row(*cells(row), style=style or ("magenta" if row.ejected or row.open_breakers else ""))
    return found
