"""Consistent hashing over priorities, panic and localities."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.consistent import ConsistentBalancer, Lookup, Weighted, normalize
from pyproxy.policy.ring_hash import Ring
from tests.policy.fakes import FakeHost, hosts, weighted_hosts


class Built:
    """Makes rings, and keeps for whom."""

    def __init__(self) -> None:
        self.for_whom: list[Weighted[FakeHost]] = []

    def __call__(self, weighted: Weighted[FakeHost]) -> Lookup[FakeHost]:
        self.for_whom.append(weighted)
        return Ring(weighted, 64).choose


def balancer(
    members: Sequence[FakeHost],
    *,
    panic: int = 50,
    weights: Mapping[str, int] | None = None,
    built: Built | None = None,
) -> ConsistentBalancer[FakeHost]:
    return ConsistentBalancer(members, built or Built(), panic, weights, random.Random(1))


def test_the_same_hash_meets_the_same_host() -> None:
    found = balancer(hosts(5))

    assert len({found.pick(12345) for _ in range(20)}) == 1


def test_a_request_without_a_hash_goes_anywhere() -> None:
    found = balancer(hosts(5))

    assert len({found.pick() for _ in range(200)}) == 5


def test_without_hosts_nothing_is_picked() -> None:
    assert balancer([]).pick(1) is None


def test_a_table_is_built_when_it_is_needed_and_kept_for_an_ejected_host_that_returns() -> None:
    built = Built()
    three = hosts(3)
    found = balancer(three, built=built)
    assert built.for_whom == []

    found.pick(1)
    three[0].healthy = False
    found.refresh()
    found.pick(1)
    three[0].healthy = True
    found.refresh()
    found.pick(1)

    assert [len(weighted) for weighted in built.for_whom] == [3, 2]


def test_few_tables_are_kept() -> None:
    built = Built()
    members = hosts(12)
    found = balancer(members, built=built)
    for count in range(1, 12):
        found.refresh(members[:count])
        found.pick(1)

    assert len(found._kept) == 4


def test_in_panic_the_table_has_all_hosts() -> None:
    four = hosts(4)
    for host in four[1:]:
        host.healthy = False
    built = Built()
    found = balancer(four, built=built)

    found.pick(1)

    assert len(built.for_whom[0]) == 4
    assert found.panic_picks == 1


def test_the_hash_decides_the_priority() -> None:
    first, second = hosts(2), hosts(1, priority=1, start=2)
    first[0].healthy = False
    found = balancer([*first, *second])

    assert found.pick(69) is first[1]
    assert found.pick(70) is second[0]
    assert found.pick(169) is first[1]


def test_a_retry_moves_on_until_it_meets_another_host() -> None:
    three = hosts(3)
    found = balancer(three)
    first = found.pick(99)
    assert first is not None

    second = found.pick(99, [first], 50)

    assert second is not first
    assert found.pick(99, [first], 0) is first


def test_with_nobody_left_untried_the_last_pick_stands() -> None:
    (only,) = hosts(1)

    assert balancer([only]).pick(1, [only], 5) is only


def test_each_host_has_its_part_of_the_whole() -> None:
    one, three = weighted_hosts(1, 3)

    assert normalize([one, three], None) == ((one, 0.25), (three, 0.75))


def test_localities_have_their_parts_first() -> None:
    east, west = hosts(2, locality="east"), hosts(1, locality="west", start=2)

    found = dict(normalize([*west, *east], {"east": 3, "west": 1, "none": 0}))

    assert found == {east[0]: 0.375, east[1]: 0.375, west[0]: 0.25}


def test_a_locality_that_is_down_leaves_its_part_empty() -> None:
    built = Built()
    east, west = hosts(3, locality="east"), hosts(1, locality="west", start=3)
    west[0].healthy = False

    balancer([*east, *west], weights={"east": 1, "west": 1, "nowhere": 8}, built=built).pick(1)

    assert [weight for _, weight in built.for_whom[0]] == pytest.approx([1 / 6] * 3)


@given(hashes=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), down=st.sets(st.integers(0, 4), max_size=2))
def test_an_ejection_moves_only_the_requests_of_the_ejected(hashes: list[int], down: set[int]) -> None:
    members = hosts(5)
    built = Built()

    def build(weighted: Weighted[FakeHost]) -> Lookup[FakeHost]:
        return Ring(weighted, 40 * len(weighted)).choose

    found = ConsistentBalancer(members, build, 0, None, random.Random(1))
    before = [found.pick(value) for value in hashes]
    for number in down:
        members[number].healthy = False
    found.refresh()

    for value, host in zip(hashes, before, strict=True):
        now = found.pick(value)
        assert now is not None and now.healthy
        assert host is not None and (now is host or not host.healthy)
    assert built.for_whom == []
