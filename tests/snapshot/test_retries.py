"""Retry policies: Istio's defaults and what a `retries` block changes in them."""

from __future__ import annotations

import pytest

from pyproxy.istio.networking.virtual_service import HTTPRetry
from pyproxy.policy.retry import ISTIO_INBOUND_DEFAULT
from pyproxy.snapshot.retries import compile_inbound_retry, compile_retry

DEFAULT_CONDITIONS = {"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"}


def block(**fields: object) -> HTTPRetry:
    return HTTPRetry.model_validate(fields)


def test_retries_are_on_by_default_and_503_is_not_among_them() -> None:
    found = compile_retry(None, hashed=False)

    assert found is not None
    assert found.attempts == 2
    assert found.retry_on == DEFAULT_CONDITIONS
    assert found.retriable_status_codes == frozenset()
    assert found.avoid_previous_hosts
    assert found.host_selection_attempts == 5
    assert (found.backoff_base, found.backoff_max) == (0.025, 0.25)


@pytest.mark.parametrize("fields", [{}, {"attempts": 0}])
def test_no_attempts_turn_retries_off(fields: dict[str, object]) -> None:
    assert compile_retry(block(**fields), hashed=False) is None


def test_numbers_in_retry_on_are_status_codes() -> None:
    found = compile_retry(block(attempts=3, retryOn="5xx, 503,409,gateway-error"), hashed=False)

    assert found is not None
    assert found.attempts == 3
    assert found.retry_on == {"5xx", "gateway-error", "retriable-status-codes"}
    assert found.retriable_status_codes == {503, 409}


def test_words_alone_replace_the_default_conditions() -> None:
    found = compile_retry(block(attempts=1, retryOn="reset"), hashed=False)

    assert found is not None
    assert found.retry_on == {"reset"}


def test_times_and_switches() -> None:
    found = compile_retry(
        block(attempts=1, perTryTimeout="2s", backoff="100ms", retryRemoteLocalities=True), hashed=False
    )

    assert found is not None
    assert found.per_try_timeout == 2.0
    assert (found.backoff_base, found.backoff_max) == (0.1, 1.0)
    assert found.retry_remote_localities


@pytest.mark.parametrize(
    ("hashed", "given", "avoids"),
    [(False, None, True), (True, None, False), (True, True, True), (False, False, False)],
)
def test_a_hashing_destination_is_tried_again_itself_unless_told_otherwise(
    hashed: bool, given: bool | None, avoids: bool
) -> None:
    found = compile_retry(block(attempts=1, retryIgnorePreviousHosts=given), hashed=hashed)

    assert found is not None
    assert found.avoid_previous_hosts is avoids


def test_inbound_retries_only_what_never_reached_the_workload() -> None:
    assert compile_inbound_retry(None) is ISTIO_INBOUND_DEFAULT
    assert compile_inbound_retry(block(attempts=0)) is None

    found = compile_inbound_retry(block(attempts=5, retryOn="reset,503", perTryTimeout="1s"))

    assert found is not None
    assert found.attempts == 5
    assert found.retry_on == {"reset", "retriable-status-codes"}
    assert found.per_try_timeout == 0.0
