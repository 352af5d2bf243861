"""Two runs of locust beside each other: what --csv wrote, as a table of differences, or as JSON.

python3 examples/locust/compare.py before after
python3 examples/locust/compare.py --output json before after

`before` and `after` are what was given to --csv. Exit status 2 when there is nothing to compare.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = {
    "requests": "Request Count",
    "per second": "Requests/s",
    "mean ms": "Average Response Time",
    "p50 ms": "50%",
    "p95 ms": "95%",
    "p99 ms": "99%",
    "max ms": "Max Response Time",
}
"""Ours → locust's. `failed %` is reckoned from two of its columns."""
Run = dict[str, dict[str, float | None]]
"""Name of a request → its numbers; None where there was nothing to measure."""


def read(prefix: str) -> Run:
    """What one run counted. Raises OSError and ValueError."""
    path = Path(f"{prefix}_stats.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} has no rows: was the run ended before its first request?")
    try:
        return {row["Name"]: _numbers(row) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what locust --csv writes: {error}") from error


def _numbers(row: dict[str, str]) -> dict[str, float | None]:
    count, failed = float(row["Request Count"]), float(row["Failure Count"])
    numbers = {ours: _number(row[theirs]) for ours, theirs in COLUMNS.items()}
    return {**numbers, "failed %": 100 * failed / count if count else None}


def _number(text: str) -> float | None:
    return None if text in ("", "N/A") else float(text)


def compare(before: Run, after: Run) -> list[dict[str, Any]]:
    """One object for each name and measure: both values, the difference, and the change in percent of the first."""
    return [
        {"name": name, "measure": measure, **_difference(before.get(name, {}), after.get(name, {}), measure)}
        for name in dict.fromkeys((*before, *after))
        for measure in (*COLUMNS, "failed %")
    ]


def _difference(
    before: dict[str, float | None], after: dict[str, float | None], measure: str
) -> dict[str, float | None]:
    first, second = before.get(measure), after.get(measure)
    difference = None if first is None or second is None else second - first
    percent = 100 * difference / first if difference is not None and first else None
    return {"before": first, "after": second, "difference": difference, "percent": percent}


def table(rows: list[dict[str, Any]], names: tuple[str, str]) -> str:
    """For people."""
    lines = [f"{'':12}{names[0][-14:]:>14}{names[1][-14:]:>14}{'difference':>14}{'change':>10}"]
    shown = ""
    for row in rows:
        if row["name"] != shown:
            shown = row["name"]
            lines.append(f"\n{shown}")
        values = "".join(f"{_text(row[key]):>14}" for key in ("before", "after"))
        change = "" if row["percent"] is None else f"{row['percent']:+.0f} %"
        lines.append(f"  {row['measure']:10}{values}{_text(row['difference'], sign='+'):>14}{change:>10}".rstrip())
    return "\n".join(lines)


def _text(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.0f}" if value == int(value) else f"{value:{sign}.1f}"


def main(arguments: list[str] | None = None) -> int:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    try:
        rows = compare(read(options.before), read(options.after))
    except (OSError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    print(json.dumps(rows, indent=2) if options.output == "json" else table(rows, (options.before, options.after)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
