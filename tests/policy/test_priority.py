"""How the load is poured down the priority levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.priority import Loads, share_load, share_load_elsewhere

LEVELS = st.lists(
    st.integers(0, 30).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total))), min_size=1, max_size=5
)


@pytest.mark.parametrize(
    ("healthy", "shares"),
    [(100, (100, 0)), (72, (100, 0)), (71, (99, 1)), (50, (70, 30)), (25, (35, 65)), (0, (0, 100))],
)
def test_the_first_level_is_whole_while_five_in_seven_are_healthy(healthy: int, shares: tuple[int, ...]) -> None:
    assert share_load([(100, healthy), (100, 100)], 50).shares == shares


def test_when_all_levels_together_are_not_enough_each_takes_its_part() -> None:
    assert share_load([(100, 25), (100, 25)], 0).shares == (50, 50)


def test_what_rounding_leaves_goes_to_the_first_level_that_is_there() -> None:
    assert share_load([(100, 0), (100, 10), (100, 10), (100, 10)], 0).shares == (0, 34, 33, 33)


def test_a_level_panics_under_the_threshold_only_and_not_while_others_make_up_for_it() -> None:
    assert share_load([(4, 2)], 50) == Loads((100,), (False,))
    assert share_load([(4, 1)], 50) == Loads((100,), (True,))
    assert share_load([(4, 1), (4, 4)], 50).panic == (False, False)
    assert share_load([(10, 3), (10, 1)], 20).panic == (False, True)


def test_when_every_level_panics_the_number_of_hosts_decides() -> None:
    assert share_load([(1, 0), (3, 0)], 50) == Loads((25, 75), (True, True))
    assert share_load([(0, 0), (3, 0), (3, 0), (3, 0)], 50).shares == (0, 34, 33, 33)


def test_without_panic_and_without_healthy_hosts_the_first_level_takes_all_and_has_nobody() -> None:
    assert share_load([(3, 0), (3, 0)], 0) == Loads((100, 0), (False, False))


def test_no_hosts_at_all() -> None:
    assert share_load([(0, 0)], 50).shares == (100,)
    assert share_load([(0, 0)], 0) == Loads((100,), (False,))


@given(levels=LEVELS, threshold=st.integers(0, 100))
def test_the_shares_are_always_a_whole(levels: list[tuple[int, int]], threshold: int) -> None:
    loads = share_load(levels, threshold)

    assert sum(loads.shares) == 100
    assert min(loads.shares) >= 0
    for share, panic, (total, healthy) in zip(loads.shares, loads.panic, levels, strict=True):
        if share and not panic and any(healthy for _, healthy in levels):
            assert healthy, "load for a level that has nobody"
        if panic:
            assert threshold > 0
        if not total and any(total for total, _ in levels):
            assert not share or not any(healthy for _, healthy in levels)


# Retries that go to other priorities


def test_the_first_retry_does_not_avoid_anything() -> None:
    assert share_load_elsewhere([(2, 2), (2, 2)], []) is None
    assert share_load_elsewhere([(2, 2), (2, 2)], [0]) is None


def test_after_every_second_attempt_the_priorities_tried_lose_their_load() -> None:
    levels = [(2, 2), (2, 2), (2, 2)]

    assert share_load_elsewhere(levels, [0, 0]) == (0, 100, 0)
    assert share_load_elsewhere(levels, [0, 0, 1]) == (0, 100, 0)
    assert share_load_elsewhere(levels, [0, 0, 1, 1]) == (0, 0, 100)


def test_when_all_were_tried_they_are_forgotten() -> None:
    levels = [(2, 2), (2, 2)]

    assert share_load_elsewhere(levels, [0, 1]) == (100, 0)
    assert share_load_elsewhere(levels, [0, 1, 0]) is None
    assert share_load_elsewhere(levels, [0, 1, 0, 0]) == (0, 100)


def test_when_nobody_is_available_nothing_changes() -> None:
    assert share_load_elsewhere([(2, 0), (2, 0)], [0, 0]) is None


@given(levels=LEVELS, tried=st.lists(st.integers(0, 4), max_size=8))
def test_other_shares_are_a_whole_too(levels: list[tuple[int, int]], tried: list[int]) -> None:
    shares = share_load_elsewhere(levels, tried)

    assert shares is None or sum(shares) == 100
