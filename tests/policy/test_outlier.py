"""Ejections of a cluster: who, how long, and how many."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pyproxy.core.outcome import Outcome
from pyproxy.policy.ejections import Ejection, EjectionEvent
from pyproxy.policy.outlier import OutlierDetector, OutlierPolicy
from tests.policy.fakes import FakeClock, FakeHost, Rolls, hosts


class Cluster:
    """A detector, its hosts, and what it told."""

    def __init__(self, count: int, *, rng: random.Random | None = None, **settings: object) -> None:
        self.clock = FakeClock()
        self.hosts = hosts(count)
        self.changed: list[FakeHost] = []
        self.events: list[EjectionEvent] = []
        policy = OutlierPolicy(**{"max_ejection_percent": 100, **settings})  # type: ignore[arg-type]
        self.detector: OutlierDetector[FakeHost] = OutlierDetector(
            policy, "shop", self.clock, rng or random.Random(1), self.changed.append
        )
        self.detector.on_event = self.events.append
        self.detector.watch(self.hosts)

    def fail(self, number: int = 0, times: int = 5, status: int = 500) -> None:
        for _ in range(times):
            self.detector.monitor(self.hosts[number]).record_response(status)

    def sweep_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.detector.sweep()

    @property
    def healthy(self) -> list[bool]:
        return [host.healthy for host in self.hosts]


def test_five_errors_in_a_row_eject_a_host() -> None:
    cluster = Cluster(2)

    cluster.fail(times=4)
    assert cluster.healthy == [True, True]

    cluster.fail(times=1)
    assert cluster.healthy == [False, True]
    assert cluster.changed == [cluster.hosts[0]]
    assert cluster.detector.active == 1
    assert cluster.detector.enforced == {Ejection.CONSECUTIVE_5XX: 1}


def test_a_success_in_between_begins_anew() -> None:
    cluster = Cluster(1)

    cluster.fail(times=4)
    cluster.fail(times=1, status=200)
    cluster.fail(times=4)

    assert cluster.healthy == [True]


@pytest.mark.parametrize(("count", "ejected"), [(1, 0), (3, 0), (9, 0), (10, 1), (19, 1), (20, 2)])
def test_ten_percent_of_few_hosts_is_nobody(count: int, ejected: int) -> None:
    cluster = Cluster(count, max_ejection_percent=10)

    for number in range(count):
        cluster.fail(number)

    assert cluster.healthy.count(False) == ejected
    assert cluster.detector.overflow == count - ejected


def test_one_host_may_always_go_where_that_is_set() -> None:
    cluster = Cluster(3, max_ejection_percent=10, always_eject_one=True)

    cluster.fail(0)
    cluster.fail(1)

    assert cluster.healthy == [False, True, True]
    assert cluster.detector.overflow == 1


def test_a_counter_starts_anew_when_nobody_could_be_ejected() -> None:
    cluster = Cluster(3, max_ejection_percent=10)

    cluster.fail(times=9, status=503)
    assert cluster.detector.detected == {Ejection.CONSECUTIVE_5XX: 1, Ejection.CONSECUTIVE_GATEWAY_FAILURE: 1}

    cluster.fail(times=1, status=503)
    assert cluster.detector.detected[Ejection.CONSECUTIVE_5XX] == 2


def test_gateway_failures_are_counted_and_enforced_only_when_told() -> None:
    cluster = Cluster(1, consecutive_gateway=3, consecutive_5xx=0)
    cluster.fail(times=3, status=503)
    assert cluster.healthy == [True]
    assert cluster.detector.detected == {Ejection.CONSECUTIVE_GATEWAY_FAILURE: 1}
    assert [event.enforced for event in cluster.events] == [False]

    cluster = Cluster(1, consecutive_gateway=3, enforcing_gateway=100)
    cluster.fail(times=3, status=503)
    assert cluster.healthy == [False]


def test_a_part_is_enforced() -> None:
    cluster = Cluster(2, enforcing_5xx=30, consecutive_gateway=0, rng=Rolls([0.3, 0.29]))

    cluster.fail(0)
    cluster.fail(1)

    assert cluster.healthy == [True, False]


def test_local_failures_eject_when_they_are_split() -> None:
    cluster = Cluster(1, split_local_origin=True)

    for _ in range(5):
        cluster.detector.monitor(cluster.hosts[0]).record_failure(Outcome.REMOTE_CONNECTION_FAILURE)

    assert cluster.healthy == [False]
    assert cluster.detector.enforced == {Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE: 1}


# Returning


def test_a_host_returns_at_the_first_sweep_after_its_time() -> None:
    cluster = Cluster(1)
    cluster.fail()

    cluster.sweep_after(29.9)
    assert cluster.healthy == [False]

    cluster.sweep_after(0.1)
    assert cluster.healthy == [True]
    assert cluster.detector.active == 0
    assert cluster.changed == [cluster.hosts[0]] * 2


def test_the_time_that_is_left_can_be_told() -> None:
    cluster = Cluster(2, interval=10, base_ejection_time=30)
    first, second = cluster.hosts
    assert cluster.detector.time_left(first) == cluster.detector.times_ejected(first) == 0

    cluster.fail()
    assert cluster.detector.time_left(first) == 30
    cluster.sweep_after(12)
    assert cluster.detector.time_left(first) == 18
    assert cluster.detector.time_left(second) == 0
    cluster.clock.advance(20)
    assert cluster.detector.time_left(first) == 0  # and the next sweep lets it return
    cluster.detector.sweep()
    assert (cluster.detector.time_left(first), cluster.detector.times_ejected(first)) == (0, 1)


def test_it_returns_with_a_clean_slate() -> None:
    cluster = Cluster(1)
    cluster.fail(times=9)

    cluster.sweep_after(30)
    cluster.fail(times=4)

    assert cluster.healthy == [True]


def ejected_for(cluster: Cluster) -> float:
    """Eject the first host, and sweep every second until it is back."""
    cluster.fail()
    assert cluster.healthy == [False]
    began = cluster.clock.now
    while not cluster.hosts[0].healthy:
        cluster.sweep_after(1)
    return cluster.clock.now - began


def test_each_ejection_is_longer_up_to_the_maximum() -> None:
    cluster = Cluster(1, interval=1e9)  # no forgiveness

    assert [ejected_for(cluster) for _ in range(12)] == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]


def test_a_base_beyond_the_maximum_is_the_maximum() -> None:
    assert ejected_for(Cluster(1, base_ejection_time=400, interval=1e9)) == 400


def test_each_interval_without_ejection_shortens_the_next() -> None:
    cluster = Cluster(1)
    monitor = cluster.detector.monitor(cluster.hosts[0])
    for _ in range(3):
        cluster.fail()
        cluster.sweep_after(300)
    assert monitor.backoff == 3

    cluster.sweep_after(9)
    assert monitor.backoff == 3  # less than an interval ago it came back

    cluster.sweep_after(1)
    assert monitor.backoff == 2
    for _ in range(5):
        cluster.sweep_after(10)
    assert monitor.backoff == 0


def test_jitter_makes_an_ejection_longer() -> None:
    cluster = Cluster(1, max_ejection_time_jitter=10, rng=Rolls([0.0, 0.5]))

    assert ejected_for(cluster) == 35


# Rates


def test_hosts_that_fail_more_than_others_are_told_of_but_not_ejected() -> None:
    cluster = Cluster(6)
    for number in range(6):
        bad = number == 0
        for _ in range(100):
            cluster.fail(number, 1, 500 if bad else 200)
            cluster.fail(number, 1, 200)
    cluster.events.clear()
    cluster.sweep_after(10)

    (event,) = cluster.events
    assert (event.kind, event.host, event.enforced) == (Ejection.SUCCESS_RATE, cluster.hosts[0].key, False)
    assert event.details == {
        "host_success_rate": 50,
        "cluster_average_success_rate": 91,
        "cluster_success_rate_ejection_threshold": 56,
    }
    assert cluster.healthy == [True] * 6


def test_a_failure_percentage_may_be_enforced() -> None:
    cluster = Cluster(
        2, consecutive_5xx=0, failure_percentage_minimum_hosts=1, enforcing_failure_percentage=100, rng=Rolls()
    )
    cluster.fail(times=50)
    cluster.sweep_after(10)

    assert cluster.healthy == [False, True]
    assert cluster.detector.enforced == {Ejection.FAILURE_PERCENTAGE: 1}


# Membership


def test_a_host_that_leaves_takes_its_ejection_along() -> None:
    cluster = Cluster(3)
    cluster.fail(0)
    stays = cluster.detector.monitor(cluster.hosts[1])
    cluster.fail(1, times=2)

    cluster.detector.watch(cluster.hosts[1:])

    assert cluster.detector.active == 0
    assert cluster.detector.monitor(cluster.hosts[1]) is stays
    assert stays.consecutive_5xx == 2


def test_a_host_that_left_is_not_ejected_any_more() -> None:
    cluster = Cluster(2)
    gone = cluster.detector.monitor(cluster.hosts[0])
    cluster.detector.watch(cluster.hosts[1:])

    for _ in range(5):
        gone.record_response(503)

    assert cluster.hosts[0].healthy


def test_another_policy_leaves_the_counts() -> None:
    cluster = Cluster(1)
    cluster.fail(times=2)

    cluster.detector.policy = OutlierPolicy(consecutive_5xx=3, max_ejection_percent=100)
    cluster.fail(times=1)

    assert cluster.healthy == [False]


def test_where_detection_ends_all_return() -> None:
    cluster = Cluster(2)
    cluster.fail(0)

    cluster.detector.release()

    assert cluster.healthy == [True, True]
    assert cluster.changed == [cluster.hosts[0]] * 2


# Telling


def test_every_ejection_and_return_is_told() -> None:
    cluster = Cluster(1, consecutive_gateway=0)
    cluster.fail()
    cluster.sweep_after(31.5)
    cluster.clock.advance(5)
    cluster.fail()

    first, back, second = cluster.events
    assert (first.ejected, first.times_ejected, first.enforced, first.seconds_since_last) == (True, 1, True, None)
    assert (back.ejected, back.times_ejected, back.enforced, back.seconds_since_last) == (False, 1, False, 31)
    assert (second.ejected, second.times_ejected, second.enforced, second.seconds_since_last) == (True, 2, True, 5)
    assert {event.cluster for event in cluster.events} == {"shop"}
    assert first.at == 1_700_000_000.0 + 1000


# As a machine


class Detection(RuleBasedStateMachine):
    """Whatever happens in a cluster, the ejections add up."""

    @initialize(
        count=st.integers(1, 12),
        percent=st.integers(0, 100),
        always=st.booleans(),
        split=st.booleans(),
        threshold=st.integers(0, 3),
        enforcing=st.sampled_from([0, 50, 100]),
        seed=st.integers(0, 999),
    )
    def begin(
        self, count: int, percent: int, always: bool, split: bool, threshold: int, enforcing: int, seed: int
    ) -> None:
        self.cluster = Cluster(
            count,
            rng=random.Random(seed),
            max_ejection_percent=percent,
            always_eject_one=always,
            split_local_origin=split,
            consecutive_5xx=threshold,
            enforcing_gateway=enforcing,
            consecutive_gateway=2,
            consecutive_local_origin=2,
        )
        self.percent, self.always = percent, always
        self.returns: dict[FakeHost, float] = {}

    @rule(which=st.integers(0, 11), statuses=st.lists(st.sampled_from([200, 404, 500, 503]), max_size=5))
    def respond(self, which: int, statuses: Sequence[int]) -> None:
        for status in statuses:
            self._then_check_ceiling(which, lambda monitor, status=status: monitor.record_response(status))

    @rule(which=st.integers(0, 11), outcome=st.sampled_from(sorted(Outcome, key=str)), times=st.integers(1, 3))
    def fail(self, which: int, outcome: Outcome, times: int) -> None:
        for _ in range(times):
            self._then_check_ceiling(which, lambda monitor: monitor.record_failure(outcome))

    def _then_check_ceiling(self, which: int, act) -> None:  # type: ignore[no-untyped-def]
        members = self.cluster.hosts
        if not members:
            return
        host = members[which % len(members)]
        before = self.cluster.detector.active
        was_healthy = host.healthy
        act(self.cluster.detector.monitor(host))
        if self.cluster.detector.active > before:
            share = 100.0 * self.cluster.detector.active / len(members)
            assert share <= self.percent or (self.always and before == 0)
            assert was_healthy and not host.healthy
            monitor = self.cluster.detector.monitor(host)
            self.returns[host] = self.cluster.clock.now + min(30.0 * monitor.backoff, 300.0)

    @rule(seconds=st.sampled_from([1, 10, 31, 400]))
    def sweep(self, seconds: int) -> None:
        self.cluster.sweep_after(seconds)
        for host in self.cluster.hosts:
            due = self.returns.get(host)
            if due is not None:
                assert host.healthy is (due <= self.cluster.clock.now)
                if host.healthy:
                    del self.returns[host]
            monitor = self.cluster.detector.monitor(host)
            assert 0 <= monitor.backoff <= 10

    @rule(keep=st.integers(0, 12), more=st.integers(0, 3))
    def change_membership(self, keep: int, more: int) -> None:
        self.cluster.hosts = [*self.cluster.hosts[:keep], *hosts(more, start=100)][:12]
        self.returns = {host: due for host, due in self.returns.items() if host in self.cluster.hosts}
        self.cluster.detector.watch(self.cluster.hosts)

    @invariant()
    def ejections_add_up(self) -> None:
        if hasattr(self, "cluster"):
            detector = self.cluster.detector
            assert detector.active == self.cluster.healthy.count(False) == len(self.returns)
            for kind, count in detector.enforced.items():
                assert count <= detector.detected[kind]


TestDetection = Detection.TestCase
