"""The counters of one host, and when they are full."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pyproxy.core.outcome import Outcome
from pyproxy.policy.ejections import Ejection
from pyproxy.policy.host_monitor import HostMonitor, OutlierPolicy, grpc_as_http
from tests.policy.fakes import FakeHost

FAILURES = [
    Outcome.LOCAL_CONNECTION_FAILURE,
    Outcome.REMOTE_CONNECTION_FAILURE,
    Outcome.CONNECTION_TIMEOUT,
    Outcome.CONNECTION_TERMINATION,
    Outcome.REMOTE_RESET,
    Outcome.REMOTE_REFUSED_STREAM,
    Outcome.REMOTE_CONNECT_ERROR,
    Outcome.LOCAL_RESET,
    Outcome.PROTOCOL_ERROR,
    Outcome.PER_TRY_TIMEOUT,
    Outcome.TIMEOUT,
]


class Noted:
    """Notes what is full; starts no counter anew."""

    def __init__(self, policy: OutlierPolicy) -> None:
        self.policy = policy
        self.full: list[Ejection] = []

    def on_threshold(self, monitor: HostMonitor[FakeHost], kind: Ejection) -> None:
        self.full.append(kind)


def monitor(**settings: object) -> tuple[HostMonitor[FakeHost], Noted]:
    judge = Noted(OutlierPolicy(**settings))  # type: ignore[arg-type]
    return HostMonitor(FakeHost("a"), judge), judge


def counts(found: HostMonitor[FakeHost]) -> tuple[int, int, int]:
    return found.consecutive_5xx, found.consecutive_gateway, found.consecutive_local_origin


def respond(found: HostMonitor[FakeHost], statuses: Iterable[int]) -> None:
    for status in statuses:
        found.record_response(status)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([500], (1, 0, 0)),
        ([502, 503, 504], (3, 3, 0)),
        ([503, 500], (2, 0, 0)),
        ([503, 499], (0, 0, 0)),
        ([503, 200, 503], (1, 1, 0)),
        ([503, 600], (0, 0, 0)),
    ],
)
def test_which_statuses_count(statuses: list[int], expected: tuple[int, int, int]) -> None:
    found, _ = monitor()

    respond(found, statuses)

    assert counts(found) == expected


def test_a_counter_is_full_when_it_equals_its_threshold_and_not_again_after() -> None:
    found, judge = monitor(consecutive_5xx=3, consecutive_gateway=2)

    respond(found, [503] * 6)

    assert judge.full == [Ejection.CONSECUTIVE_GATEWAY_FAILURE, Ejection.CONSECUTIVE_5XX]


def test_a_threshold_of_zero_is_never_reached() -> None:
    found, judge = monitor(consecutive_5xx=0, consecutive_gateway=0)

    respond(found, [503] * 20)

    assert judge.full == []


@pytest.mark.parametrize("outcome", FAILURES)
def test_failures_count_as_gateway_errors(outcome: Outcome) -> None:
    found, _ = monitor()

    found.record_failure(outcome)

    assert counts(found) == (1, 1, 0)


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - set(FAILURES), key=str))
def test_what_says_nothing_about_the_host_does_not_count(outcome: Outcome) -> None:
    found, _ = monitor()

    found.record_failure(outcome)
    found.record_connected()

    assert counts(found) == (0, 0, 0)
    assert found.external.total == found.local.total == 0


def test_split_failures_have_a_counter_of_their_own() -> None:
    found, judge = monitor(split_local_origin=True, consecutive_local_origin=2)

    found.record_failure(Outcome.CONNECTION_TIMEOUT)
    found.record_response(500)
    assert counts(found) == (1, 0, 1)  # a 500 is no gateway error here either

    found.record_connected()
    assert counts(found) == (1, 0, 0)

    found.record_failure(Outcome.REMOTE_RESET)
    found.record_response(404)
    assert counts(found) == (0, 0, 0)

    found.record_failure(Outcome.REMOTE_RESET)
    found.record_failure(Outcome.REMOTE_RESET)
    assert judge.full == [Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE]


def test_codes_of_ones_own_count_instead_of_the_standard_ones() -> None:
    found, _ = monitor(error_codes=frozenset({429, 503}))

    respond(found, [429])
    assert counts(found) == (1, 0, 0)  # as 500

    respond(found, [503])
    assert counts(found) == (2, 1, 0)  # as itself

    respond(found, [500])
    assert counts(found) == (0, 0, 0)  # a success


def test_rates_are_counted() -> None:
    found, _ = monitor(split_local_origin=True)

    respond(found, [200, 500, 404])
    found.record_failure(Outcome.REMOTE_RESET)

    assert (found.external.good, found.external.total) == (2, 3)
    assert (found.local.good, found.local.total) == (2, 3)


@pytest.mark.parametrize(
    ("status", "http"),
    [
        *((str(n).encode(), code) for n, code in enumerate([200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409])),
        (b"11", 400),
        (b"12", 501),
        (b"13", 500),
        (b"14", 503),
        (b"15", 500),
        (b"16", 401),
        (b"17", 500),
        (b"", 500),
        (b"x", 500),
    ],
)
def test_grpc_statuses_count_as_http(status: bytes, http: int) -> None:
    assert grpc_as_http(status) == http
