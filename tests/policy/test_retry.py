"""Envoy's retry state: conditions, limits, waits, ceilings, steering by headers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pyproxy.core.http import Headers
from pyproxy.core.outcome import Outcome
from pyproxy.policy.circuit_breaker import Ceilings, CircuitBreakers
from pyproxy.policy.retry import (
    GRPC_CONDITIONS,
    HTTP_CONDITIONS,
    ISTIO_DEFAULT,
    ISTIO_INBOUND_DEFAULT,
    STEERING_HEADERS,
    RetryPolicy,
    RetryState,
    steered,
)
from tests.policy.fakes import Rolls

CONNECT = {Outcome.LOCAL_CONNECTION_FAILURE, Outcome.REMOTE_CONNECTION_FAILURE, Outcome.CONNECTION_TIMEOUT}
RESETS = CONNECT | {
    Outcome.CONNECTION_TERMINATION,
    Outcome.REMOTE_RESET,
    Outcome.REMOTE_REFUSED_STREAM,
    Outcome.REMOTE_CONNECT_ERROR,
    Outcome.LOCAL_RESET,
    Outcome.PROTOCOL_ERROR,
    Outcome.PER_TRY_TIMEOUT,
}
FINAL = {Outcome.OVERFLOW, Outcome.TIMEOUT, Outcome.NO_HEALTHY_UPSTREAM, Outcome.RESPONSE}


def policy(*words: str, attempts: int = 2, codes: frozenset[int] = frozenset()) -> RetryPolicy:
    return RetryPolicy(attempts, frozenset(words), codes)


def state(*words: str, attempts: int = 2) -> RetryState:
    return RetryState(policy(*words, attempts=attempts), random.Random(0))


# Conditions


def test_every_outcome_is_either_a_reset_or_final() -> None:
    assert set(Outcome) == RESETS | FINAL
    assert not RESETS & FINAL


@pytest.mark.parametrize(
    ("word", "statuses"),
    [
        ("5xx", set(range(500, 600))),
        ("gateway-error", {502, 503, 504}),
        ("retriable-4xx", {409}),
        ("retriable-status-codes", {418, 503}),
        ("reset", set()),
        ("reset-before-request", set()),
        ("connect-failure", set()),
        ("refused-stream", set()),
        ("envoy-ratelimited", set()),
        ("retriable-headers", set()),
        ("http3-post-connect-failure", set()),
        ("cancelled", set()),
        ("nonsense", set()),
    ],
)
def test_which_statuses_a_word_stands_for(word: str, statuses: set[int]) -> None:
    found = policy(word, codes=frozenset({418, 503}))

    assert {status for status in range(100, 600) if found.wants_response(status, [])} == statuses


@pytest.mark.parametrize(
    ("word", "failures"),
    [
        ("5xx", RESETS),
        ("gateway-error", RESETS),
        ("reset", RESETS),
        ("connect-failure", CONNECT),
        ("refused-stream", {Outcome.REMOTE_REFUSED_STREAM}),
        ("reset-before-request", set()),
        ("retriable-4xx", set()),
        ("retriable-status-codes", set()),
        ("unavailable", set()),
    ],
)
def test_which_failures_a_word_stands_for(word: str, failures: set[Outcome]) -> None:
    assert {outcome for outcome in Outcome if policy(word).wants_failure(outcome, request_sent=True)} == failures


def test_before_the_request_is_sent_any_reset_will_do() -> None:
    found = policy("reset-before-request")

    assert {outcome for outcome in Outcome if found.wants_failure(outcome, request_sent=False)} == RESETS


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("cancelled", b"1"),
        ("deadline-exceeded", b"4"),
        ("resource-exhausted", b"8"),
        ("internal", b"13"),
        ("unavailable", b"14"),
    ],
)
def test_which_grpc_status_a_word_stands_for(word: str, status: bytes) -> None:
    found = policy(word)

    assert found.wants_response(200, [(b"content-type", b"application/grpc"), (b"grpc-status", status)])
    assert not found.wants_response(200, [(b"grpc-status", b"2")])
    assert not found.wants_response(503, [])


def test_a_rate_limited_response_is_tried_again_by_its_own_word_only() -> None:
    limited: Headers = [(b"grpc-status", b"14"), (b"x-envoy-ratelimited", b"")]

    assert not policy("5xx", "unavailable", "retriable-headers").wants_response(503, limited)
    assert policy("envoy-ratelimited").wants_response(200, limited)


def test_retriable_headers_are_looked_for_by_name() -> None:
    named = RetryPolicy(1, frozenset({"retriable-headers"}), retriable_headers=frozenset({b"x-again"}))

    assert named.wants_response(200, [(b"x-again", b"no matter")])
    assert not named.wants_response(200, [(b"x-other", b"1")])
    assert not RetryPolicy(1, frozenset({"5xx"}), retriable_headers=frozenset({b"x-again"})).wants_response(
        200, [(b"x-again", b"1")]
    )


def test_istios_default_tries_again_what_cannot_have_been_done() -> None:
    assert ISTIO_DEFAULT.failures == CONNECT | {Outcome.REMOTE_REFUSED_STREAM}
    assert ISTIO_DEFAULT.statuses == frozenset()
    assert ISTIO_DEFAULT.grpc_statuses == {b"1", b"14"}
    assert ISTIO_INBOUND_DEFAULT.wants_failure(Outcome.REMOTE_RESET, request_sent=False)
    assert not ISTIO_INBOUND_DEFAULT.wants_failure(Outcome.REMOTE_RESET, request_sent=True)


# Limits


def test_attempts_are_retries_and_then_it_is_exhausted() -> None:
    found = state("5xx", attempts=2)

    waits = [found.after_response(503, []) for _ in range(3)]

    assert [wait is None for wait in waits] == [False, False, True]
    assert found.exhausted
    assert found.retries == 2
    assert not found.succeeded


def test_what_is_not_wanted_is_final_but_not_exhausted() -> None:
    found = state("gateway-error", attempts=0)

    assert found.after_response(500, []) is None
    assert found.after_failure(Outcome.OVERFLOW, request_sent=False) is None
    assert not found.exhausted

    assert found.after_response(503, []) is None
    assert found.exhausted


def test_a_retry_that_helped_is_a_success() -> None:
    found = state("5xx")
    assert found.after_response(200, []) is None
    assert not found.succeeded

    found = state("5xx")
    found.after_failure(Outcome.REMOTE_RESET, request_sent=True)
    assert found.after_response(404, []) is None
    assert found.succeeded


# Waits


def test_the_interval_doubles_up_to_its_maximum() -> None:
    found = RetryState(RetryPolicy(9, frozenset({"5xx"})), Rolls([0.9999] * 9))

    assert [found.after_response(500, []) for _ in range(6)] == [0.024, 0.049, 0.099, 0.199, 0.249, 0.249]


def test_a_wait_may_be_nothing() -> None:
    assert RetryState(policy("5xx"), Rolls([0.0])).after_response(500, []) == 0.0


def test_an_interval_is_at_least_a_millisecond() -> None:
    short = RetryPolicy(3, frozenset({"5xx"}), backoff_base=0.0001, backoff_max=0.001)
    found = RetryState(short, Rolls([0.999] * 3))

    assert [found.after_response(500, []) for _ in range(2)] == [0.0, 0.0]


def test_too_early_is_tried_again_at_once() -> None:
    found = RetryState(policy("retriable-status-codes", codes=frozenset({425})), Rolls([0.9]))

    assert found.after_response(425, []) == 0.0


# Ceilings


def test_a_retry_occupies_its_place_from_the_decision_to_the_next() -> None:
    ceilings = Ceilings(CircuitBreakers(max_retries=1))
    one = RetryState(policy("5xx"), random.Random(0), ceilings)
    two = RetryState(policy("5xx"), random.Random(0), ceilings)

    assert one.after_response(503, []) is not None
    assert ceilings.retries == 1
    assert two.after_response(503, []) is None
    assert two.overflowed
    assert not two.exhausted

    assert one.after_response(503, []) is not None  # its own place is free for it
    assert one.after_response(200, []) is None
    assert ceilings.retries == 0


def test_a_refused_retry_is_used_up() -> None:
    ceilings = Ceilings(CircuitBreakers(max_retries=0))
    found = RetryState(policy("5xx", attempts=1), random.Random(0), ceilings)

    found.after_response(503, [])
    found.after_response(503, [])

    assert found.exhausted


def test_closing_gives_the_place_back_once() -> None:
    ceilings = Ceilings(CircuitBreakers())
    found = RetryState(policy("5xx"), random.Random(0), ceilings)
    found.after_response(503, [])

    found.close()
    found.close()

    assert ceilings.retries == 0


# Steering


def test_without_headers_the_policy_stays_itself() -> None:
    assert steered(ISTIO_DEFAULT, [(b"x-other", b"1")]) is ISTIO_DEFAULT
    assert steered(None, []) is None


def test_words_and_codes_are_added() -> None:
    found = steered(
        policy("5xx", codes=frozenset({418})),
        [
            (b"x-envoy-retry-on", b"reset, retriable-status-codes ,nonsense,unavailable"),
            (b"x-envoy-retry-grpc-on", b"cancelled,5xx"),
            (b"x-envoy-retriable-status-codes", b"404, 410,x"),
            (b"x-envoy-retriable-header-names", b"X-One, ,x-two"),
        ],
    )

    assert found is not None
    assert found.retry_on == {"5xx", "reset", "retriable-status-codes", "cancelled"}
    assert found.retriable_status_codes == {418, 404, 410}
    assert found.retriable_headers == {b"x-one", b"x-two"}
    assert found.attempts == 2
    assert {404, 410, 418, 500} <= found.statuses


@pytest.mark.parametrize(("value", "attempts"), [(b"7", 7), (b"0", 0), (b" 3 ", 3), (b"x", 2), (b"-1", 2), (b"", 2)])
def test_the_number_of_retries_is_replaced(value: bytes, attempts: int) -> None:
    found = steered(policy("5xx"), [(b"x-envoy-max-retries", value)])

    assert found is not None
    assert found.attempts == attempts


def test_headers_make_a_policy_where_there_is_none() -> None:
    found = steered(None, [(b"x-envoy-retry-on", b"5xx")])

    assert found is not None
    assert (found.attempts, found.avoid_previous_hosts) == (1, False)


@pytest.mark.parametrize("value", [b"", b"nonsense", b"cancelled"])
def test_words_that_nobody_knows_make_no_policy(value: bytes) -> None:
    assert steered(None, [(b"x-envoy-retry-on", value), (b"x-envoy-max-retries", b"5")]) is None


def test_steering_headers_are_those_that_envoy_consumes() -> None:
    assert {name.decode() for name in STEERING_HEADERS} == {
        "x-envoy-retry-on",
        "x-envoy-retry-grpc-on",
        "x-envoy-max-retries",
        "x-envoy-retriable-status-codes",
        "x-envoy-retriable-header-names",
        "x-envoy-hedge-on-per-try-timeout",
        "x-envoy-upstream-rq-per-try-timeout-ms",
    }


# As a machine

WORDS = st.frozensets(st.sampled_from(sorted(HTTP_CONDITIONS | GRPC_CONDITIONS)), max_size=4)


class Exchanges(RuleBasedStateMachine):
    """Many exchanges of one cluster retry under one ceiling."""

    @initialize(words=WORDS, attempts=st.integers(0, 4), ceiling=st.integers(0, 3), seed=st.integers(0, 99))
    def begin(self, words: frozenset[str], attempts: int, ceiling: int, seed: int) -> None:
        self.policy = RetryPolicy(attempts, words, frozenset({429}))
        self.ceilings = Ceilings(CircuitBreakers(max_retries=ceiling))
        self.rng = random.Random(seed)
        self.open: list[RetryState] = []
        self.waiting: set[RetryState] = set()

    @rule()
    def another(self) -> None:
        self.open.append(RetryState(self.policy, self.rng, self.ceilings))

    @precondition(lambda self: self.open)
    @rule(
        which=st.integers(0, 99),
        status=st.sampled_from([200, 409, 429, 500, 503]),
        limited=st.booleans(),
        grpc=st.sampled_from([None, b"0", b"14"]),
    )
    def answered(self, which: int, status: int, limited: bool, grpc: bytes | None) -> None:
        headers = [(b"x-envoy-ratelimited", b"1")] * limited + ([] if grpc is None else [(b"grpc-status", grpc)])
        found = self.open[which % len(self.open)]
        self._decided(found, found.after_response(status, headers), self.policy.wants_response(status, headers))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99), outcome=st.sampled_from(sorted(Outcome, key=str)), sent=st.booleans())
    def failed(self, which: int, outcome: Outcome, sent: bool) -> None:
        found = self.open[which % len(self.open)]
        wanted = self.policy.wants_failure(outcome, request_sent=sent)
        self._decided(found, found.after_failure(outcome, request_sent=sent), wanted)

    def _decided(self, found: RetryState, wait: float | None, wanted: bool) -> None:
        if wait is None:
            assert not wanted or found.exhausted or found.overflowed
            self.waiting.discard(found)
            self.open.remove(found)
            found.close()
        else:
            assert wanted
            assert 0 <= wait < min(0.25, 0.025 * 2 ** (found.retries - 1))
            assert found.retries <= self.policy.attempts
            self.waiting.add(found)

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def left(self, which: int) -> None:
        found = self.open.pop(which % len(self.open))
        self.waiting.discard(found)
        found.close()

    @invariant()
    def the_ceiling_counts_who_waits(self) -> None:
        if hasattr(self, "ceilings"):
            assert self.ceilings.retries == len(self.waiting) <= self.ceilings.limits.max_retries


TestExchanges = Exchanges.TestCase


@given(words=WORDS, status=st.integers(100, 599), outcome=st.sampled_from(sorted(Outcome, key=str)))
def test_more_words_never_retry_less(words: frozenset[str], status: int, outcome: Outcome) -> None:
    one = RetryPolicy(1, words)
    more = RetryPolicy(1, words | {"reset", "5xx"})

    assert one.wants_response(status, []) <= more.wants_response(status, [])
    assert one.wants_failure(outcome, request_sent=True) <= more.wants_failure(outcome, request_sent=True)
