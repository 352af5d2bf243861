"""What protects a cluster's hosts: ceilings and outlier detection.

Source: Envoy api/envoy/config/cluster/v3/circuit_breaker.proto, outlier_detection.proto; Istio
pilot/pkg/networking/core/cluster_traffic_policy.go.
"""

from __future__ import annotations

from pyproxy.envoy.values import Resource, duration
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy


def thresholds(breakers: CircuitBreakers) -> Resource:
    """CircuitBreakers.Thresholds."""
    resource: Resource = {
        "max_connections": breakers.max_connections,
        "max_pending_requests": breakers.max_pending_requests,
        "max_requests": breakers.max_requests,
        "max_retries": breakers.max_retries,
        "track_remaining": True,
    }
    if breakers.retry_budget_percent is not None:
        resource["retry_budget"] = {
            "budget_percent": {"value": breakers.retry_budget_percent},
            "min_retry_concurrency": breakers.retry_budget_min_concurrency,
        }
    return resource


def outlier_detection(policy: OutlierPolicy) -> Resource:
    """OutlierDetection."""
    resource: Resource = {
        "consecutive_5xx": policy.consecutive_5xx,
        "enforcing_consecutive_5xx": policy.enforcing_5xx,
        "consecutive_gateway_failure": policy.consecutive_gateway,
        "enforcing_consecutive_gateway_failure": policy.enforcing_gateway,
        "interval": duration(policy.interval),
        "base_ejection_time": duration(policy.base_ejection_time),
        "max_ejection_time": duration(policy.max_ejection_time),
        "max_ejection_percent": policy.max_ejection_percent,
        "enforcing_success_rate": policy.enforcing_success_rate,
    }
    if policy.split_local_origin:
        resource["split_external_local_origin_errors"] = True
        resource["consecutive_local_origin_failure"] = policy.consecutive_local_origin
        resource["enforcing_consecutive_local_origin_failure"] = policy.enforcing_local_origin
        resource["enforcing_local_origin_success_rate"] = policy.enforcing_success_rate
    return resource


def outlier_matcher(policy: OutlierPolicy | None) -> Resource:
    """outlierDetectionHttpErrorCodes: which answers count as errors stands among the HTTP options of a cluster."""
    if policy is None or policy.error_codes is None:
        return {}
    codes = "|".join(map(str, sorted(policy.error_codes)))
    status = {"name": ":status", "string_match": {"safe_regex": {"regex": codes}}}
    return {"outlier_detection": {"error_matcher": {"http_response_headers_match": {"headers": [status]}}}}
