"""One outlier detector for several workers: what they send, what it finds, what they are told."""

from __future__ import annotations

import asyncio
import random

from pyproxy.core.loop import SystemClock
from pyproxy.core.outcome import Outcome
from pyproxy.policy.host_monitor import OutlierPolicy
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Cluster, Endpoint
from pyproxy.workers.sharing import Entry, Outbox, SupervisorSharing, WorkerSharing, record
from pyproxy.workers.table import CountTable, Slots

POLICY = OutlierPolicy(consecutive_5xx=4, max_ejection_percent=100, interval=10.0)
A, B = "10.0.0.1:80", "10.0.0.2:80"


def cluster(policy: OutlierPolicy | None = POLICY, *addresses: str) -> Cluster:
    endpoints = tuple(Endpoint(address, 80) for address in addresses or ("10.0.0.1", "10.0.0.2"))
    return Cluster("x", endpoints=endpoints, outlier=policy)


class Proxy:
    """A supervisor's cluster and two workers', joined without sockets."""

    def __init__(self, policy: OutlierPolicy | None = POLICY) -> None:
        table, slots, clock, rng = CountTable(2, slots=4), Slots(4), SystemClock(), random.Random(1)
        self.sent: list[Entry] = []
        self.messages = 0
        judge = SupervisorSharing(table, slots, clock, rng, self._tell)
        self.judging = ClusterState(cluster(policy), clock, rng, judge)
        self.sharings = [WorkerSharing(table, number, self._take) for number in range(2)]
        for sharing in self.sharings:
            sharing.slots = slots.by_name
        self.workers = [ClusterState(cluster(policy), clock, rng, sharing) for sharing in self.sharings]

    def _take(self, entries: list[Entry]) -> None:
        self.messages += 1
        self.sent += entries
        for _, key, what, times in entries:
            host = self.judging.host(str(key))
            assert host is not None
            assert host.monitor is not None
            record(host.monitor, what, times)  # type: ignore[arg-type]

    def _tell(self, name: str, host: HostState) -> None:
        for sharing in self.sharings:
            sharing.on_health(name, host.key, healthy=host.healthy)

    def answer(self, worker: int, status: int, key: str = A) -> None:
        host = self.workers[worker].host(key)
        assert host is not None
        assert host.monitor is not None
        host.monitor.record_connected()
        host.monitor.record_response(status)

    def healthy(self, key: str = A) -> list[bool]:
        return [found.healthy for state in self.workers if (found := state.host(key)) is not None]


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_errors_at_several_workers_add_up_to_one_ejection() -> None:
    proxy = Proxy()
    for worker in (0, 1, 1):
        proxy.answer(worker, 500)
        await turn()
    assert proxy.healthy() == [True, True]
    proxy.answer(0, 500)
    await turn()
    assert proxy.healthy() == [False, False]
    assert proxy.healthy(B) == [True, True]
    assert [state.stats.membership_healthy for state in proxy.workers] == [1, 1]
    proxy.judging.refresh_gauges()
    assert proxy.judging.stats.outlier_detection_ejections_active == 1
    for state in proxy.workers:
        state.refresh_gauges()
        assert state.stats.outlier_detection_ejections_active == 0


async def test_a_good_answer_anywhere_breaks_the_row() -> None:
    proxy = Proxy()
    for _ in range(3):
        proxy.answer(0, 500)
    await turn()
    proxy.answer(1, 200)
    await asyncio.sleep(0.03)
    proxy.answer(0, 500)
    await turn()
    assert proxy.healthy() == [True, True]


async def test_good_news_waits_and_is_counted_together() -> None:
    proxy = Proxy()
    for _ in range(1000):
        proxy.answer(0, 200)
    await turn()
    assert proxy.sent == []
    proxy.answer(0, 503)  # bad news takes all with it, in order
    await turn()
    assert proxy.sent == [["x", A, 200, 1000], ["x", A, 503, 1]]
    assert proxy.messages == 1
    proxy.answer(0, 200)
    await asyncio.sleep(0.03)
    assert proxy.sent[2:] == [["x", A, 200, 1]]


async def test_failures_are_told_as_what_they_are() -> None:
    proxy = Proxy()
    for worker in (0, 1, 0, 1):
        host = proxy.workers[worker].host(A)
        assert host is not None
        assert host.monitor is not None
        host.monitor.record_failure(Outcome.REMOTE_CONNECTION_FAILURE)
    await turn()
    assert proxy.healthy() == [False, False]


async def test_local_errors_are_counted_apart_where_the_policy_says() -> None:
    proxy = Proxy(OutlierPolicy(consecutive_local_origin=2, split_local_origin=True, max_ejection_percent=100))
    for worker, outcome in ((0, Outcome.CONNECTION_TIMEOUT), (1, None), (0, Outcome.CONNECTION_TIMEOUT)):
        host = proxy.workers[worker].host(A)
        assert host is not None
        assert host.monitor is not None
        if outcome is None:
            host.monitor.record_connected()
            await asyncio.sleep(0.03)
        else:
            host.monitor.record_failure(outcome)
            await turn()
    assert proxy.healthy() == [True, True]
    proxy.answer(1, 200)
    assert proxy.sent[1][2] == 0


async def test_the_end_of_outlier_detection_lets_all_return() -> None:
    proxy = Proxy()
    for _ in range(4):
        proxy.answer(0, 500)
    await turn()
    proxy.workers[0].reconfigure(cluster(None))
    assert proxy.healthy() == [True, False]
    proxy.judging.reconfigure(cluster(None))
    assert proxy.healthy() == [True, True]


async def test_who_leaves_and_comes_back_begins_anew() -> None:
    proxy = Proxy()
    for _ in range(4):
        proxy.answer(0, 500)
    await turn()
    for state in proxy.workers:
        state.reconfigure(cluster(POLICY, "10.0.0.2"))
        state.reconfigure(cluster(POLICY, "10.0.0.1", "10.0.0.2"))
    assert proxy.healthy() == [True, True]


def test_an_ejection_may_be_told_before_the_host_is_known() -> None:
    sharing = WorkerSharing(CountTable(1, slots=1), 0, lambda entries: None)
    sharing.on_health("x", A, healthy=False)
    sharing.on_health("x", B, healthy=False)
    sharing.on_health("x", B, healthy=True)
    state = ClusterState(cluster(), SystemClock(), random.Random(1), sharing)
    assert [host.healthy for host in state.hosts] == [False, True]


async def test_nothing_is_sent_twice() -> None:
    sent: list[list[Entry]] = []
    outbox = Outbox(sent.append)
    outbox.add(["x", A, 200, 1], urgent=False)
    outbox.add(["x", A, 500, 1], urgent=True)
    await asyncio.sleep(0.03)
    assert sent == [[["x", A, 200, 1], ["x", A, 500, 1]]]
