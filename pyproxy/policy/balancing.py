"""Which endpoint next: Envoy's load balancers over hosts that the runtime keeps."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pyproxy.core.loop import Clock
from pyproxy.policy.choosers import Chooser, LeastRequest, Random, RoundRobin
from pyproxy.policy.consistent import ConsistentBalancer
from pyproxy.policy.host import Balancer as Balancer
from pyproxy.policy.host import Host as Host
from pyproxy.policy.host import HostT
from pyproxy.policy.levels import LevelBalancer
from pyproxy.policy.maglev import Maglev
from pyproxy.policy.ring_hash import Ring
from pyproxy.policy.slow_start import SlowStart as SlowStart
from pyproxy.policy.slow_start import WarmUp


class Algorithm(Enum):
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"
    PASSTHROUGH = "PASSTHROUGH"
    """The connection's own destination: there is nothing to balance."""


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """As configured: the effective loadBalancer of one cluster."""

    algorithm: Algorithm = Algorithm.LEAST_REQUEST
    ring_minimum_size: int = 1024
    maglev_table_size: int = 65537
    slow_start: SlowStart | None = None
    panic_threshold: float = 50.0
    """Percent of healthy hosts under which Envoy uses all; Istio writes minHealthPercent (0) with outlierDetection."""
    locality_weights: Mapping[str, int] | None = None
    """localityLbSetting.distribute for this proxy: `region/zone/subzone` → share; None: localities do not weigh."""
    extra: Mapping[str, object] = field(default_factory=dict)


def build_balancer(policy: LoadBalancing, hosts: Sequence[HostT], rng: random.Random, clock: Clock) -> Balancer[HostT]:
    """The balancer of one cluster. It keeps `hosts` until its `refresh` is given others.

    PASSTHROUGH, which a cluster of listed hosts cannot do, chooses at random.
    """
    threshold = int(100 * (policy.panic_threshold / 100.0))  # a whole percentage, cut as Envoy cuts it
    weights = policy.locality_weights
    match policy.algorithm:
        case Algorithm.RING_HASH:
            size = policy.ring_minimum_size
            return ConsistentBalancer(hosts, lambda weighted: Ring(weighted, size).choose, threshold, weights, rng)
        case Algorithm.MAGLEV:
            size = policy.maglev_table_size
            return ConsistentBalancer(hosts, lambda weighted: Maglev(weighted, size).choose, threshold, weights, rng)
    return LevelBalancer(hosts, _chooser_maker(policy, rng, clock), threshold, weights, rng)


def _chooser_maker(policy: LoadBalancing, rng: random.Random, clock: Clock) -> Callable[[], Chooser[HostT]]:
    """All choosers of one balancer share a seed and a warm-up, as in Envoy."""
    seed = rng.getrandbits(64)
    warm_up = None if policy.slow_start is None else WarmUp(policy.slow_start, clock)
    match policy.algorithm:
        case Algorithm.ROUND_ROBIN:
            return lambda: RoundRobin(seed, warm_up)
        case Algorithm.LEAST_REQUEST:
            return lambda: LeastRequest(seed, warm_up, rng)
    return lambda: Random(rng)
