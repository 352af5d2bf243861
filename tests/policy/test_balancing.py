"""The settings choose the balancer."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pyproxy.policy.balancing import Algorithm, LoadBalancing, SlowStart, build_balancer
from pyproxy.policy.consistent import normalize
from pyproxy.policy.ring_hash import Ring
from tests.policy.fakes import FakeClock, FakeHost, Rolls, hosts, weighted_hosts


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_uses_every_host(algorithm: Algorithm) -> None:
    members = hosts(4)
    found = build_balancer(LoadBalancing(algorithm, maglev_table_size=1009), members, random.Random(1), FakeClock())

    assert {found.pick() for _ in range(300)} == set(members)


@pytest.mark.parametrize("algorithm", [Algorithm.RING_HASH, Algorithm.MAGLEV])
def test_hashing_follows_the_hash(algorithm: Algorithm) -> None:
    found = build_balancer(LoadBalancing(algorithm, maglev_table_size=1009), hosts(4), random.Random(1), FakeClock())

    assert len({found.pick(42) for _ in range(30)}) == 1


def test_the_default_is_least_request() -> None:
    idle, busy = hosts(2)
    busy.active = 9
    found = build_balancer(LoadBalancing(), [idle, busy], random.Random(1), FakeClock())

    assert Counter(str(found.pick()) for _ in range(1000))[str(busy)] < 330


def test_the_sizes_of_ring_and_table_are_used() -> None:
    members = hosts(3)
    ring = build_balancer(LoadBalancing(Algorithm.RING_HASH, ring_minimum_size=3), members, Rolls(), FakeClock())
    table = build_balancer(LoadBalancing(Algorithm.MAGLEV, maglev_table_size=7), members, Rolls(), FakeClock())

    smallest = Ring(normalize(members, None), 3)
    hashes = [number << 58 for number in range(64)]
    assert [ring.pick(value) for value in hashes] == [smallest.choose(value, 0) for value in hashes]
    assert [table.pick(slot) for slot in range(7)] == [table.pick(slot + 7) for slot in range(7)]


@pytest.mark.parametrize(
    ("threshold", "panics"), [(0.0, False), (25.0, False), (25.9, False), (26.0, True), (50.0, True)]
)
def test_the_panic_threshold_is_a_whole_percentage(threshold: float, panics: bool) -> None:
    members = hosts(4)
    for host in members[1:]:
        host.healthy = False
    found = build_balancer(LoadBalancing(panic_threshold=threshold), members, random.Random(1), FakeClock())

    found.pick()

    assert bool(found.panic_picks) is panics


def test_the_panic_threshold_is_cut_where_floats_cut_it_as_in_envoy() -> None:
    members = hosts(7)
    for host in members[2:]:
        host.healthy = False
    found = build_balancer(LoadBalancing(panic_threshold=29), members, random.Random(1), FakeClock())

    found.pick()

    assert found.panic_picks == 0  # 2 of 7 are 28.6 %, but 100 * (29 / 100) is less than 29


def test_locality_weights_and_slow_start_reach_the_choosers() -> None:
    clock = FakeClock()
    old, new, other = hosts(3, locality="east")
    other.locality = "west"
    new.healthy_since = clock.now
    policy = LoadBalancing(
        Algorithm.ROUND_ROBIN, slow_start=SlowStart(100), locality_weights={"east": 110, "west": 110}
    )

    found = build_balancer(policy, [old, new, other], Rolls(), clock)

    assert Counter(str(found.pick()) for _ in range(220)) == {str(old): 100, str(new): 10, str(other): 110}


def test_balancers_with_one_seed_start_alike() -> None:
    members = weighted_hosts(1, 2, 3)
    policy = LoadBalancing(Algorithm.ROUND_ROBIN)

    def run(seed: int) -> list[FakeHost | None]:
        found = build_balancer(policy, members, random.Random(seed), FakeClock())
        return [found.pick() for _ in range(12)]

    assert run(5) == run(5)
