"""What one host did lately, and when that is too much: the counters of outlier detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol

from pyproxy.core.outcome import Outcome
from pyproxy.policy.ejections import Ejection
from pyproxy.policy.host import HostT
from pyproxy.policy.success_rate import RateCounter

_LOCAL_FAILURES = {
    Outcome.LOCAL_CONNECTION_FAILURE: 503,
    Outcome.REMOTE_CONNECTION_FAILURE: 503,
    Outcome.CONNECTION_TIMEOUT: 503,
    Outcome.CONNECTION_TERMINATION: 503,
    Outcome.REMOTE_RESET: 503,
    Outcome.REMOTE_REFUSED_STREAM: 503,
    Outcome.REMOTE_CONNECT_ERROR: 503,
    Outcome.LOCAL_RESET: 503,
    Outcome.PROTOCOL_ERROR: 503,
    Outcome.PER_TRY_TIMEOUT: 504,
    Outcome.TIMEOUT: 504,
}
"""As what a failure counts; an overflow says nothing about the host."""
_GRPC_TO_HTTP = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


@dataclass(frozen=True, slots=True)
class OutlierPolicy:
    """As configured (Istio's defaults). Times in seconds, percentages 0 to 100."""

    consecutive_5xx: int = 5
    enforcing_5xx: int = 100
    consecutive_gateway: int = 5
    enforcing_gateway: int = 0
    consecutive_local_origin: int = 5
    split_local_origin: bool = False
    interval: float = 10.0
    base_ejection_time: float = 30.0
    max_ejection_time: float = 300.0
    max_ejection_percent: int = 10
    error_codes: frozenset[int] | None = None
    """outlierDetectionHttpErrorCodes: these count as errors instead of the standard set."""
    enforcing_local_origin: int = 100
    max_ejection_time_jitter: float = 0.0
    always_eject_one: bool = False
    """Eject a first host whatever `max_ejection_percent` says. Istio leaves it off."""
    enforcing_success_rate: int = 0
    """Istio turns it off; outliers are detected and logged all the same."""
    success_rate_minimum_hosts: int = 5
    success_rate_request_volume: int = 100
    success_rate_stdev_factor: int = 1900
    enforcing_failure_percentage: int = 0
    failure_percentage_threshold: int = 85
    failure_percentage_minimum_hosts: int = 5
    failure_percentage_request_volume: int = 50


def grpc_as_http(status: bytes) -> int:
    """The HTTP status as which a `grpc-status` in response headers counts. Source: Envoy grpc/status.cc."""
    number = int(status) if status.isdigit() else -1
    return _GRPC_TO_HTTP[number] if 0 <= number < len(_GRPC_TO_HTTP) else 500


class Judge(Protocol[HostT]):
    """Who decides what comes of a counter that is full: the cluster's detector."""

    policy: OutlierPolicy

    def on_threshold(self, monitor: HostMonitor[HostT], kind: Ejection) -> None:
        """A counter is where the policy draws the line."""
        ...


class Monitor(Protocol):
    """Takes what came of each attempt on one host."""

    def record_response(self, status: int) -> None:
        """A response head arrived; for gRPC without trailers, `status` is what `grpc_as_http` says."""
        ...

    def record_failure(self, outcome: Outcome) -> None:
        """The attempt ended without a response head."""
        ...

    def record_connected(self) -> None:
        """The attempt has its connection, new or kept."""
        ...


class HostMonitor(Generic[HostT]):
    """What one host did lately: the Monitor that counts."""

    __slots__ = (
        "_judge",
        "backoff",
        "consecutive_5xx",
        "consecutive_gateway",
        "consecutive_local_origin",
        "ejected_at",
        "external",
        "host",
        "jitter",
        "local",
        "returned_at",
        "times_ejected",
    )

    def __init__(self, host: HostT, judge: Judge[HostT]) -> None:
        self.host = host
        self._judge = judge
        self.consecutive_5xx = 0
        self.consecutive_gateway = 0
        self.consecutive_local_origin = 0
        self.external = RateCounter()
        self.local = RateCounter()
        self.backoff = 0
        """By how much the next ejection is longer than the base; falls while the host stays."""
        self.jitter = 0.0
        self.times_ejected = 0
        self.ejected_at: float | None = None
        self.returned_at: float | None = None

    def record_response(self, status: int) -> None:
        """A response head arrived; for gRPC without trailers, `status` is what `grpc_as_http` says."""
        policy = self._judge.policy
        codes = policy.error_codes
        if codes is not None:
            status = max(status, 500) if status in codes else 200
        if policy.split_local_origin and status < 500:
            self._count_local(good=True)
        self._count(status)

    def record_failure(self, outcome: Outcome) -> None:
        """The attempt ended without a response head."""
        status = _LOCAL_FAILURES.get(outcome)
        if status is None:
            return
        if self._judge.policy.split_local_origin:
            self._count_local(good=False)
        else:
            self._count(status)

    def record_connected(self) -> None:
        """The attempt has its connection, new or kept."""
        if self._judge.policy.split_local_origin:
            self._count_local(good=True)

    def reset_counts(self) -> None:
        """Forget what led to the ejection."""
        self.consecutive_5xx = self.consecutive_gateway = self.consecutive_local_origin = 0

    # For itself

    def _count(self, status: int) -> None:
        counter = self.external
        counter.total += 1
        if status < 500 or status > 599:
            counter.good += 1
            self.consecutive_5xx = self.consecutive_gateway = 0
            return
        judge = self._judge
        policy = judge.policy
        if status in (502, 503, 504):
            self.consecutive_gateway += 1
            if self.consecutive_gateway == policy.consecutive_gateway:
                judge.on_threshold(self, Ejection.CONSECUTIVE_GATEWAY_FAILURE)
        else:
            self.consecutive_gateway = 0
        self.consecutive_5xx += 1
        if self.consecutive_5xx == policy.consecutive_5xx:
            judge.on_threshold(self, Ejection.CONSECUTIVE_5XX)

    def _count_local(self, *, good: bool) -> None:
        counter = self.local
        counter.total += 1
        if good:
            counter.good += 1
            self.consecutive_local_origin = 0
            return
        self.consecutive_local_origin += 1
        if self.consecutive_local_origin == self._judge.policy.consecutive_local_origin:
            self._judge.on_threshold(self, Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE)
