"""Which endpoint next: Envoy's load balancers over hosts that the runtime keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol


class Algorithm(Enum):
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"
    PASSTHROUGH = "PASSTHROUGH"


@dataclass(frozen=True, slots=True)
class SlowStart:
    """DestinationRule `warmup`. `window` is seconds."""

    window: float
    minimum_percent: float = 10.0
    aggression: float = 1.0


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


class Host(Protocol):
    """What a balancer may ask of a host."""

    key: str
    """`ip:port`, or what is hashed in its place."""
    weight: int
    active: int
    """Requests in flight."""
    healthy: bool
    """False while ejected."""
    healthy_since: float
    priority: int
    locality: str
