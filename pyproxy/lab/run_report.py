"""The report of one run of a scenario, as HTML and as CSV: what each edge carried and how well, checks, events."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from pyproxy.core.errors import CommandError
from pyproxy.lab.director import Director, Event, Run
from pyproxy.lab.samples import HOME, Samples
from pyproxy.lab.scenario import shown

FOLDER = "reports"
"""Among the documents, where it stays when the lab has gone."""
_LOGGED = re.compile(r"^(\S+Z)  \w+ +pyproxy\.(outlier|config)  (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Edge:
    """Who asked whom during the run."""

    source: str
    service: str
    target: str
    requests: int
    arrived: int
    """As the target's proxy has it: retries and mirrors too."""
    errors: int
    """Answered with 5xx, or not at all."""
    refused: int
    """Answered with 4xx."""
    flags: str
    """Response flags and how often, without `-`."""
    p50_ms: float
    p95_ms: float
    p99_ms: float


def edges_of(samples: Samples) -> list[Edge]:
    """Every pair with a request in between, by name."""
    pairs: dict[tuple[str, str, str], dict[str, int]] = {}
    for (name, labels), value in samples.values.items():
        if name != "istio_requests_total" or value <= 0:
            continue
        label = dict(labels)
        key = (
            label["source_workload"],
            label["destination_service_name"].removesuffix(HOME),
            label["destination_workload"],
        )
        counts = pairs.setdefault(key, {})
        if label["reporter"] == "destination":
            _add(counts, "arrived", value)
            continue
        code, flag = label["response_code"], label["response_flags"]
        _add(counts, "requests", value)
        _add(counts, "errors", value if code == "0" or code.startswith("5") else 0)
        _add(counts, "refused", value if code.startswith("4") else 0)
        if flag != "-":
            _add(counts, f"flag {flag}", value)
    return [_edge(samples, key, counts) for key, counts in sorted(pairs.items())]


def _add(counts: dict[str, int], name: str, value: float) -> None:
    counts[name] = counts.get(name, 0) + round(value)


def _edge(samples: Samples, key: tuple[str, str, str], counts: Mapping[str, int]) -> Edge:
    source, service, target = key
    wanted = {"source": re.escape(source), "service": re.escape(service), "target": re.escape(target)}
    flags = " ".join(
        f"{name.removeprefix('flag ')}:{n}" for name, n in sorted(counts.items()) if name.startswith("flag")
    )
    p50, p95, p99 = (round(samples.quantile_ms(share, **wanted), 1) for share in (0.5, 0.95, 0.99))
    requests, arrived, errors, refused = (counts.get(each, 0) for each in ("requests", "arrived", "errors", "refused"))
    return Edge(source, service, target, requests, arrived, errors, refused, flags, p50, p95, p99)


def events_of(run: Run, logs: Mapping[str, str]) -> list[Event]:
    """What the scenario did, and what the proxies logged of it: ejections, returns, documents taken up or refused."""
    found = list(run.events)
    for workload, log in logs.items():
        for stamp, logger, text in _LOGGED.findall(log):
            at = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()
            found.append(Event(at, f"{workload}: {_outlier(text) if logger == 'outlier' else text}"))
    return sorted((event for event in found if event.at >= run.began - 0.01), key=lambda event: event.at)


def _outlier(text: str) -> str:
    try:
        event = json.loads(text)
        does = {"EJECT": "ejects", "UNEJECT": "takes back"}.get(event["action"], event["action"])
        return f"{does} {event['upstream_url']} of {event['cluster_name']}"
    except (ValueError, LookupError, TypeError):
        return text


async def make_report(director: Director, documents: Path, seed: int) -> dict[str, Any]:
    """Write the files. Returns where they are. Raises CommandError when no scenario has run."""
    run = director.run
    if run is None:
        raise CommandError("no scenario has run yet. Start one first: pyproxy lab scenario list")
    samples, logs = await director.samples()
    edges, events = edges_of(samples), events_of(run, logs)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(run.began))
    folder = documents / FOLDER
    name = f"{stamp}-{run.scenario.name}"
    files = {
        "html": (folder / f"{name}.html", render_html(run, edges, events, seed, fingerprint_of(documents))),
        "edges": (folder / f"{name}-edges.csv", _csv([each.name for each in fields(Edge)], map(astuple, edges))),
        "events": (
            folder / f"{name}-events.csv",
            _csv(["seconds", "event"], ((round(event.at - run.began, 2), event.what) for event in events)),
        ),
    }
    try:
        folder.mkdir(exist_ok=True)
        for path, text in files.values():
            path.write_text(text, "utf-8")
    except OSError as error:
        raise CommandError(f"cannot write the report to {folder}: {error.strerror}") from error
    return {"scenario": run.scenario.name, **{kind: str(path) for kind, (path, _) in files.items()}}


def fingerprint_of(documents: Path) -> str:
    """A hash of the rules as they are now, so that two reports can be told to be of the same."""
    digest = hashlib.sha256()
    for path in sorted(documents.glob("*.yaml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _csv(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: object) -> object:
    """A spreadsheet takes a text that begins so for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
 body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #22252b; }}
 table {{ border-collapse: collapse; margin: .5rem 0 1.5rem; width: 100%; }}
 th, td {{ border-bottom: 1px solid #dcdad2; padding: .25rem .6rem; text-align: left; }}
 td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
 .ok::before {{ content: "✓ "; color: #1b7a3d; }}  .no::before {{ content: "✗ "; color: #b3261e; }}
 blockquote {{ border-left: 3px solid #cfd6dd; margin: 0; padding-left: 1rem; }}
</style></head><body>
<h1>{title}</h1>
<p>{teaches}</p><blockquote>{question}</blockquote>
<p>Began {began}, {seconds:.0f} seconds, seed {seed}, documents {documents}.</p>
<h2>Checks</h2>{checks}
<h2>Who asked whom</h2>{edges}
<h2>What happened</h2>{events}
</body></html>
"""


def render_html(run: Run, edges: Sequence[Edge], events: Sequence[Event], seed: int, documents: str) -> str:
    """One self-contained page. Every text in it is escaped."""
    scenario = run.scenario
    ended = run.ended or time.time()
    return _PAGE.format(
        title=escape(f"{scenario.title} ({scenario.name})"),
        teaches=escape(scenario.teaches),
        question=escape(scenario.question),
        began=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.began)),
        seconds=ended - run.began,
        seed=seed,
        documents=escape(documents),
        checks=_checks(run),
        edges=_table([each.name.replace("_", " ") for each in fields(Edge)], map(astuple, edges)),
        events=_table(["second", "event"], ((round(event.at - run.began, 1), event.what) for event in events)),
    )


def _checks(run: Run) -> str:
    rows = []
    for number, found in sorted(run.findings.items()):
        title = run.scenario.steps[number - 1].title
        for each in found:
            value = "-" if each.value is None else shown(each.value, each.unit)
            expected = f"{shown(each.low, each.unit)} to {shown(each.high, each.unit)}"
            rows.append((f"{number}. {title}", each.what, value, expected, "holds" if each.ok else "does not hold"))
    return _table(["step", "check", "measured", "expected", ""], rows) if rows else "<p>Nothing was checked.</p>"


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    first = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f'<td class="n">{value:g}</td>' if isinstance(value, float) else f'<td class="n">{value}</td>'
    kind = {"holds": ' class="ok"', "does not hold": ' class="no"'}.get(str(value), "")
    return f"<td{kind}>{escape(str(value))}</td>"
