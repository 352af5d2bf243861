"""Priorities, panic, localities and hosts already tried, over the choosers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.choosers import LeastRequest, Random, RoundRobin
from pyproxy.policy.levels import LevelBalancer, by_locality, levels_of, usable_hosts
from tests.policy.fakes import FakeHost, hosts


def balancer(
    members: Sequence[FakeHost], *, panic: int = 50, weights: Mapping[str, int] | None = None, seed: int = 0
) -> LevelBalancer[FakeHost]:
    rng = random.Random(seed)
    return LevelBalancer(members, lambda: RoundRobin(0, None), panic, weights, rng)


def picks(found: LevelBalancer[FakeHost], count: int) -> Counter[str]:
    return Counter(str(found.pick()) for _ in range(count))


def test_without_hosts_nothing_is_picked() -> None:
    assert balancer([]).pick() is None


def test_ejected_hosts_are_left_out() -> None:
    three = hosts(3)
    three[1].healthy = False

    assert set(picks(balancer(three), 10)) == {str(three[0]), str(three[2])}


def test_a_refresh_sees_health_that_changed_and_keeps_its_place() -> None:
    three = hosts(3)
    found = balancer(three)
    assert found.pick() is three[0]
    three[0].healthy = False

    found.refresh()

    assert [found.pick() for _ in range(3)] == [three[2], three[1], three[2]]


def test_a_refresh_with_hosts_replaces_them() -> None:
    found = balancer(hosts(2))
    other = hosts(1, start=9)

    found.refresh(other)

    assert found.pick() is other[0]


def test_a_host_of_weight_zero_is_never_chosen() -> None:
    two = hosts(2)
    two[0].weight = 0

    assert set(picks(balancer(two), 4)) == {str(two[1])}


# Panic


def test_in_panic_all_hosts_are_used_and_every_pick_is_counted() -> None:
    four = hosts(4)
    for host in four[1:]:
        host.healthy = False
    found = balancer(four)

    assert len(picks(found, 8)) == 4
    assert found.panic_picks == 8


def test_with_a_threshold_of_zero_there_is_no_panic_but_no_host_either() -> None:
    two = hosts(2)
    for host in two:
        host.healthy = False
    found = balancer(two, panic=0)

    assert found.pick() is None
    assert found.panic_picks == 0


def test_half_of_the_hosts_are_no_reason_to_panic() -> None:
    four = hosts(4)
    four[0].healthy = four[1].healthy = False

    assert set(picks(balancer(four), 8)) == {str(four[2]), str(four[3])}


# Priorities


def test_the_second_priority_waits_while_the_first_is_whole() -> None:
    first, second = hosts(7), hosts(2, priority=1, start=7)
    first[0].healthy = first[1].healthy = False

    assert not set(picks(balancer([*first, *second]), 200)) & {str(host) for host in second}


def test_load_spills_over_when_the_first_priority_is_not_enough() -> None:
    first, second = hosts(2), hosts(2, priority=1, start=2)
    first[0].healthy = False

    found = picks(balancer([*first, *second]), 10_000)

    assert found[str(first[1])] == pytest.approx(7000, abs=200)


def test_priorities_may_have_gaps() -> None:
    only = hosts(2, priority=3)

    assert len(levels_of(only)) == 4
    assert set(picks(balancer(only), 4)) == {str(host) for host in only}


# Localities


def test_localities_take_turns_by_weight() -> None:
    east, west = hosts(2, locality="east"), hosts(1, locality="west", start=2)

    found = picks(balancer([*east, *west], weights={"east": 80, "west": 20}), 100)

    assert found == {str(east[0]): 40, str(east[1]): 40, str(west[0]): 20}


def test_a_locality_loses_weight_when_more_than_two_in_seven_of_its_hosts_are_down() -> None:
    east, west = hosts(2, locality="east"), hosts(2, locality="west", start=2)
    east[0].healthy = False

    found = picks(balancer([*east, *west], weights={"east": 50, "west": 50}), 170)

    assert found[str(east[1])] == 70  # half of 50, by 1.4: 35 to 50


def test_localities_without_a_weight_are_not_there_and_do_not_cause_panic() -> None:
    east, west = hosts(1, locality="east"), hosts(9, locality="west", start=1)
    for host in west:
        host.healthy = False
    found = balancer([*east, *west], weights={"east": 1})

    assert set(picks(found, 5)) == {str(east[0])}
    assert found.panic_picks == 0


def test_in_panic_localities_do_not_weigh() -> None:
    east, west = hosts(1, locality="east"), hosts(3, locality="west", start=1)
    for host in west:
        host.healthy = False
    found = balancer([*east, *west], weights={"east": 99, "west": 1})

    assert len(picks(found, 8)) == 4


def test_localities_come_in_order_of_region_zone_and_subzone() -> None:
    members = [FakeHost(name, locality=name) for name in ("b/a", "a-b", "a/z", "a")]

    assert list(by_locality(members)) == ["a", "a/z", "a-b", "b/a"]


def test_usable_hosts_keep_their_order() -> None:
    members = hosts(3, locality="x")
    members[1].locality = "y"

    assert usable_hosts(members, {"x": 1}) == [members[0], members[2]]
    assert usable_hosts(members, None) == members


# Hosts that were tried


def test_a_retry_goes_to_a_host_that_was_not_tried() -> None:
    three = hosts(3)
    found = balancer(three)

    assert found.pick(None, [three[0], three[1]]) is three[2]


def test_after_so_many_picks_the_last_one_stands() -> None:
    two = hosts(2)
    found = balancer(two)

    assert found.pick(None, two, 3) is two[1]  # picks 0, 1, 0, and 1 again
    assert found.pick(None, two, 0) is two[0]


def test_a_retry_may_go_to_other_priorities() -> None:
    first, second = hosts(2), hosts(2, priority=1, start=2)
    found = balancer([*first, *second])

    for _ in range(20):
        assert found.pick(None, first) in first
        assert found.pick(None, first, other_levels=True) in second


@given(
    spec=st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.sampled_from(["a", "b"])), max_size=12),
    panic=st.integers(0, 100),
    weighted=st.booleans(),
    kind=st.sampled_from(["round robin", "least request", "random"]),
    changes=st.lists(st.integers(0, 11), max_size=6),
    seed=st.integers(0, 1000),
)
def test_an_unhealthy_host_is_picked_in_panic_only_and_a_healthy_one_whenever_there_is_one(
    spec: list[tuple[bool, int, str]], panic: int, weighted: bool, kind: str, changes: list[int], seed: int
) -> None:
    members = [FakeHost(str(n), 1, 0, *host[:1], 0.0, *host[1:]) for n, host in enumerate(spec)]
    rng = random.Random(seed)
    make = {
        "round robin": lambda: RoundRobin[FakeHost](seed, None),
        "least request": lambda: LeastRequest[FakeHost](seed, None, rng),
        "random": lambda: Random[FakeHost](rng),
    }[kind]
    found: LevelBalancer[FakeHost] = LevelBalancer(members, make, panic, {"a": 3, "b": 1} if weighted else None, rng)
    for change in [None, *changes]:
        if change is not None and change < len(members):
            members[change].healthy = not members[change].healthy
            found.refresh()
        before = found.panic_picks
        for _ in range(3):
            host = found.pick()
            if host is None:
                assert not any(member.healthy for member in members)
            elif not host.healthy:
                assert found.panic_picks > before
