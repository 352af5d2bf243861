"""Again or not, and after how long. Envoy's retry state, one per exchange. Source: Envoy retry_state_impl.cc."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from pyproxy.core.http import Headers
from pyproxy.core.outcome import Outcome
from pyproxy.policy.circuit_breaker import Ceilings

STEERING_HEADERS = frozenset(
    {
        b"x-envoy-retry-on",
        b"x-envoy-retry-grpc-on",
        b"x-envoy-max-retries",
        b"x-envoy-retriable-status-codes",
        b"x-envoy-retriable-header-names",
        b"x-envoy-hedge-on-per-try-timeout",
        b"x-envoy-upstream-rq-per-try-timeout-ms",
    }
)
"""Consumed by the router when retries are decided; the upstream never sees them."""

_CONNECT_FAILURES = frozenset(
    {Outcome.LOCAL_CONNECTION_FAILURE, Outcome.REMOTE_CONNECTION_FAILURE, Outcome.CONNECTION_TIMEOUT}
)
_RESETS = _CONNECT_FAILURES | {
    Outcome.CONNECTION_TERMINATION,
    Outcome.REMOTE_RESET,
    Outcome.REMOTE_REFUSED_STREAM,
    Outcome.REMOTE_CONNECT_ERROR,
    Outcome.LOCAL_RESET,
    Outcome.PROTOCOL_ERROR,
    Outcome.PER_TRY_TIMEOUT,
}
"""What Envoy sees as a reset. An overflow is never tried again; a timeout of the whole and no host are final too."""
_5XX = frozenset(range(500, 600))
TOO_EARLY = 425
"""Tried again at once, without a backoff."""

_ON_STATUS = {
    "5xx": _5XX,
    "gateway-error": frozenset({502, 503, 504}),
    "retriable-4xx": frozenset({409}),
}
_ON_GRPC_STATUS = {
    "cancelled": b"1",
    "deadline-exceeded": b"4",
    "resource-exhausted": b"8",
    "internal": b"13",
    "unavailable": b"14",
}
_ON_FAILURE = {
    "5xx": _RESETS,
    "gateway-error": _RESETS,
    "reset": _RESETS,
    "connect-failure": _CONNECT_FAILURES,
    "refused-stream": frozenset({Outcome.REMOTE_REFUSED_STREAM}),
}
HTTP_CONDITIONS = frozenset(
    {
        *_ON_STATUS,
        *_ON_FAILURE,
        "reset-before-request",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
    }
)
GRPC_CONDITIONS = frozenset(_ON_GRPC_STATUS)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """As configured, and what follows from it. Source: Istio route/retry/retry.go."""

    attempts: int
    """Retries after the first try, as in Istio."""
    retry_on: frozenset[str]
    """Envoy's condition words, HTTP and gRPC together."""
    retriable_status_codes: frozenset[int] = frozenset()
    per_try_timeout: float = 0.0
    """Seconds; 0 is none."""
    backoff_base: float = 0.025
    backoff_max: float = 0.250
    avoid_previous_hosts: bool = True
    host_selection_attempts: int = 5
    retry_remote_localities: bool = False
    retriable_headers: frozenset[bytes] = frozenset()
    """Names of response headers that make `retriable-headers` try again."""

    statuses: frozenset[int] = field(init=False, repr=False, compare=False)
    """Every response status that is tried again."""
    grpc_statuses: frozenset[bytes] = field(init=False, repr=False, compare=False)
    """Every `grpc-status` in response headers that is tried again."""
    failures: frozenset[Outcome] = field(init=False, repr=False, compare=False)
    """Every failure that is tried again whether or not the request was sent."""

    def __post_init__(self) -> None:
        words = self.retry_on
        codes = self.retriable_status_codes if "retriable-status-codes" in words else frozenset()
        derived = {
            "statuses": codes.union(*(_ON_STATUS[word] for word in words & _ON_STATUS.keys())),
            "grpc_statuses": frozenset(_ON_GRPC_STATUS[word] for word in words & GRPC_CONDITIONS),
            "failures": frozenset[Outcome]().union(*(_ON_FAILURE[word] for word in words & _ON_FAILURE.keys())),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)  # frozen for everyone else

    def wants_response(self, status: int, headers: Headers) -> bool:
        """Whether a response with these headers is one to try again."""
        wanted = status in self.statuses
        watched = self.retriable_headers if "retriable-headers" in self.retry_on else ()
        for name, value in headers:
            if name == b"x-envoy-ratelimited":
                return "envoy-ratelimited" in self.retry_on  # and no other word counts
            if (name == b"grpc-status" and value in self.grpc_statuses) or name in watched:
                wanted = True
        return wanted

    def wants_failure(self, outcome: Outcome, *, request_sent: bool) -> bool:
        """Whether to try again after an attempt without a response; `request_sent`: some of the request left us."""
        if outcome in self.failures:
            return True
        return not request_sent and "reset-before-request" in self.retry_on and outcome in _RESETS


