"""How long an exchange and each of its attempts may take, and what the upstream is told of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pyproxy.core.http import Headers

RQ_TIMEOUT: Final = b"x-envoy-upstream-rq-timeout-ms"
PER_TRY_TIMEOUT: Final = b"x-envoy-upstream-rq-per-try-timeout-ms"
ALT_RESPONSE: Final = b"x-envoy-upstream-rq-timeout-alt-response"
EXPECTED_TIMEOUT: Final = b"x-envoy-expected-rq-timeout-ms"

_INTEGER: Final = re.compile(rb"\s*\+?(\d{1,20})\s*")
_GRPC_TIMEOUT: Final = re.compile(rb"\s*\+?(\d{1,8})([HMSmun])")
_GRPC_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 0.001}
_GRPC_MOST: Final = 99_999_999


@dataclass(slots=True)
class Timeouts:
    """Of one exchange. Seconds; 0 is none."""

    whole: float = 0.0
    """All attempts and the waits between them, from the end of the request on."""
    per_try: float = 0.0
    reply_status: int = 504
    """What a timeout is answered with."""


def effective_timeouts(
    timeout: float, per_try: float, headers: Headers, *, grpc: bool = False, grpc_timeout: bytes | None = None
) -> Timeouts:
    """The route's timeouts under what the request asks for.

    For a gRPC request the route's timeout only caps `grpc-timeout`, as Istio sets max_grpc_timeout. `headers` are
    those of the request, or empty where x-envoy-* may not steer: only for internal requests they are left in.
    A per-try timeout no shorter than the whole is ignored. Source: Envoy router.cc, FilterUtility::finalTimeout.
    """
    found = Timeouts(timeout, per_try)
    if grpc:
        asked = parse_grpc_timeout(grpc_timeout or b"") or 0.0
        found.whole = min(asked, timeout) if asked and timeout else asked or timeout
    for name, value in headers:
        if name == RQ_TIMEOUT:
            found.whole = _milliseconds(value, found.whole)
        elif name == PER_TRY_TIMEOUT:
            found.per_try = _milliseconds(value, found.per_try)
        elif name == ALT_RESPONSE:
            found.reply_status = 204
    if found.whole and found.per_try >= found.whole:
        found.per_try = 0.0
    return found


def expected_timeout_ms(timeouts: Timeouts, elapsed: float = 0.0) -> int:
    """The value of x-envoy-expected-rq-timeout-ms, and of `grpc-timeout`, for the next attempt; 0: neither is sent.

    `elapsed` seconds of the whole are used up. Source: Envoy router.cc, FilterUtility::setTimeoutHeaders.
    """
    whole = round(timeouts.whole * 1000)
    expected = round(timeouts.per_try * 1000) or whole
    if whole:
        left = whole - int(elapsed * 1000)
        expected = min(expected, left) if left > 0 else 1  # 0 would be no timeout at all
    return expected


def parse_grpc_timeout(value: bytes) -> float | None:
    """Seconds, parts of a millisecond rounded up; None when malformed. Source: Envoy grpc/common.cc."""
    match = _GRPC_TIMEOUT.fullmatch(value)
    if match is None:
        return None
    amount, unit = int(match[1]), match[2]
    if unit == b"u":
        return -(-amount // 1000) / 1000
    if unit == b"n":
        return -(-amount // 1_000_000) / 1000
    return amount * _GRPC_UNITS[unit]


def format_grpc_timeout(milliseconds: int) -> bytes:
    """The finest unit in which the amount has no more than 8 digits. Source: Envoy grpc/common.cc, toGrpcTimeout."""
    amount = milliseconds
    for unit, next_unit in ((b"m", 1000), (b"S", 60), (b"M", 60)):
        if amount <= _GRPC_MOST:
            return b"%d%s" % (amount, unit)
        amount //= next_unit
    return b"%dH" % min(amount, _GRPC_MOST)


def _milliseconds(value: bytes, otherwise: float) -> float:
    match = _INTEGER.fullmatch(value)
    return otherwise if match is None else int(match[1]) / 1000
