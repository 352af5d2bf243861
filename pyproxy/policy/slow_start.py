"""How much of its weight a host carries while it warms up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyproxy.core.loop import Clock
from pyproxy.policy.host import Host

_LEAST_AGE = 0.001


@dataclass(frozen=True, slots=True)
class SlowStart:
    """DestinationRule `warmup`. `window` is seconds."""

    window: float
    minimum_percent: float = 10.0
    aggression: float = 1.0


class WarmUp:
    """Slow start of one balancer. Source: Envoy load_balancer_impl.cc, EdfLoadBalancerBase."""

    def __init__(self, settings: SlowStart, clock: Clock) -> None:
        self._window = settings.window
        self._least = settings.minimum_percent / 100.0
        self._exponent = 1.0 / settings.aggression if settings.aggression > 0 else 1.0
        self._now = clock.monotonic
        self._latest = clock.monotonic()  # a new balancer warms up as if its hosts were new

    def notice(self, hosts: Iterable[Host]) -> None:
        """Look for hosts that joined since."""
        now = self._now()
        for host in hosts:
            if host.healthy and self._latest < host.healthy_since and now - host.healthy_since <= self._window:
                self._latest = host.healthy_since

    @property
    def running(self) -> bool:
        """Whether any host may still be warming up."""
        return self._now() - self._latest <= self._window

    def share(self, host: Host) -> float:
        """What part of its weight the host carries now, 0 to 1."""
        age = self._now() - host.healthy_since
        if age >= self._window or not host.healthy or not self.running:
            return 1.0
        grown: float = (max(_LEAST_AGE, age) / self._window) ** self._exponent
        return max(grown, self._least)
