"""Ring hash and Maglev over priorities: the request's hash decides the level, and then the host in its table."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Generic

from pyproxy.policy.host import HostT
from pyproxy.policy.levels import by_locality, levels_of, usable_hosts
from pyproxy.policy.priority import share_load

Weighted = tuple[tuple[HostT, float], ...]
Lookup = Callable[[int, int], HostT | None]
"""The host for a hash, or, with a second number above 0, for that many steps away; None when there is none."""
_TABLES_KEPT = 4
"""An ejected host usually comes back: its table is still there then."""


class ConsistentBalancer(Generic[HostT]):
    """A table for each priority, built when the first request needs it.

    A request without a hash goes anywhere. Source: Envoy thread_aware_lb_impl.cc.
    """

    def __init__(
        self,
        hosts: Sequence[HostT],
        build_table: Callable[[Weighted[HostT]], Lookup[HostT]],
        panic_threshold: int,
        locality_weights: Mapping[str, int] | None,
        rng: random.Random,
    ) -> None:
        self.panic_picks = 0
        self._build_table = build_table
        self._panic_threshold = panic_threshold
        self._locality_weights = locality_weights
        self._rng = rng
        self._kept: dict[Weighted[HostT], Lookup[HostT]] = {}
        self.refresh(hosts)

    def pick(
        self,
        hash_: int | None = None,
        tried: Collection[HostT] = (),
        reselections: int = 5,
        *,
        other_levels: bool = False,
    ) -> HostT | None:
        """`other_levels` means nothing here, as in Envoy: the hash alone decides the level."""
        if hash_ is None:
            hash_ = self._rng.getrandbits(64)
        level = self._places[hash_ % 100]
        lookup = self._tables[level]
        if lookup is None:
            lookup = self._tables[level] = self._table_of(level)
        if self._panic[level]:
            self.panic_picks += 1
        host = lookup(hash_, 0)
        shift = 0
        while host is not None and shift < reselections and host in tried:
            shift += 1
            host = lookup(hash_, shift)
        return host

    def refresh(self, hosts: Sequence[HostT] | None = None) -> None:
        if hosts is not None:
            self._hosts = usable_hosts(hosts, self._locality_weights)
        self._levels = levels_of(self._hosts)
        loads = share_load([level.counts for level in self._levels], self._panic_threshold)
        self._panic = loads.panic
        self._places = [level for level, share in enumerate(loads.shares) for _ in range(share)]
        self._tables: list[Lookup[HostT] | None] = [None] * len(self._levels)

    def _table_of(self, level: int) -> Lookup[HostT]:
        members = self._levels[level]
        weighted = normalize(members.hosts if self._panic[level] else members.healthy, self._shares_of(members.hosts))
        lookup = self._kept.pop(weighted, None) or self._build_table(weighted)
        self._kept[weighted] = lookup
        if len(self._kept) > _TABLES_KEPT * len(self._levels):
            del self._kept[next(iter(self._kept))]
        return lookup

    def _shares_of(self, hosts: Iterable[HostT]) -> Mapping[str, int] | None:
        """The weights of the localities that there are, whatever their health."""
        weights = self._locality_weights
        return None if weights is None else {host.locality: weights[host.locality] for host in hosts}


def normalize(hosts: Sequence[HostT], locality_weights: Mapping[str, int] | None) -> Weighted[HostT]:
    """Each host with its part of the whole, which is 1; with locality weights, first each locality gets its part."""
    if locality_weights is None:
        return _parts(hosts, 1.0)
    whole = sum(locality_weights.values())
    return tuple(
        part
        for locality, members in by_locality(hosts).items()
        if locality_weights[locality]
        for part in _parts(members, locality_weights[locality] / whole)
    )


def _parts(hosts: Sequence[HostT], whole: float) -> Weighted[HostT]:
    total = sum(host.weight for host in hosts)
    return tuple((host, host.weight * whole / total) for host in hosts)
