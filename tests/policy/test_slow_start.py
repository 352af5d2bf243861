"""A host that joined just now carries a part of its weight."""

from __future__ import annotations

import pytest

from pyproxy.policy.slow_start import SlowStart, WarmUp
from tests.policy.fakes import FakeClock, FakeHost


def test_the_share_grows_with_the_age_from_the_least_percentage() -> None:
    clock = FakeClock()
    host = FakeHost("a", healthy_since=clock.now)
    warm_up = WarmUp(SlowStart(window=100), clock)

    shares = []
    for _ in range(5):
        shares.append(warm_up.share(host))
        clock.advance(25)

    assert shares == pytest.approx([0.1, 0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize(("aggression", "share"), [(1.0, 0.25), (2.0, 0.5), (0.5, 0.0625)])
def test_aggression_bends_the_way_up(aggression: float, share: float) -> None:
    clock = FakeClock()
    host = FakeHost("a", healthy_since=clock.now)
    warm_up = WarmUp(SlowStart(window=100, minimum_percent=0, aggression=aggression), clock)

    clock.advance(25)

    assert warm_up.share(host) == pytest.approx(share)


def test_a_new_host_is_at_least_a_millisecond_old() -> None:
    clock = FakeClock()
    warm_up = WarmUp(SlowStart(window=100, minimum_percent=0), clock)

    assert warm_up.share(FakeHost("a", healthy_since=clock.now)) == pytest.approx(0.00001)


def test_an_unhealthy_host_keeps_its_weight() -> None:
    clock = FakeClock()

    assert WarmUp(SlowStart(window=100), clock).share(FakeHost("a", healthy=False, healthy_since=clock.now)) == 1.0


def test_a_balancer_warms_up_with_its_first_hosts_and_again_with_each_that_joins() -> None:
    clock = FakeClock()
    warm_up = WarmUp(SlowStart(window=100), clock)
    assert warm_up.running

    clock.advance(101)
    assert not warm_up.running
    assert warm_up.share(FakeHost("a", healthy_since=clock.now)) == 1.0  # nobody told it of the host

    warm_up.notice([FakeHost("old", healthy_since=0.0), FakeHost("new", healthy_since=clock.now)])
    clock.advance(99)
    assert warm_up.running
    clock.advance(2)
    assert not warm_up.running


def test_a_host_that_joined_long_ago_does_not_start_it() -> None:
    clock = FakeClock()
    warm_up = WarmUp(SlowStart(window=10), clock)
    clock.advance(50)

    warm_up.notice([FakeHost("a", healthy_since=clock.now - 20), FakeHost("b", healthy=False, healthy_since=clock.now)])

    assert not warm_up.running
