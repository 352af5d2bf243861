"""Runs the ```console blocks of a page, top to bottom, and compares what each command prints with what the page shows.

A line `$ ...` is a command, the lines after it what it prints. Numbers may differ, and runs of spaces; `...` stands
for any text in a line, and on a line of its own for any lines. Standard error counts as output.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")
ELLIPSIS = "..."
SECONDS = 100.0


@dataclass(frozen=True)
class Command:
    """One command, and the lines that the page shows of it."""

    line: str
    expected: tuple[str, ...]


def commands_of(page: str) -> Iterator[Command]:
    """Every command of every block."""
    for block in _BLOCK.findall(page):
        line, expected = "", []
        for text in block.splitlines():
            if not text.startswith("$ "):
                expected.append(text)
                continue
            if line:
                yield Command(line, tuple(expected))
            line, expected = text.removeprefix("$ "), []
        if line:
            yield Command(line, tuple(expected))


def pattern_of(expected: tuple[str, ...]) -> re.Pattern[str]:
    """What an output must match in full."""
    parts = []
    for line in expected:
        if line.strip() == ELLIPSIS:
            parts.append(r"(?:.*\n)*")
            continue
        pieces = ["".join(_escaped(" ".join(piece.split()))) for piece in line.strip().split(ELLIPSIS)]
        parts.append(".*".join(pieces) + r"\n")
    return re.compile("".join(parts))


def _escaped(text: str) -> Iterator[str]:
    end = 0
    for number in _NUMBER.finditer(text):
        yield re.escape(text[end : number.start()])
        yield r"\d+(?:\.\d+)?"
        end = number.end()
    yield re.escape(text[end:])


def matches(expected: tuple[str, ...], output: str) -> bool:
    """Whether an output is what the page shows."""
    lines = [" ".join(line.split()) for line in output.strip().splitlines()]
    shown = "".join(f"{line}\n" for line in lines)
    return pattern_of(expected).fullmatch(shown) is not None


def run(
    command: Command, environment: Mapping[str, str], here: Callable[[str], str], there: Callable[[str], str]
) -> str:
    """Empty when it printed what the page shows, else both. `here` puts this machine's names into a command, `there`
    the page's into its output."""
    process = subprocess.run(
        ["bash", "-c", here(command.line)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
        timeout=SECONDS,
    )
    output = there(process.stdout)
    if matches(command.expected, output):
        return ""
    return f"$ {command.line}\n--- the page shows\n" + "\n".join(command.expected) + f"\n--- it printed\n{output}"
