"""What `pyproxy certs` prints: aligned tables for people, lists of objects for programs. Never a key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import click

from pyproxy.mtls.authority import Names
from pyproxy.mtls.chains import serial_of
from pyproxy.mtls.inspection import Finding, Seen
from pyproxy.mtls.issuing import Issued

_COLOURS = {"valid": "green", "due": "yellow", "expired": "red", "not yet valid": "red"}


def print_issued(filled: Sequence[Issued], output: str) -> None:
    """What became of each order."""
    if output == "json":
        _print_json(
            {
                "name": each.order.name,
                "folder": str(each.place.folder),
                **_names(each.order.names),
                "validUntil": _json_time(each.certificate.not_valid_after_utc),
                "serial": serial_of(each.certificate),
                "done": each.done.value,
                "hint": each.hint,
            }
            for each in filled
        )
        return
    rows = [
        (each.done.value, each.order.name, _who(each.order.names), _time(each.certificate.not_valid_after_utc))
        for each in filled
    ]
    print_table(("DONE", "NAME", "IDENTITY", "VALID UNTIL"), rows)
    for each in filled:
        if each.hint:
            click.echo(f"{each.order.name}: {each.hint}", err=True)


def print_seen(seen: Sequence[Seen], now: datetime, output: str) -> None:
    """The certificates of a folder."""
    if output == "json":
        _print_json(
            {
                "name": each.name,
                "file": str(each.file),
                **_names(each.names),
                "subject": each.subject,
                "issuer": each.issuer,
                "serial": each.serial,
                "validFrom": _json_time(each.certificate.not_valid_before_utc),
                "validUntil": _json_time(each.certificate.not_valid_after_utc),
                "status": each.status(now),
            }
            for each in seen
        )
        return
    rows = [
        (
            each.name,
            _who(each.names) or each.subject,
            _time(each.certificate.not_valid_after_utc),
            each.status(now),
            each.issuer,
            each.serial,
        )
        for each in seen
    ]
    print_table(("NAME", "IDENTITY", "VALID UNTIL", "STATUS", "ISSUER", "SERIAL"), rows)


def print_findings(findings: Sequence[Finding], examined: int, output: str) -> None:
    """What is wrong, each with what to do."""
    if output == "json":
        _print_json(
            {
                "severity": "error" if each.serious else "warning",
                "file": str(each.file),
                "message": each.what,
                "remedy": each.remedy,
            }
            for each in findings
        )
        return
    for each in findings:
        word = click.style("error", fg="red", bold=True) if each.serious else click.style("warning", fg="yellow")
        click.echo(f"{word}: {each.file}: {each.what}; {each.remedy}")
    serious = sum(each.serious for each in findings)
    whole = "certificate" if examined == 1 else "certificates"
    click.echo(f"{examined} {whole}: {f'{serious} wrong' if serious else 'all good'}")


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest text; nothing is cut off."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (_cell(text, width) for text, width in zip(row, (*widths[:-1], 0), strict=True))
        click.echo("   ".join(cells))


def _cell(text: str, width: int) -> str:
    colour = _COLOURS.get(text)
    return click.style(text.ljust(width), fg=colour) if colour else text.ljust(width)


def _names(names: Names) -> dict[str, object]:
    return {"identity": str(names.identity) if names.identity else "", "dns": list(names.dns)}


def _who(names: Names) -> str:
    return ", ".join((*([str(names.identity)] if names.identity else []), *names.dns))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _json_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _print_json(entries: Iterable[object]) -> None:
    click.echo(json.dumps(list(entries), indent=2))
