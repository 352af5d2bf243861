"""What the lab's commands print for people; programs read the same answers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from pyproxy.lab.scenario import Scenario, shown

WIDTH = 100


def listing(scenarios: Sequence[Scenario]) -> list[dict[str, Any]]:
    """Every scenario, for `--output json`."""
    return [
        {"name": each.name, "title": each.title, "teaches": each.teaches, "steps": len(each.steps)}
        for each in scenarios
    ]


def listing_text(scenarios: list[dict[str, Any]]) -> str:
    lines = [f"{each['name']:<20} {each['steps']}  {each['title']}" for each in scenarios]
    return "\n".join(["NAME                 STEPS", *lines, "", "Begin one: pyproxy lab scenario NAME"])


def begun_text(answer: dict[str, Any]) -> str:
    """What to predict, and what to do next."""
    lines = [
        f"{answer['title']}: step {answer['step']} of {answer['steps']}, {answer['step_title']}",
        "",
        fill(f"Predict: {answer['question']}", WIDTH),
        "",
    ]
    if answer["documents"]:
        lines.append(f"  documents   {', '.join(answer['documents'])}")
    lines += [f"  knob        {name}: {_knobs(knobs)}" for name, knobs in answer["knobs"].items()]
    lines += [f"  load        {load}" for load in answer["loads"]]
    lines += [f"  watch       {command}" for command in answer["watch"]]
    lines.append(f"  then        pyproxy lab check {answer['scenario']}")
    return "\n".join([*lines, *_refused(answer["errors"])])


def _knobs(knobs: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in knobs.items())


def checked_text(answer: dict[str, Any]) -> str:
    """Each check with what was measured and expected, and a hint where it does not hold."""
    lines = [f"{answer['scenario']}, step {answer['step']} of {answer['steps']}: {answer['title']}", ""]
    if answer["errors"]:
        return "\n".join([*lines, *_refused(answer["errors"]), "", "Save it corrected, and check again."])
    for each in answer["findings"]:
        value = "-" if each["value"] is None else shown(each["value"], each["unit"])
        lines.append(f"  {'ok' if each['ok'] else 'NO':<3} {each['what']:<46} {value:>12}   {_expected(each)}")
        if not each["ok"]:
            lines.append(f"      hint: {each['hint']}")
    return "\n".join([*lines, "", *_what_now(answer)])


def _expected(each: dict[str, Any]) -> str:
    low, high, unit = each["low"], each["high"], each["unit"]
    if low == high:
        return f"expected {shown(low, unit)}"
    if high >= 1e9:
        return f"expected at least {shown(low, unit)}"
    return f"expected {shown(low, unit)} to {shown(high, unit)}"


def _what_now(answer: dict[str, Any]) -> list[str]:
    if not answer["ok"]:
        return [f"This step does not hold yet. When you have changed something: pyproxy lab check {answer['scenario']}"]
    if answer["next"]:
        return [f"This step holds. Next: {answer['next']}"]
    lines = [fill(f"Why: {answer['because']}", WIDTH), ""]
    if answer["unchecked"]:
        missing = ", ".join(map(str, answer["unchecked"]))
        lines.append(f"This was the last step, but not yet checked: {missing}.")
        lines.append(f"Go back: pyproxy lab scenario {answer['scenario']} {answer['unchecked'][0]}")
    else:
        lines.append("Every step holds. When you are done: pyproxy lab report, pyproxy lab reset")
    return lines


def _refused(errors: Sequence[str]) -> list[str]:
    if not errors:
        return []
    return ["The documents have an error; the last good ones serve on:", *(f"  {error}" for error in errors)]


def status_text(answer: dict[str, Any]) -> str:
    """Where the lab is and what runs."""
    lab = answer["lab"]
    lines = [f"{name:<11} {lab[name]}" for name in ("page", "documents", "folder", "seed")]
    if not answer["scenario"]:
        return "\n".join([*lines, "scenario    none: pyproxy lab scenario list", *_refused(answer["errors"])])
    checked = answer["checked"]
    states = [
        {True: "holds", False: "does not hold", None: "not checked"}[checked.get(str(number))]
        for number in range(1, answer["steps"] + 1)
    ]
    lines += [
        f"scenario    {answer['scenario']}: {answer['title']}",
        f"step        {answer['step']} of {answer['steps']}, {answer['step_title']}",
        f"measured    {answer['measured_seconds']} s, {answer['requests']} requests, {answer['failed']} failed",
        *(f"load        {load}" for load in answer["loads"]),
        f"checked     {'; '.join(f'{number} {state}' for number, state in enumerate(states, start=1))}",
        *_refused(answer["errors"]),
    ]
    return "\n".join(lines)


def reset_text(answer: dict[str, Any]) -> str:
    if not answer["ended"]:
        return "No scenario was running. Knobs and counters are reset; your documents are as you left them."
    return f"{answer['ended']} has ended. Your documents are back, in {answer['seconds']} s."


def report_text(answer: dict[str, Any]) -> str:
    return "\n".join(f"{kind:<7} {answer[kind]}" for kind in ("html", "edges", "events"))


def down_text(answer: dict[str, Any]) -> str:
    return "The lab ends."
