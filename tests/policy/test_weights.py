"""Weighted destinations."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.weights import choose_weighted
from tests.policy.fakes import Rolls


@pytest.mark.parametrize(("roll", "index"), [(0.0, 0), (0.899, 0), (0.9, 1), (0.9999999, 1)])
def test_a_roll_falls_into_the_stretch_of_its_destination(roll: float, index: int) -> None:
    assert choose_weighted((90, 100), Rolls([roll])) == index


@given(weights=st.lists(st.integers(1, 1000), min_size=1, max_size=8), roll=st.floats(0, 1, exclude_max=True))
def test_every_roll_chooses_somebody(weights: list[int], roll: float) -> None:
    assert 0 <= choose_weighted(tuple(accumulate(weights)), Rolls([roll])) < len(weights)


def test_destinations_get_their_share() -> None:
    rng = random.Random(4)

    counts = Counter(choose_weighted((50, 80, 100), rng) for _ in range(10_000))

    assert [counts[index] for index in range(3)] == pytest.approx([5000, 3000, 2000], abs=200)
