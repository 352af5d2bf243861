"""Delay or abort this request? Rolled once per request, before the router. Source: Envoy fault_filter.cc."""

from __future__ import annotations

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
