"""Which endpoints are ejected, until when. Source: Envoy outlier_detection_impl.cc."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Generic

from pyproxy.core.loop import Clock
from pyproxy.policy.ejections import Ejection, EjectionEvent
from pyproxy.policy.host import HostT
from pyproxy.policy.host_monitor import HostMonitor
from pyproxy.policy.host_monitor import OutlierPolicy as OutlierPolicy
from pyproxy.policy.host_monitor import grpc_as_http as grpc_as_http
from pyproxy.policy.success_rate import RateCounter, spread


class OutlierDetector(Generic[HostT]):
    """The ejections of one cluster. It writes `host.healthy` and calls `on_change` after.

    Whoever owns it calls `sweep` every `policy.interval` seconds.
    """

    def __init__(
        self,
        policy: OutlierPolicy,
        cluster: str,
        clock: Clock,
        rng: random.Random,
        on_change: Callable[[HostT], None],
    ) -> None:
        self.policy = policy
        """May be replaced: ejections and counts stay."""
        self.active = 0
        """Hosts ejected now: ejections_active."""
        self.overflow = 0
        """Ejections that max_ejection_percent forbade: ejections_overflow."""
        self.total = 0
        """Envoy's deprecated ejections_total: 5xx and success rate, enforced or not."""
        self.detected: Counter[Ejection] = Counter()
        self.enforced: Counter[Ejection] = Counter()
        self.on_event: Callable[[EjectionEvent], None] | None = None
        """Takes the records of the event log, where there is one."""
        self._cluster = cluster
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._monitors: dict[HostT, HostMonitor[HostT]] = {}

    def watch(self, hosts: Iterable[HostT]) -> None:
        """The cluster's hosts, of all priorities, are these now; those that stay keep what is known of them."""
        known = self._monitors
        self._monitors = {host: known.get(host) or HostMonitor(host, self) for host in hosts}
        self.active -= sum(not host.healthy for host in known.keys() - self._monitors.keys())

    def monitor(self, host: HostT) -> HostMonitor[HostT]:
        """The monitor of a watched host."""
        return self._monitors[host]

    def time_left(self, host: HostT) -> float:
        """Seconds until an ejected host's time is up, 0 for any other; the sweep after that lets it return."""
        monitor = self._monitors.get(host)
        if monitor is None or host.healthy or monitor.ejected_at is None:
            return 0.0
        return max(0.0, self._sentence(monitor) - (self._clock.monotonic() - monitor.ejected_at))

    def times_ejected(self, host: HostT) -> int:
        """How often so far."""
        monitor = self._monitors.get(host)
        return 0 if monitor is None else monitor.times_ejected

    def sweep(self) -> None:
        """Let hosts return whose time is up, judge the interval that ended, and forgive."""
        now = self._clock.monotonic()
        for monitor in self._monitors.values():
            if not monitor.host.healthy:
                self._return_if_due(monitor, now)
            monitor.external.swap()
            monitor.local.swap()
        self._judge_rates(
            {monitor: monitor.external for monitor in self._monitors.values()},
            Ejection.SUCCESS_RATE,
            Ejection.FAILURE_PERCENTAGE,
        )
        self._judge_rates(
            {monitor: monitor.local for monitor in self._monitors.values()},
            Ejection.SUCCESS_RATE_LOCAL_ORIGIN,
            Ejection.FAILURE_PERCENTAGE_LOCAL_ORIGIN,
        )
        for monitor in self._monitors.values():
            returned = monitor.returned_at
            if monitor.host.healthy and (returned is None or now - returned >= self.policy.interval):
                monitor.backoff = max(0, monitor.backoff - 1)

    def release(self) -> None:
        """Outlier detection ends here: every ejected host returns at once, and nothing is logged."""
        for host in self._monitors:
            if not host.healthy:
                host.healthy = True
                self._on_change(host)
        self._monitors = {}
        self.active = 0

    def on_threshold(self, monitor: HostMonitor[HostT], kind: Ejection) -> None:
        """A monitor's counter is where its policy draws the line. The counter starts anew, ejected or not."""
        if not monitor.host.healthy or monitor.host not in self._monitors:
            return
        self.detected[kind] += 1
        self._eject(monitor, kind)
        if kind is Ejection.CONSECUTIVE_5XX:
            monitor.consecutive_5xx = 0
        elif kind is Ejection.CONSECUTIVE_GATEWAY_FAILURE:
            monitor.consecutive_gateway = 0
        else:
            monitor.consecutive_local_origin = 0

    # Ejecting and letting return

    def _eject(self, monitor: HostMonitor[HostT], kind: Ejection, details: Mapping[str, object] | None = None) -> None:
        policy = self.policy
        share = 100.0 * (self.active + 1) / len(self._monitors)
        if share > min(100, policy.max_ejection_percent) and not (policy.always_eject_one and self.active == 0):
            self.overflow += 1
            return
        if kind is Ejection.CONSECUTIVE_5XX or kind is Ejection.SUCCESS_RATE:
            self.total += 1
        enforced = self._rng.random() * 100 < self._enforcing(kind)
        now = self._clock.monotonic()
        if enforced:
            self.active += 1
            self.enforced[kind] += 1
            monitor.times_ejected += 1
            monitor.ejected_at = now
            monitor.jitter = self._rng.random() * policy.max_ejection_time_jitter
            base = policy.base_ejection_time
            if monitor.backoff * base < self._longest() + base:
                monitor.backoff += 1
            monitor.host.healthy = False
            self._on_change(monitor.host)
        self._tell(monitor, kind, monitor.returned_at, now, ejected=True, enforced=enforced, details=details)

    def _return_if_due(self, monitor: HostMonitor[HostT], now: float) -> None:
        since = monitor.ejected_at
        if since is None:  # unhealthy for another reason than ours
            return
        if self._sentence(monitor) > now - since:
            return
        self.active -= 1
        monitor.reset_counts()
        monitor.returned_at = now
        monitor.host.healthy = True
        self._on_change(monitor.host)
        self._tell(monitor, Ejection.CONSECUTIVE_5XX, since, now, ejected=False, enforced=False)

    def _sentence(self, monitor: HostMonitor[HostT]) -> float:
        return min(self.policy.base_ejection_time * monitor.backoff, self._longest()) + monitor.jitter

    def _longest(self) -> float:
        return max(self.policy.max_ejection_time, self.policy.base_ejection_time)

    def _enforcing(self, kind: Ejection) -> int:
        policy = self.policy
        if kind is Ejection.CONSECUTIVE_5XX:
            return policy.enforcing_5xx
        if kind is Ejection.CONSECUTIVE_GATEWAY_FAILURE:
            return policy.enforcing_gateway
        if kind is Ejection.CONSECUTIVE_LOCAL_ORIGIN_FAILURE:
            return policy.enforcing_local_origin
        if kind is Ejection.SUCCESS_RATE or kind is Ejection.SUCCESS_RATE_LOCAL_ORIGIN:
            return policy.enforcing_success_rate
        return policy.enforcing_failure_percentage

    def _tell(
        self,
        monitor: HostMonitor[HostT],
        kind: Ejection,
        last: float | None,
        now: float,
        *,
        ejected: bool,
        enforced: bool,
        details: Mapping[str, object] | None = None,
    ) -> None:
        if self.on_event is not None:
            since = None if last is None else int(now - last)
            at = self._clock.time()
            self.on_event(
                EjectionEvent(
                    kind, at, since, self._cluster, monitor.host.key, ejected, monitor.times_ejected, enforced, details
                )
            )

    # Judging the others by their rates

    def _judge_rates(
        self, counters: Mapping[HostMonitor[HostT], RateCounter], low: Ejection, failing: Ejection
    ) -> None:
        policy = self.policy
        if len(counters) < min(policy.success_rate_minimum_hosts, policy.failure_percentage_minimum_hosts):
            return
        rates = _rates(counters, policy.success_rate_request_volume)
        if rates and len(rates) >= policy.success_rate_minimum_hosts:
            among = spread(rates, policy.success_rate_stdev_factor)
            common = {
                "cluster_average_success_rate": int(among.average),
                "cluster_success_rate_ejection_threshold": max(0, int(among.threshold)),
            }
            for monitor, rate in rates.items():
                if rate < among.threshold:
                    self._detect(monitor, low, {"host_success_rate": int(rate), **common})
        rates = _rates(counters, policy.failure_percentage_request_volume)
        if rates and len(rates) >= policy.failure_percentage_minimum_hosts:
            for monitor, rate in rates.items():
                if 100.0 - rate >= policy.failure_percentage_threshold:
                    self._detect(monitor, failing, {"host_success_rate": int(rate)})

    def _detect(self, monitor: HostMonitor[HostT], kind: Ejection, details: Mapping[str, object]) -> None:
        if monitor.host.healthy:
            self.detected[kind] += 1
            self._eject(monitor, kind, details)


def _rates(counters: Mapping[HostMonitor[HostT], RateCounter], volume: int) -> dict[HostMonitor[HostT], float]:
    """The rates of the hosts that are not ejected and saw enough requests."""
    found = {}
    for monitor, counter in counters.items():
        rate = counter.rate(volume) if monitor.host.healthy else None
        if rate is not None:
            found[monitor] = rate
    return found
