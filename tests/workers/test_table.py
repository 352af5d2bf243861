"""Counts in memory that several processes see."""

from __future__ import annotations

import os

from pyproxy.policy.circuit_breaker import CONNECTIONS, PENDING, REQUESTS, RETRIES, Ceilings, CircuitBreakers
from pyproxy.workers.table import CountTable, Slots


def ceilings(table: CountTable, worker: int, slot: int, limits: CircuitBreakers) -> Ceilings:
    return Ceilings(limits, table.of_worker(worker, slot))


def test_a_ceiling_counts_what_the_others_have() -> None:
    table, limits = CountTable(3, slots=2), CircuitBreakers(1, 1, 2, 1)
    first, second, third = (ceilings(table, worker, 1, limits) for worker in range(3))
    elsewhere = ceilings(table, 1, 0, limits)

    first.count_requests(1)
    assert (second.may_request, third.total(REQUESTS)) == (True, 1)
    third.count_requests(1)
    assert not first.may_request
    assert not second.may_request
    assert elsewhere.may_request
    third.count_requests(-1)
    assert second.may_request

    second.count_connections(1)
    second.count_pending(1)
    second.count_retries(1)
    assert not (first.may_connect or first.may_wait or first.may_retry)
    assert [first.total(column) for column in (CONNECTIONS, PENDING, REQUESTS, RETRIES)] == [1, 1, 1, 1]
    assert (first.connections, first.pending, first.requests, first.retries) == (0, 0, 1, 0)


def test_a_retry_budget_is_of_the_requests_of_all() -> None:
    table = CountTable(2, slots=1)
    limits = CircuitBreakers(retry_budget_percent=50.0, retry_budget_min_concurrency=0)
    mine, other = (ceilings(table, worker, 0, limits) for worker in range(2))
    other.count_requests(3)
    other.count_pending(1)
    assert mine.max_retries == 2
    other.count_retries(2)
    assert not mine.may_retry


def test_who_only_reads_sees_all_and_writes_nothing() -> None:
    table, limits = CountTable(2, slots=1), CircuitBreakers()
    for worker in range(2):
        ceilings(table, worker, 0, limits).count_requests(worker + 1)
    reader = Ceilings(limits, table.of_all(0))
    assert reader.total(REQUESTS) == 3
    reader.count_requests(5)
    assert ceilings(table, 0, 0, limits).total(REQUESTS) == 2


def test_a_dead_worker_has_nothing_in_flight() -> None:
    table, limits = CountTable(2, slots=3), CircuitBreakers()
    for worker in range(2):
        for slot in range(3):
            ceilings(table, worker, slot, limits).count_requests(7)
    table.clear(0, 2)
    assert [Ceilings(limits, table.of_all(slot)).total(REQUESTS) for slot in range(3)] == [7, 7, 14]


def test_another_process_sees_the_same() -> None:
    table, limits = CountTable(2, slots=1), CircuitBreakers(max_requests=1)
    pid = os.fork()
    if pid == 0:
        ceilings(table, 1, 0, limits).count_requests(1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert not ceilings(table, 0, 0, limits).may_request


def test_a_cluster_keeps_its_slot_and_counts_for_itself_when_there_is_none_left() -> None:
    slots, table = Slots(limit=2), CountTable(2, slots=2)
    assert [slots.assign(name) for name in ("a", "b", "a", "c", "b")] == [0, 1, 0, None, 1]
    assert slots.by_name == {"a": 0, "b": 1}
    assert table.of_worker(0, None) is None
    assert table.of_all(None) is None
