"""Istio's metrics with other labels, or without some: what Telemetry's overrides make of a series when it is shown.

A series keeps its standard labels, the values of the expressions that its direction's rules name, and which rules these
were. Source: Envoy contrib/istio/filters/http/istio_stats/source/istio_stats.cc (MetricOverrides).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

from pyproxy.cel.errors import EvaluationError, SyntaxProblem, UnsupportedProblem
from pyproxy.cel.expression import Expression, compile_expression
from pyproxy.cel.functions import text_of
from pyproxy.snapshot.reporting import MetricChange, MetricRules
from pyproxy.telemetry.attributes import VALUES, Subject
from pyproxy.telemetry.exposition import label_text
from pyproxy.telemetry.labels import HTTP_LABELS, UNKNOWN, Labels

MAX_VALUES: Final = 1000
"""Different values of one expression; further ones are `unknown`."""
SeriesT = TypeVar("SeriesT")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_]")


class LabelView:
    """One direction's rules."""

    def __init__(self, rules: MetricRules) -> None:
        self.enabled = rules.enabled
        self.name = repr(rules)
        """The same in every process."""
        self._changes = {change.metric: change for change in rules.changes}
        self._refused: set[str] = set()
        """Expressions that are no CEL."""
        texts = dict.fromkeys(
            label.expression for change in rules.changes for label in change.labels if label.expression
        )
        self._expressions = [(text, self._compiled(text)) for text in texts]
        self._place = {text: place for place, text in enumerate(texts)}
        self._known: list[set[str]] = [set() for _ in texts]

    def values(self, subject: Subject) -> Labels:
        """What goes behind the standard labels: the expressions' values, and the view's name."""
        found = [self._value(place, expression, subject) for place, (_, expression) in enumerate(self._expressions)]
        return (*found, self.name)

    def label_text(self, labels: Labels, names: Labels, metric: str) -> bytes | None:
        """The labels of one series as one metric shows them; None: it does not."""
        change = self._changes.get(metric)
        extra = labels[len(names) :]
        if change is None:
            return label_text(names, labels[: len(names)])
        if change.dropped:
            return None
        shown = dict(zip(names, labels, strict=False))
        for name, value in self._changed(change, extra, names):
            if value is None:
                shown.pop(name, None)
            else:
                shown[_UNSAFE.sub("_", name)] = value
        return label_text(tuple(shown), tuple(shown.values()))

    def _changed(self, change: MetricChange, extra: Labels, names: Labels) -> Iterator[tuple[str, str | None]]:
        """(label, new value or None for "away") of what applies to a metric with these labels."""
        for label in change.labels:
            standard = label.name in HTTP_LABELS
            if standard and label.name not in names:
                continue
            if not label.expression or label.expression in self._refused:
                if standard:
                    yield label.name, None
            else:
                yield label.name, extra[self._place[label.expression]]

    def _compiled(self, text: str) -> Expression | None:
        try:
            return compile_expression(text, VALUES)
        except UnsupportedProblem:
            return None
        except SyntaxProblem:
            self._refused.add(text)
            return None

    def _value(self, place: int, expression: Expression | None, subject: Subject) -> str:
        if expression is None:
            return UNKNOWN
        try:
            value = text_of(expression(subject))
        except EvaluationError:
            return UNKNOWN
        known = self._known[place]
        if value not in known:
            if len(known) >= MAX_VALUES:
                return UNKNOWN
            known.add(value)
        return value


def merged(
    series: Iterable[tuple[Labels, SeriesT]],
    names: Labels,
    metric: str,
    views: Mapping[str, LabelView],
    numbers_of: Callable[[SeriesT], list[float]],
) -> dict[bytes, list[float]]:
    """What a metric shows: label text → numbers. Series that differ in a label that is not shown are added up."""
    found: dict[bytes, list[float]] = {}
    for labels, one in series:
        view = views.get(labels[-1]) if len(labels) > len(names) else None
        text = label_text(names, labels[: len(names)]) if view is None else view.label_text(labels, names, metric)
        if text is None:
            continue
        numbers = numbers_of(one)
        known = found.get(text)
        found[text] = numbers if known is None else [mine + other for mine, other in zip(known, numbers, strict=True)]
    return found
