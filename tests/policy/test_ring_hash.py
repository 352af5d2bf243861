"""Ketama's ring. That its points are Envoy's is shown in tests/differential."""

from __future__ import annotations

from collections import Counter

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.policy.consistent import normalize
from pyproxy.policy.ring_hash import Ring
from tests.policy.fakes import FakeHost, hosts, weighted_hosts


def ring(members: list[FakeHost], size: int = 1024) -> Ring[FakeHost]:
    return Ring(normalize(members, None), size)


@pytest.mark.parametrize(
    ("weights", "size", "points"),
    [
        ((1, 1, 1), 1024, 1026),
        ((1,), 1024, 1024),
        ((1, 1, 1, 1, 1, 1, 1), 1024, 1029),
        ((1, 3), 8, 8),
        ((1, 1, 1), 1, 3),
    ],
)
def test_the_least_host_has_a_whole_number_of_points(weights: tuple[int, ...], size: int, points: int) -> None:
    assert len(ring(weighted_hosts(*weights), size)) == points


def test_points_are_hashes_of_the_key_and_a_number() -> None:
    (only,) = hosts(1)
    other = hosts(1, start=1)[0]
    found = ring([only, other], 4)
    point = xxhash.xxh64_intdigest(b"10.0.0.0:80_1")

    assert found.choose(point, 0) is only


def test_a_hash_beyond_the_last_point_goes_to_the_first() -> None:
    found = ring(hosts(3))

    assert found.choose(2**64 - 1, 0) is found.choose(0, 0)


def test_an_empty_ring_has_nobody() -> None:
    assert ring([]).choose(1, 0) is None


def test_a_shift_moves_on_point_by_point_and_round() -> None:
    found = ring(hosts(3), 3)

    assert found.choose(5, 3) is found.choose(5, 0)
    assert {found.choose(5, shift) for shift in range(3)} == {found.choose(5, shift) for shift in range(3, 6)}


@given(count=st.integers(2, 8), gone=st.integers(0, 7), hashes=st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_when_a_host_goes_only_its_requests_move(count: int, gone: int, hashes: list[int]) -> None:
    members = hosts(count)
    left = [host for number, host in enumerate(members) if number != gone % count]
    before, after = ring(members, 64 * count), ring(left, 64 * len(left))  # each host has 64 points in both

    for value in hashes:
        owner = before.choose(value, 0)
        if owner in left:
            assert after.choose(value, 0) is owner


@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_points_follow_the_weights(weights: list[int]) -> None:
    members = weighted_hosts(*weights)
    found = ring(members)
    counts = Counter(str(owner) for owner in found._owners)

    scale = len(found) / sum(weights)
    for host in members:
        assert abs(counts[str(host)] - host.weight * scale) <= 1.5
