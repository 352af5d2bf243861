"""Which of several weighted destinations takes a request. Source: Envoy's weighted clusters: random % total."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence


def choose_weighted(cumulative: Sequence[int], rng: random.Random) -> int:
    """An index; `cumulative` are running sums of weights, the last, their total, above 0."""
    return bisect_right(cumulative, int(rng.random() * cumulative[-1]))
