"""Maglev's table. That its slots are Envoy's is shown in tests/differential."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pyproxy.policy.consistent import normalize
from pyproxy.policy.maglev import Maglev
from tests.policy.fakes import FakeHost, hosts, weighted_hosts

PRIME = 1009


def maglev(members: list[FakeHost], size: int = PRIME) -> Maglev[FakeHost]:
    return Maglev(normalize(members, None), size)


def table(members: list[FakeHost], size: int = PRIME) -> list[FakeHost | None]:
    found = maglev(members, size)
    return [found.choose(slot, 0) for slot in range(size)]


def test_an_empty_table_has_nobody() -> None:
    assert maglev([]).choose(1, 0) is None


def test_the_order_in_which_hosts_are_listed_does_not_matter() -> None:
    members = hosts(5)

    assert table(members) == table(members[::-1])


def test_a_shift_chooses_with_another_hash() -> None:
    found = maglev(hosts(5))

    assert found.choose(7, 1) is found.choose(7 ^ (2**64 - 1), 0)
    assert found.choose(7, 2) is found.choose(7 ^ (2**64 - 2), 0)


def test_there_may_be_more_hosts_than_slots() -> None:
    assert None not in table(hosts(10), 7)


@settings(max_examples=30)
@given(count=st.integers(1, 12))
def test_equal_hosts_have_the_same_number_of_slots_but_for_one(count: int) -> None:
    counts = Counter(map(str, table(hosts(count))))

    assert max(counts.values()) - min(counts.values()) <= 1


@settings(max_examples=30)
@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_slots_follow_the_weights(weights: list[int]) -> None:
    counts = Counter(map(str, table(weighted_hosts(*weights))))

    for host in weighted_hosts(*weights):
        assert abs(counts[str(host)] - PRIME * host.weight / sum(weights)) <= 3


@settings(max_examples=20)
@given(count=st.integers(3, 10), gone=st.integers(0, 9))
def test_when_a_host_goes_few_others_lose_a_request(count: int, gone: int) -> None:
    members = hosts(count)
    before = table(members)
    lost = members[gone % count]
    after = table([host for host in members if host is not lost])

    moved = sum(old is not new for old, new in zip(before, after, strict=True) if old is not lost)
    assert moved < PRIME * 0.2
