"""How a report is shown: a live table on a terminal, plain lines elsewhere, one JSON object on a line for programs."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from pyproxy.lab.report import Report, Row
from pyproxy.lab.traffic import Tally

if TYPE_CHECKING:
    from rich.console import RenderableType

BAR = 12
"""Width of the bar that shows a share."""


class View(Protocol):
    """One way to show the lab; a context from the first report to the last."""

    windowed: bool
    """Show the sum of the last seconds, which is steadier to look at, or each interval by itself."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def greet(self, lines: str) -> None:
        """Where things are and what to try, once."""
        ...

    def show(self, report: Report) -> None: ...


def choose_view(output: str) -> View:
    """`json` as asked; else a live table when standard output is a terminal."""
    if output == "json":
        return JsonView()
    return TableView() if sys.stdout.isatty() else PlainView()


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class JsonView(_Quiet):
    """Standard output is for the program that reads it; people's text goes to standard error."""

    windowed = False

    def greet(self, lines: str) -> None:
        print(lines, file=sys.stderr)

    def show(self, report: Report) -> None:
        print(json.dumps(report.as_json()), flush=True)


class PlainView(_Quiet):
    """Lines that a log file or a pipe can keep."""

    windowed = True

    def greet(self, lines: str) -> None:
        print(lines, flush=True)

    def show(self, report: Report) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(report.at))
        for row in report.rows:
            cells = f"{_percent(row.share):>6}  {row.rps:6.1f}/s  arrived {_rate(row.arrived_rps):>6}/s"
            cells += f"  ok {_percent(row.success) if row.requests else '-':>6}"
            times = f"p50 {_ms(row.p50_ms):>8}  p99 {_ms(row.p99_ms):>8}"
            print(f"{clock}  {row.source:<15} -> {row.target:<15} {cells}  {times}")
        print(f"{clock}  users: {users_text(report.tally)}")
        for note in report.notes:
            print(f"{clock}  note: {note}")
        sys.stdout.flush()


class TableView:
    """One table that stays in place; rich is imported here only."""

    windowed = True

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def greet(self, lines: str) -> None:
        self._console.print(lines, markup=False, soft_wrap=True)

    def show(self, report: Report) -> None:
        self._live.update(render_table(report), refresh=True)


def render_table(report: Report) -> RenderableType:
    """The live table, the users' line and the notes."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"who is served by what, last {report.seconds:.0f} s", title_justify="left", box=None)
    for name in ("from", "to"):
        table.add_column(name)
    for name in ("share", "req/s", "arrived/s", "success", "p50", "p99"):
        table.add_column(name, justify="right")
    source = service = ""
    for row in report.rows:
        if source and row.source != source:
            table.add_row()
        style = "dim" if not row.requests and not row.arrived else "bold red" if row.success < 1 else ""
        shown = "" if row.source == source and row.service == service else row.source
        table.add_row(shown, row.target, *_cells(row), style=style)
        source, service = row.source, row.service
    lines = [Text(f"users  {users_text(report.tally)}")]
    lines += [Text(note, style="bold yellow") for note in report.notes]
    return Group(table, Text(), *lines)


def _cells(row: Row) -> tuple[str, ...]:
    bar = "█" * round(BAR * row.share)
    return (
        f"{bar:░<{BAR}} {_percent(row.share):>6}",
        _rate(row.rps),
        _rate(row.arrived_rps),
        _percent(row.success) if row.requests else "-",
        _ms(row.p50_ms),
        _ms(row.p99_ms),
    )


def users_text(tally: Tally) -> str:
    """Who saw which reviews, from the pages themselves: `jason -> v2 100 %`."""
    if not tally.sent:
        return "none"
    parts = []
    for user in sorted({user for user, _ in tally.served}):
        versions = {version: pages for (name, version), pages in sorted(tally.served.items()) if name == user}
        total = sum(versions.values())
        parts.append(f"{user} -> " + ", ".join(f"{name} {_percent(n / total)}" for name, n in versions.items()))
    parts.append(f"{tally.sent} pages, {tally.failed} failed")
    if tally.skipped:
        parts.append(f"{tally.skipped} not sent: too many are still waiting")
    return " · ".join(parts)


def _percent(share: float) -> str:
    """Whole percent, but never 100 % for almost all."""
    percent = math.floor(1000 * share + 1e-6) / 10
    return f"{percent:.1f} %" if 99 < percent < 100 or 0 < share < 0.01 else f"{100 * share:.0f} %"


def _rate(rps: float | None) -> str:
    return "-" if rps is None else f"{rps:.1f}"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"
