"""What a scenario of the lab is: steps with documents, knobs and load, and checks against measured numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyproxy.lab.load import Load, Met
from pyproxy.lab.samples import Samples


@dataclass(frozen=True)
class Measured:
    """What happened since the step, or the last change of a document, took effect."""

    seconds: float
    grown: Samples
    """How much each number of each proxy has grown."""
    now: Samples
    """As they are."""
    met: Met
    """What the clients met."""
    logs: Mapping[str, str] = field(default_factory=dict)
    """What each proxy has logged since then, by workload."""
    answer: str = ""
    """What the student answers, where a scenario asks."""


@dataclass(frozen=True, slots=True)
class Check:
    """One number that must lie between `low` and `high`."""

    what: str
    measure: Callable[[Measured], float]
    """May raise ZeroDivisionError: nothing to measure."""
    low: float
    high: float
    hint: str
    """What to do when it does not."""
    unit: str = "%"
    """`%`: the measure is a share, 0 to 1, and so are the limits; shown times 100."""


@dataclass(frozen=True, slots=True)
class Step:
    """One state of the lab, and what is true in it."""

    title: str
    checks: tuple[Check, ...]
    documents: Mapping[str, str] = field(default_factory=dict)
    """Name of a file in the folder of documents → what it says from now on; the others are as before the scenario."""
    knobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Workload → how its program misbehaves."""
    loads: tuple[Load, ...] = ()
    seconds: float = 4.0
    """How long to measure before judging."""
    settle: float = 0.0
    """Seconds of the load that do not count."""
    watch: tuple[str, ...] = ()
    """Commands that show what happens."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One lesson."""

    name: str
    title: str
    teaches: str
    question: str
    """To predict before looking."""
    because: str
    """Why it went as it did; shown when the last step's checks hold."""
    steps: tuple[Step, ...]
    secret: bool = False
    """Do not tell what the steps change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    what: str
    value: float | None
    low: float
    high: float
    unit: str
    ok: bool
    hint: str

    def as_json(self) -> dict[str, Any]:
        """For `--output json`: shares as shares."""
        return {
            "what": self.what,
            "value": None if self.value is None else round(self.value, 4),
            "low": self.low,
            "high": self.high,
            "unit": self.unit,
            "ok": self.ok,
            "hint": "" if self.ok else self.hint,
        }


def judge(step: Step, measured: Measured) -> list[Finding]:
    """Every check of a step against what was measured."""
    return [_judge(check, measured) for check in step.checks]


def _judge(check: Check, measured: Measured) -> Finding:
    try:
        value = check.measure(measured)
    except ZeroDivisionError:
        hint = "nothing was measured: no such requests. Is the scenario's load running (`pyproxy lab status`)?"
        return Finding(check.what, None, check.low, check.high, check.unit, False, hint)
    ok = check.low <= value <= check.high
    return Finding(check.what, value, check.low, check.high, check.unit, ok, check.hint)


def shown(number: float, unit: str) -> str:
    """A number as people read it: `10.2 %`, `512 ms`, `64.0`."""
    if unit == "%":
        return f"{100 * number:.1f} %"
    text = f"{number:.0f}" if number == int(number) or abs(number) >= 100 else f"{number:.1f}"
    return f"{text} {unit}".rstrip()
