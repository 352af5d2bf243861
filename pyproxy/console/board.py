"""All that the page shows, brought up to date by every look at the proxies; and what changed since the look before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pyproxy.console.edges import Totals, merge, quantile_ms
from pyproxy.console.events import Happening, Timeline, happenings
from pyproxy.console.graph import Flow, Graph, Weights, edge_label, flows_of
from pyproxy.console.history import STEP_SECONDS, History, Sample, Step
from pyproxy.console.reading import Reading
from pyproxy.console.tables import breaker_rows, host_rows, proxy_row
from pyproxy.console.window import Window, difference

State = dict[str, dict[str, Any]]
"""Section → id → what is shown of it."""
FORGET_SECONDS = 60.0
"""After so long without a request an edge to somewhere outside the mesh is no longer drawn."""


class Board:
    """Fed with looks; `state` is what to show now, `step` a step of history when one was finished by the last look."""

    def __init__(self) -> None:
        self.state: State = {name: {} for name in ("mesh", "nodes", "edges", "hosts", "breakers", "proxies", "events")}
        self.history = History()
        self.timeline = Timeline()
        self.step: Step | None = None
        self.weights: Weights = {}
        self._window = Window()
        self._graph = Graph()
        self._readings: dict[str, Reading] = {}
        self._silent: set[str] = set()
        self._stepped_at: float | None = None
        self._stepped: dict[str, Reading] = {}
        self._last_used: dict[str, float] = {}

    def look(self, at: float, now: float, readings: Mapping[str, Reading], errors: Mapping[str, str]) -> State:
        """Take in what the proxies said, and what keeps some from saying it. `at` is Unix seconds, `now` monotonic."""
        self._tell(at, readings, errors)
        answered = {address: reading for address, reading in readings.items() if address not in errors}
        self._window.add(now, readings)
        proxies = {reading.name: "silent" for reading in readings.values()}
        proxies |= {reading.name: reading.state for reading in answered.values()}
        self._finish_step(at, now, readings, proxies)
        flows = self._drawn(flows_of(self._window.edges(), proxies), proxies, now)
        seconds = self._window.seconds
        nodes = self._graph.nodes(flows, proxies)
        self.state = {
            "mesh": {"now": self._summary(at, flows, seconds, readings, errors)},
            "nodes": nodes,
            "edges": {
                name: edge_label(flow, seconds or 1.0, self.weights) | {"bends": self._graph.bends(flow)}
                for name, flow in flows.items()
            },
            "hosts": {
                name: row
                for address, reading in answered.items()
                for name, row in host_rows(reading, self._window.before(address), seconds)
            },
            "breakers": {
                name: row
                for address, reading in answered.items()
                for name, row in breaker_rows(reading, self._window.before(address), seconds)
            },
            "proxies": {
                address: proxy_row(address, readings.get(address), errors.get(address, ""))
                for address in {**readings, **errors}
            },
            "events": {str(event.number): asdict(event) for event in self.timeline.events},
        }
        self._readings = dict(readings)
        return self.state

    def _tell(self, at: float, readings: Mapping[str, Reading], errors: Mapping[str, str]) -> None:
        for address, reading in readings.items():
            before = self._readings.get(address)
            if before is not None and before is not reading:
                for happening in happenings(before, reading):
                    self.timeline.tell(at, reading.name, happening)
            if address in errors and address not in self._silent:
                self.timeline.tell(
                    at, reading.name, Happening("proxy", f"{reading.name} does not answer", errors[address])
                )
            elif address in self._silent and address not in errors:
                self.timeline.tell(at, reading.name, Happening("proxy", f"{reading.name} answers again"))
        self._silent = set(errors)

    def _finish_step(self, at: float, now: float, readings: Mapping[str, Reading], proxies: Mapping[str, str]) -> None:
        self.step = None
        if self._stepped_at is not None and now - self._stepped_at < STEP_SECONDS - 0.05:
            return
        if self._stepped_at is not None:
            parts = [difference(reading, self._stepped.get(address)) for address, reading in readings.items()]
            flows = flows_of(merge(parts), proxies)
            samples = {name: Sample(flow.requests, flow.failed, flow.buckets) for name, flow in flows.items()}
            self.step = self.history.add(at, now - self._stepped_at, samples)
        self._stepped_at, self._stepped = now, dict(readings)

    def _drawn(self, flows: dict[str, Flow], proxies: Mapping[str, str], now: float) -> dict[str, Flow]:
        """Without what nobody uses any more, unless both its ends are of the mesh."""
        for name, flow in flows.items():
            if not flow.totals.idle:
                self._last_used[name] = now
        self._last_used = {name: used for name, used in self._last_used.items() if used > now - FORGET_SECONDS}
        return {
            name: flow
            for name, flow in flows.items()
            if name in self._last_used or (flow.source in proxies and flow.target in proxies)
        }

    def _summary(
        self,
        at: float,
        flows: Mapping[str, Flow],
        seconds: float,
        readings: Mapping[str, Reading],
        errors: Mapping[str, str],
    ) -> dict[str, Any]:
        total = Totals()
        for flow in flows.values():
            total.add(Totals(flow.requests, flow.failed, buckets=flow.buckets))
        p95 = quantile_ms(total.buckets, 0.95)
        return {
            "at": round(at, 3),
            "proxies": len({**readings, **errors}),
            "silent": len(errors),
            "rps": round(total.requests / seconds, 1) if seconds else 0.0,
            "errors": round(total.failed / total.requests, 4) if total.requests else 0.0,
            "p95": None if p95 is None else round(p95, 1),
            "versions": sorted({reading.version for reading in readings.values()}),
        }


def changes(before: State, after: State) -> State:
    """What became another, section by section; what is gone is None. Sections without a change are left out."""
    found: State = {}
    for section, entries in after.items():
        old = before.get(section, {})
        changed: dict[str, Any] = {name: entry for name, entry in entries.items() if old.get(name) != entry}
        changed.update(dict.fromkeys(old.keys() - entries.keys()))
        if changed:
            found[section] = changed
    return found