class RetryState:
    """One exchange's use of the policy.

    Given `ceilings`, a retry occupies one place under max_retries from the decision until the attempt's own end is
    decided, and `close` must be called when the exchange ends.
    """

    __slots__ = (
        "_ceilings",
        "_interval",
        "_occupies",
        "_policy",
        "_remaining",
        "_rng",
        "exhausted",
        "overflowed",
        "retries",
    )

    def __init__(self, policy: RetryPolicy, rng: random.Random, ceilings: Ceilings | None = None) -> None:
        self._policy = policy
        self._rng = rng
        self._ceilings = ceilings
        self._remaining = policy.attempts
        self._interval = max(1, round(policy.backoff_base * 1000))
        self._occupies = False
        self.retries = 0
        """Decided so far."""
        self.exhausted = False
        """A retry was wanted and none were left: flag URX, upstream_rq_retry_limit_exceeded."""
        self.overflowed = False
        """A retry was wanted and the ceiling of the cluster refused it: flag UO, upstream_rq_retry_overflow."""

    def after_response(self, status: int, headers: Headers) -> float | None:
        """Seconds to wait before another attempt; None when this response is the one."""
        if not self._decide(self._policy.wants_response(status, headers)):
            return None
        return 0.0 if status == TOO_EARLY else self._wait()

    def after_failure(self, outcome: Outcome, *, request_sent: bool) -> float | None:
        """Seconds to wait before another attempt; None when the failure is final."""
        if not self._decide(self._policy.wants_failure(outcome, request_sent=request_sent)):
            return None
        return self._wait()

    @property
    def succeeded(self) -> bool:
        """Asked after a decision against another retry: the last one helped. Counted as upstream_rq_retry_success."""
        return self.retries > 0 and not self.exhausted and not self.overflowed

    def close(self) -> None:
        """Give back the place under the ceiling, if any is taken."""
        if self._occupies and self._ceilings is not None:
            self._occupies = False
            self._ceilings.count_retries(-1)

    # For itself

    def _decide(self, wanted: bool) -> bool:
        self.close()
        if not wanted:
            return False
        if self._remaining == 0:
            self.exhausted = True
            return False
        self._remaining -= 1  # even when the ceiling refuses
        ceilings = self._ceilings
        if ceilings is not None:
            if not ceilings.may_retry:
                self.overflowed = True
                return False
            ceilings.count_retries(1)
            self._occupies = True
        self.retries += 1
        return True

    def _wait(self) -> float:
        """Full jitter: anything from 0 up to an interval that doubles. Source: Envoy backoff_strategy.cc."""
        interval = self._interval
        self._interval = min(interval * 2, max(1, round(self._policy.backoff_max * 1000)))
        return int(self._rng.random() * interval) / 1000


ISTIO_DEFAULT = RetryPolicy(
    attempts=2,
    retry_on=frozenset(
        {"connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"},
    ),
)
ISTIO_INBOUND_DEFAULT = RetryPolicy(
    attempts=2, retry_on=frozenset({"reset-before-request"}), avoid_previous_hosts=False
)

_NOTHING = RetryPolicy(attempts=1, retry_on=frozenset(), avoid_previous_hosts=False, host_selection_attempts=1)
"""What Envoy merges headers into on a route without a policy."""
_INTEGER = re.compile(rb"\s*\+?(\d{1,19})\s*")


def steered(policy: RetryPolicy | None, headers: Headers) -> RetryPolicy | None:
    """The policy under what an internal request's x-envoy-* headers ask for; None: no retries.

    Words and codes are added to the policy's; x-envoy-max-retries replaces its number, up or down.
    """
    asked = [(name, value) for name, value in headers if name in STEERING_HEADERS]
    if not asked:
        return policy
    base = policy or _NOTHING
    words = base.retry_on
    codes = base.retriable_status_codes
    names = base.retriable_headers
    attempts = base.attempts
    for header, value in asked:
        if header == b"x-envoy-retry-on":
            words |= HTTP_CONDITIONS & _tokens(value)
        elif header == b"x-envoy-retry-grpc-on":
            words |= GRPC_CONDITIONS & _tokens(value)
        elif header == b"x-envoy-max-retries":
            attempts = next(_integers([value]), attempts)
        elif header == b"x-envoy-retriable-status-codes":
            codes |= set(_integers(value.split(b",")))
        elif header == b"x-envoy-retriable-header-names":
            names |= {name.strip().lower() for name in value.split(b",") if name.strip()}
    if not words:
        return None
    return replace(base, retry_on=words, retriable_status_codes=codes, retriable_headers=names, attempts=attempts)


def _tokens(value: bytes) -> set[str]:
    return {token.strip().decode("latin-1") for token in value.split(b",")}


def _integers(values: Iterable[bytes]) -> Iterator[int]:
    return (int(match[1]) for match in map(_INTEGER.fullmatch, values) if match)
