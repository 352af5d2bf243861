"""Round robin, least request and random over one set of hosts."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pyproxy.policy.choosers import LeastRequest, Random, RoundRobin
from pyproxy.policy.slow_start import SlowStart, WarmUp
from tests.policy.fakes import FakeClock, FakeHost, Rolls, hosts, weighted_hosts


def round_robin(seed: int = 0, warm_up: WarmUp | None = None) -> RoundRobin[FakeHost]:
    return RoundRobin(seed, warm_up)


def names(found: list[FakeHost | None]) -> list[str]:
    return [str(host) for host in found]


@pytest.mark.parametrize("chooser", [round_robin(), LeastRequest(0, None, random.Random(0)), Random(random.Random(0))])
def test_without_hosts_there_is_no_choice(chooser: RoundRobin[FakeHost]) -> None:
    assert chooser.choose() is None

    chooser.reset([])
    assert chooser.choose() is None


def test_round_robin_starts_anywhere_and_goes_round() -> None:
    chooser = round_robin(seed=7)
    three = hosts(3)
    chooser.reset(three)

    assert [chooser.choose() for _ in range(4)] == [three[1], three[2], three[0], three[1]]


def test_round_robin_goes_on_where_it_was_when_the_hosts_change() -> None:
    chooser = round_robin()
    three = hosts(3)
    chooser.reset(three)
    chooser.choose()

    chooser.reset(three[:2])

    assert chooser.choose() is three[1]


def test_round_robin_with_unequal_weights_gives_each_its_share() -> None:
    chooser = round_robin(seed=12345)
    light, heavy = weighted_hosts(1, 9)
    chooser.reset([light, heavy])

    assert Counter(names([chooser.choose() for _ in range(100)])) == {str(light): 10, str(heavy): 90}


def test_a_host_that_warms_up_gets_fewer_turns() -> None:
    clock = FakeClock()
    warm_up = WarmUp(SlowStart(window=100), clock)
    chooser = round_robin(warm_up=warm_up)
    old, new = hosts(2)
    new.healthy_since = clock.now
    chooser.reset([old, new])

    assert Counter(names([chooser.choose() for _ in range(110)])) == {str(old): 100, str(new): 10}

    clock.advance(101)
    chooser.reset([old, new])
    assert Counter(names([chooser.choose() for _ in range(110)])) == {str(old): 55, str(new): 55}


def test_least_request_takes_the_less_busy_of_two() -> None:
    idle, busy = hosts(2)
    busy.active = 5
    rolls = Rolls([0.0, 0.9, 0.9, 0.0, 0.9, 0.9])
    chooser: LeastRequest[FakeHost] = LeastRequest(0, None, rolls)
    chooser.reset([idle, busy])

    assert [chooser.choose() for _ in range(3)] == [idle, idle, busy]  # the last two rolls met the same host


def test_least_request_takes_the_first_of_two_that_are_equally_busy() -> None:
    first, second = hosts(2)
    chooser: LeastRequest[FakeHost] = LeastRequest(0, None, Rolls([0.9, 0.0]))
    chooser.reset([first, second])

    assert chooser.choose() is second


def test_least_request_with_one_host_rolls_nothing() -> None:
    rolls = Rolls()
    chooser: LeastRequest[FakeHost] = LeastRequest(0, None, rolls)
    (only,) = hosts(1)
    chooser.reset([only])

    assert chooser.choose() is only
    assert rolls.taken == 0


def test_least_request_with_unequal_weights_counts_what_a_host_has_to_do() -> None:
    light, heavy = weighted_hosts(1, 3)
    heavy.active = 5
    chooser: LeastRequest[FakeHost] = LeastRequest(0, None, random.Random(0))
    chooser.reset([light, heavy])

    assert Counter(names([chooser.choose() for _ in range(90)])) == {str(light): 60, str(heavy): 30}


def test_random_does_not_look_at_weights() -> None:
    chooser: Random[FakeHost] = Random(random.Random(1))
    chooser.reset(weighted_hosts(1, 99))

    counts = Counter(names([chooser.choose() for _ in range(2000)]))

    assert all(900 < count < 1100 for count in counts.values())
