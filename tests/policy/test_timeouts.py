"""Deadlines of an exchange and of its attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyproxy.core.http import Headers
from pyproxy.policy.timeouts import (
    Timeouts,
    effective_timeouts,
    expected_timeout_ms,
    format_grpc_timeout,
    parse_grpc_timeout,
)


def of(
    timeout: float, per_try: float = 0.0, headers: Headers | None = None, **grpc: object
) -> tuple[float, float, int]:
    found = effective_timeouts(timeout, per_try, headers or [], **grpc)  # type: ignore[arg-type]
    return found.whole, found.per_try, found.reply_status


def test_the_routes_own() -> None:
    assert of(0) == (0, 0, 504)
    assert of(5, 2) == (5, 2, 504)
    assert of(0, 2) == (0, 2, 504)


@pytest.mark.parametrize("per_try", [5, 6])
def test_a_per_try_timeout_no_shorter_than_the_whole_is_ignored(per_try: float) -> None:
    assert of(5, per_try) == (5, 0, 504)


@pytest.mark.parametrize(
    ("value", "whole"),
    [(b"250", 0.25), (b" 250 ", 0.25), (b"+250", 0.25), (b"0", 0), (b"2.5", 5), (b"-1", 5), (b"", 5)],
)
def test_an_internal_request_may_set_the_whole(value: bytes, whole: float) -> None:
    assert of(5, 0, [(b"x-envoy-upstream-rq-timeout-ms", value)])[0] == whole


def test_an_internal_request_may_set_the_per_try_timeout_and_the_answer() -> None:
    headers = [
        (b"x-envoy-upstream-rq-per-try-timeout-ms", b"100"),
        (b"x-envoy-upstream-rq-timeout-alt-response", b"anything"),
    ]

    assert of(5, 2, headers) == (5, 0.1, 204)


@pytest.mark.parametrize(
    ("route", "asked", "whole"), [(0, b"", 0), (0, b"2S", 2), (5, b"2S", 2), (5, b"9S", 5), (5, b"", 5), (5, b"0S", 5)]
)
def test_a_grpc_call_brings_its_deadline_and_the_route_caps_it(route: float, asked: bytes, whole: float) -> None:
    assert of(route, 0, grpc=True, grpc_timeout=asked or None)[0] == whole


def test_only_grpc_reads_the_grpc_deadline() -> None:
    assert of(5, 0, grpc=False, grpc_timeout=b"1S")[0] == 5


@pytest.mark.parametrize(
    ("whole", "per_try", "elapsed", "expected"),
    [
        (0, 0, 0, 0),
        (0, 0, 9, 0),
        (5, 0, 0, 5000),
        (5, 0, 1.2345, 3766),
        (5, 2, 0, 2000),
        (5, 2, 4.5, 500),
        (0, 2, 9, 2000),
        (5, 2, 5, 1),
        (5, 0, 7, 1),
    ],
)
def test_the_upstream_is_told_what_is_left(whole: float, per_try: float, elapsed: float, expected: int) -> None:
    assert expected_timeout_ms(Timeouts(whole, per_try), elapsed) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"4m", 0.004),
        (b"1u", 0.001),
        (b"1001u", 0.002),
        (b"1n", 0.001),
        (b"1000001n", 0.002),
        (b"0m", 0),
        (b"99999999S", 99999999),
        (b"100000000S", None),
        (b"", None),
        (b"1", None),
        (b"S", None),
        (b"1s", None),
        (b"-1S", None),
        (b"1.5S", None),
    ],
)
def test_grpc_timeouts_are_read(value: bytes, seconds: float | None) -> None:
    assert parse_grpc_timeout(value) == seconds


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, b"0m"),
        (1, b"1m"),
        (99_999_999, b"99999999m"),
        (100_000_000, b"100000S"),
        (100_000_000_000, b"1666666M"),
        (9_000_000_000_000, b"2500000H"),
        (360_000_000_000_000, b"99999999H"),
        (2**64 - 1, b"99999999H"),
    ],
)
def test_grpc_timeouts_are_written(milliseconds: int, text: bytes) -> None:
    assert format_grpc_timeout(milliseconds) == text


@given(st.integers(0, 10**15))
def test_what_is_written_can_be_read_and_is_never_longer(milliseconds: int) -> None:
    seconds = parse_grpc_timeout(format_grpc_timeout(milliseconds))

    assert seconds is not None
    assert seconds * 1000 <= milliseconds + 0.001
    assert milliseconds > 3_599_999_964_000_00 or seconds * 1000 >= milliseconds - 3_600_000
