"""Delay or abort this request? Rolled once per request, before the router. Source: Envoy fault_filter.cc."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaultPolicy:
    """As configured; percentages are parts of a million, as Istio writes them for Envoy."""

    delay: float = 0.0
    """Seconds; 0 is none."""
    delay_per_million: int = 0
    abort_status: int | None = None
    abort_grpc_status: int | None = None
    abort_per_million: int = 0


def roll_delay(policy: FaultPolicy, rng: random.Random) -> float:
    """Seconds to hold the request back; 0 for most."""
    if policy.delay_per_million and policy.delay > 0 and rng.random() * 1_000_000 < policy.delay_per_million:
        return policy.delay
    return 0.0


def roll_abort(policy: FaultPolicy, rng: random.Random) -> bool:
    """Whether to abort; rolled after the delay, whatever its roll was."""
    per_million = policy.abort_per_million
    return per_million > 0 and rng.random() * 1_000_000 < per_million
