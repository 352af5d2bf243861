"""Which endpoints are ejected, until when. Source: Envoy outlier_detection_impl.cc."""

from __future__ import annotations

from dataclasses import dataclass


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
