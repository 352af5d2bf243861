"""Which hosts a pick is made among: priority by load, all hosts in panic, locality by weight."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic

from pyproxy.policy.choosers import Chooser
from pyproxy.policy.edf import Edf
from pyproxy.policy.host import HostT
from pyproxy.policy.priority import OVERPROVISIONING, Loads, share_load, share_load_elsewhere

Choose = Callable[[], HostT | None]
_Source = tuple[int, str | None, bool]
"""Priority; locality, None for all of them; whether unhealthy hosts are in."""


class Level(Generic[HostT]):
    """The hosts of one priority."""

    __slots__ = ("healthy", "hosts")

    def __init__(self, hosts: list[HostT]) -> None:
        self.hosts = hosts
        self.healthy = [host for host in hosts if host.healthy]

    @property
    def counts(self) -> tuple[int, int]:
        """Hosts, healthy hosts."""
        return len(self.hosts), len(self.healthy)


def usable_hosts(hosts: Iterable[HostT], locality_weights: Mapping[str, int] | None) -> list[HostT]:
    """Without hosts of weight 0, and without localities that get no share."""
    return [
        host for host in hosts if host.weight > 0 and (locality_weights is None or host.locality in locality_weights)
    ]


def levels_of(hosts: Sequence[HostT]) -> list[Level[HostT]]:
    """Every priority from 0 to the last that is used; at least one level."""
    last = max((host.priority for host in hosts), default=0)
    return [Level([host for host in hosts if host.priority == priority]) for priority in range(last + 1)]


def by_locality(hosts: Iterable[HostT]) -> dict[str, list[HostT]]:
    """The hosts of each locality, the localities in order of their names."""
    found: dict[str, list[HostT]] = {}
    for host in sorted(hosts, key=lambda host: host.locality.split("/")):
        found.setdefault(host.locality, []).append(host)
    return found


class LevelBalancer(Generic[HostT]):
    """Round robin, least request and random over priorities and localities.

    With one priority and no locality weights, the usual case, a pick is one call of the chooser.
    Source: Envoy load_balancer_impl.cc, ZoneAwareLoadBalancerBase; locality_wrr.cc.
    """

    def __init__(
        self,
        hosts: Sequence[HostT],
        make_chooser: Callable[[], Chooser[HostT]],
        panic_threshold: int,
        locality_weights: Mapping[str, int] | None,
        rng: random.Random,
    ) -> None:
        self.panic_picks = 0
        self._make_chooser = make_chooser
        self._panic_threshold = panic_threshold
        self._locality_weights = locality_weights
        self._rng = rng
        self._choosers: dict[_Source, Chooser[HostT]] = {}
        self.refresh(hosts)

    def pick(
        self,
        hash_: int | None = None,
        tried: Collection[HostT] = (),
        reselections: int = 5,
        *,
        other_levels: bool = False,
    ) -> HostT | None:
        if not tried:
            return self._once()
        once = self._once_elsewhere(tried) if other_levels else self._once
        host = once()
        while host is not None and reselections > 0 and host in tried:
            reselections -= 1
            host = once()
        return host

    def refresh(self, hosts: Sequence[HostT] | None = None) -> None:
        if hosts is not None:
            self._hosts = usable_hosts(hosts, self._locality_weights)
        self._levels = levels_of(self._hosts)
        known, self._choosers = self._choosers, {}
        loads = share_load([level.counts for level in self._levels], self._panic_threshold)
        self._choose = [self._chooser_of(priority, loads, known) for priority in range(len(self._levels))]
        self._once = self._spread(loads.shares)

    # How the next pick goes

    def _spread(self, shares: Sequence[int]) -> Choose[HostT]:
        """Roll one of a hundred places, which the levels share."""
        if len(shares) == 1:
            return self._choose[0]
        places = [choose for share, choose in zip(shares, self._choose, strict=True) for _ in range(share)]
        roll = self._rng.random
        return lambda: places[int(roll() * 100)]()

    def _once_elsewhere(self, tried: Iterable[HostT]) -> Choose[HostT]:
        shares = share_load_elsewhere([level.counts for level in self._levels], [host.priority for host in tried])
        return self._once if shares is None else self._spread(shares)

    def _chooser_of(self, priority: int, loads: Loads, known: Mapping[_Source, Chooser[HostT]]) -> Choose[HostT]:
        level = self._levels[priority]
        if loads.panic[priority]:
            return self._count_panic(self._chooser((priority, None, True), level.hosts, known))
        if self._locality_weights is not None and level.healthy:
            return self._weigh_localities(priority, self._locality_weights, known)
        return self._chooser((priority, None, False), level.healthy, known)

    def _chooser(
        self, source: _Source, hosts: Sequence[HostT], known: Mapping[_Source, Chooser[HostT]]
    ) -> Choose[HostT]:
        """The chooser of this set of hosts, which keeps its place over a refresh."""
        chooser = known.get(source) or self._make_chooser()
        chooser.reset(hosts)
        self._choosers[source] = chooser
        return chooser.choose

    def _weigh_localities(
        self, priority: int, weights: Mapping[str, int], known: Mapping[_Source, Chooser[HostT]]
    ) -> Choose[HostT]:
        """Localities take turns by weight, less where more than two in seven of their hosts are unhealthy."""
        level = self._levels[priority]
        healthy = by_locality(level.healthy)
        turns: list[tuple[float, Choose[HostT]]] = []
        for locality, all_hosts in by_locality(level.hosts).items():
            hosts = healthy.get(locality, [])
            weight = weights[locality] * min(1.0, OVERPROVISIONING / 100.0 * len(hosts) / len(all_hosts))
            if weight > 0:
                turns.append((weight, self._chooser((priority, locality, False), hosts, known)))
        if not turns:
            return self._chooser((priority, None, False), level.healthy, known)
        schedule = Edf(turns, lambda turn: turn[0], self._rng.getrandbits(32))
        return lambda: schedule.pick()[1]()

    def _count_panic(self, choose: Choose[HostT]) -> Choose[HostT]:
        def choose_in_panic() -> HostT | None:
            self.panic_picks += 1
            return choose()

        return choose_in_panic
