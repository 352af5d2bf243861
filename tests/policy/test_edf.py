"""Earliest deadline first gives every entry its share of turns."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.edf import Edf


def turns(weights: dict[str, float], count: int, picks: int = 0) -> list[str]:
    schedule = Edf(list(weights), weights.__getitem__, picks)
    return [schedule.pick() for _ in range(count)]


def test_weights_of_one_two_and_three_make_a_pattern_of_six() -> None:
    found = turns({"one": 1, "two": 2, "three": 3}, 12)

    assert found[:6] == ["three", "two", "three", "one", "two", "three"]
    assert found[6:] == found[:6]


def test_of_equal_deadlines_the_entry_that_was_put_in_first_is_first() -> None:
    assert turns({"a": 1, "b": 1, "c": 1}, 6) == ["a", "b", "c", "a", "b", "c"]


def test_a_start_after_some_picks_goes_on_where_they_ended() -> None:
    weights = {"a": 17.0, "b": 29.0, "c": 5.0}
    whole = turns(weights, 48)  # all three meet at turn 49, where rounding may decide

    for picks in range(40):
        assert turns(weights, 8, picks) == whole[picks : picks + 8]


def test_a_weight_is_read_anew_at_every_turn() -> None:
    weights = {"a": 1.0, "b": 1.0}
    schedule = Edf(list(weights), weights.__getitem__, 0)
    assert [schedule.pick() for _ in range(4)] == ["a", "b", "a", "b"]

    weights["a"] = 3.0

    assert Counter(schedule.pick() for _ in range(40))["a"] in (29, 30, 31)


def test_only_a_part_of_the_random_start_counts_as_in_envoy() -> None:
    weights = {"a": 1.0, "b": 2.0}

    assert turns(weights, 9, 2**32 + 5) == turns(weights, 9, 5)
    assert turns(weights, 9, 429_496_729 + 4) == turns(weights, 9, 4)


@given(
    weights=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    picks=st.integers(0, 2**64 - 1),
    rounds=st.integers(1, 3),
)
def test_in_any_stretch_an_entry_is_at_most_two_turns_off_its_share(
    weights: list[int], picks: int, rounds: int
) -> None:
    named: dict[str, float] = {f"entry-{n}": weight for n, weight in enumerate(weights)}
    total = sum(weights)

    counts = Counter(turns(named, total * rounds, picks))

    for name, weight in named.items():
        assert abs(counts[name] - weight * rounds) <= 2
