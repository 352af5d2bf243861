"""Warnings about fields that are right but may not do what is hoped: deprecated ones, and ones not acted on yet."""

from __future__ import annotations

from collections.abc import Iterator

from pyproxy.istio.deprecated import DEPRECATED_FIELDS, DEPRECATED_VALUES
from pyproxy.istio.fields import Message, json_name
from pyproxy.istio.not_acted_on import (
    FIELDS_NOT_ACTED_ON,
    FIELDS_OF_THE_INSTALLATION,
    KINDS_NOT_ACTED_ON,
)
from pyproxy.istio.problems import DEPRECATED, NOT_ACTED_ON, NOT_APPLIED, FieldPath
from pyproxy.istio.report import Report


def add_advice(kind: str, spec: Message, prefix: FieldPath, report: Report) -> None:
    """Report what of a valid document is deprecated, and what of it the data plane does not act on yet."""
    if kind in KINDS_NOT_ACTED_ON:
        report.add("warning", NOT_ACTED_ON, ("kind",), f"{kind} is known, but not acted on yet")
    _advise(spec, prefix, report, quiet=kind in KINDS_NOT_ACTED_ON)


def _advise(message: Message, path: FieldPath, report: Report, *, quiet: bool) -> None:
    """Go through the fields that are set; `quiet` when the whole is not acted on, so that its parts need not say so."""
    model = type(message)
    fields = model.model_fields
    deprecated = DEPRECATED_FIELDS.get(model, {})
    idle = FIELDS_NOT_ACTED_ON.get(model, frozenset())
    installation = FIELDS_OF_THE_INSTALLATION.get(model, frozenset())
    for name, value in message:
        if value is None or (isinstance(value, tuple | dict) and not value):
            continue
        here = (*path, fields[name].alias or json_name(name))
        advice = deprecated.get(name)
        if advice is None and isinstance(value, str):
            advice = DEPRECATED_VALUES.get((model, name, value))
        if advice is not None:
            report.add("warning", DEPRECATED, here, f"is deprecated: {advice}", of_key=True)
        if name in installation:
            report.add("info", NOT_APPLIED, here, "ignored: it is about the installation of Istio", of_key=True)
        elif name in idle and not quiet:
            report.add("warning", NOT_ACTED_ON, here, "is known, but not acted on yet", of_key=True)
        for inner_path, inner in _messages_in(value, here):
            _advise(inner, inner_path, report, quiet=quiet or name in idle or name in installation)


def _messages_in(value: object, path: FieldPath) -> Iterator[tuple[FieldPath, Message]]:
    match value:
        case Message():
            yield path, value
        case tuple():
            for index, item in enumerate(value):
                yield from _messages_in(item, (*path, index))
        case dict():
            for key, item in value.items():
                yield from _messages_in(item, (*path, key))
