"""Which of these hosts: round robin, least request, random. Which hosts those are is decided in levels.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from pyproxy.policy.edf import Edf
from pyproxy.policy.host import HostT
from pyproxy.policy.slow_start import WarmUp


class Chooser(Protocol[HostT]):
    """Takes turns among one set of hosts, and goes on where it was when the set changes."""

    def reset(self, hosts: Sequence[HostT]) -> None:
        """From now on, choose among these."""
        ...

    def choose(self) -> HostT | None:
        """The next host; None when there is none."""
        ...


class RoundRobin(Generic[HostT]):
    """Equal weights: one after the other from a random start. Unequal weights, or a host that warms up: EDF.

    Source: Envoy round_robin_lb.h.
    """

    __slots__ = ("_edf", "_hosts", "_index", "_seed", "_warm_up")

    def __init__(self, seed: int, warm_up: WarmUp | None) -> None:
        self._seed = seed
        self._index = seed
        self._warm_up = warm_up
        self._hosts: Sequence[HostT] = ()
        self._edf: Edf[HostT] | None = None

    def reset(self, hosts: Sequence[HostT]) -> None:
        self._hosts = hosts
        self._edf = _schedule(hosts, self._weight, self._seed, self._warm_up)

    def choose(self) -> HostT | None:
        if self._edf is not None:
            return self._edf.pick()
        hosts = self._hosts
        if not hosts:
            return None
        index = self._index
        self._index = index + 1
        return hosts[index % len(hosts)]

    def _weight(self, host: HostT) -> float:
        warm_up = self._warm_up
        return host.weight if warm_up is None else host.weight * warm_up.share(host)


class LeastRequest(Generic[HostT]):
    """Equal weights: the less busy of two random hosts, the first when equal. Else EDF by weight over active requests.

    The two may be the same host. Source: Envoy least_request_lb.cc with choice_count 2 and active_request_bias 1.
    """

    __slots__ = ("_edf", "_hosts", "_random", "_seed", "_warm_up")

    def __init__(self, seed: int, warm_up: WarmUp | None, rng: random.Random) -> None:
        self._seed = seed
        self._warm_up = warm_up
        self._random = rng.random
        self._hosts: Sequence[HostT] = ()
        self._edf: Edf[HostT] | None = None

    def reset(self, hosts: Sequence[HostT]) -> None:
        self._hosts = hosts
        self._edf = _schedule(hosts, self._weight, self._seed, self._warm_up)

    def choose(self) -> HostT | None:
        if self._edf is not None:
            return self._edf.pick()
        hosts = self._hosts
        count = len(hosts)
        if count < 2:
            return hosts[0] if count else None
        draw = self._random
        first = hosts[int(draw() * count)]
        second = hosts[int(draw() * count)]
        return second if second.active < first.active else first

    def _weight(self, host: HostT) -> float:
        weight = host.weight / (host.active + 1)
        warm_up = self._warm_up
        return weight if warm_up is None else weight * warm_up.share(host)


class Random(Generic[HostT]):
    """Any host, whatever its weight.

    Source: Envoy random_lb.cc, which takes one random number for priority and host, so that over partly filled
    priorities of many hosts some are never chosen; here the host has a number of its own.
    """

    __slots__ = ("_hosts", "_random")

    def __init__(self, rng: random.Random) -> None:
        self._random = rng.random
        self._hosts: Sequence[HostT] = ()

    def reset(self, hosts: Sequence[HostT]) -> None:
        self._hosts = hosts

    def choose(self) -> HostT | None:
        hosts = self._hosts
        return hosts[int(self._random() * len(hosts))] if hosts else None


def _schedule(
    hosts: Sequence[HostT], weight: Callable[[HostT], float], seed: int, warm_up: WarmUp | None
) -> Edf[HostT] | None:
    """EDF where equal turns will not do, else None."""
    if warm_up is not None:
        warm_up.notice(hosts)
    if len(hosts) < 2:
        return None
    if len({host.weight for host in hosts}) == 1 and (warm_up is None or not warm_up.running):
        return None
    return Edf(hosts, weight, seed)
