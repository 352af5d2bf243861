"""What is wrong with a document, where, and how badly: the words that validate, analyze and a reload share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "info"]
FieldPath = tuple[str | int, ...]
"""The way to a value from the top of its document: JSON names and list indexes."""

# Istio's own message codes (pkg/config/analysis/msg/messages.yaml).
DEPRECATED = "IST0002"
SCHEMA_ERROR = "IST0106"
UNREACHABLE_RULE = "IST0130"
INEFFECTIVE_MATCH = "IST0131"
SCHEMA_WARNING = "IST0133"
ADDRESSES_REQUIRED = "IST0134"

# Ours, where Istio has none.
UNREADABLE = "PYP0001"
NOT_YAML = "PYP0002"
NOT_A_RESOURCE = "PYP0003"
NOT_APPLIED = "PYP0004"
NOT_ACTED_ON = "PYP0005"
WITHOUT_EFFECT = "PYP0006"

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def format_path(path: FieldPath) -> str:
    """`spec.http[0].route[1].weight`; keys that are no plain names go in brackets: `labels["a.b/c"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_NAME.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


_STEP = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\["(.*?)"\](?=[.\[]|$)')


def parse_path(text: str) -> FieldPath:
    """What `format_path` wrote, back again."""
    return tuple(
        int(found[2]) if found[2] is not None else found[1] or found[3] or "" for found in _STEP.finditer(text)
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about one place in one file. Lines and columns count from 1; 0 means the whole file."""

    severity: Severity
    code: str
    file: Path
    line: int
    column: int
    resource: str
    """`Kind/namespace/name`, as far as it is known."""
    path: str
    message: str
    """What is wrong and what is accepted."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        subject = " ".join(part for part in (place, self.resource, self.path) if part)
        return f"{subject}: {self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used; holds every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
