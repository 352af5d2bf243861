"""What the edges did in the last fifteen minutes, in steps of two seconds: bounded in time and in edges."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from pyproxy.telemetry.exposition import BUCKETS

STEP_SECONDS = 2.0
KEPT_SECONDS = 15 * 60.0
MAX_EDGES = 400
"""In one step; the busiest stay."""


class Sample(NamedTuple):
    """One edge in one step."""

    requests: int
    failed: int
    buckets: list[int]

    def as_json(self) -> list[object]:
        """Requests, failed, and the buckets up to the last that is not empty."""
        end = max((index + 1 for index, count in enumerate(self.buckets) if count), default=0)
        return [self.requests, self.failed, self.buckets[:end]]


class Step(NamedTuple):
    """One step; `at` is its end in Unix seconds, `edges` has those alone on which something happened."""

    at: float
    seconds: float
    edges: Mapping[str, Sample]

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        edges = {edge: sample.as_json() for edge, sample in self.edges.items()}
        return {"at": round(self.at, 2), "seconds": round(self.seconds, 3), "edges": edges}


class History:
    """The steps that are over."""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque(maxlen=round(KEPT_SECONDS / STEP_SECONDS))

    def add(self, at: float, seconds: float, edges: Mapping[str, Sample]) -> Step:
        """One step more; the oldest goes when there are too many."""
        busy = {edge: sample for edge, sample in edges.items() if sample.requests}
        if len(busy) > MAX_EDGES:
            busiest = sorted(busy, key=lambda edge: -busy[edge].requests)[:MAX_EDGES]
            busy = {edge: busy[edge] for edge in busiest}
        step = Step(at, seconds, busy)
        self.steps.append(step)
        return step

    def as_json(self) -> dict[str, Any]:
        """Everything, oldest first."""
        return {
            "bounds": list(BUCKETS),
            "kept": KEPT_SECONDS,
            "step": STEP_SECONDS,
            "steps": [step.as_json() for step in self.steps],
        }
