from __future__ import annotations

from pyproxy.envoy.protection import outlier_detection, outlier_matcher, thresholds
from pyproxy.policy.circuit_breaker import CircuitBreakers
from pyproxy.policy.outlier import OutlierPolicy


def test_ceilings_and_a_budget() -> None:
    found = thresholds(CircuitBreakers(max_connections=1, max_retries=2))
    assert (found["max_connections"], found["max_retries"], found["max_requests"]) == (1, 2, 2**32 - 1)
    assert found["track_remaining"] is True
    assert "retry_budget" not in found
    budget = thresholds(CircuitBreakers(retry_budget_percent=25.0))["retry_budget"]
    assert budget == {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 3}


def test_outliers() -> None:
    found = outlier_detection(OutlierPolicy(consecutive_5xx=3, interval=1.0, enforcing_gateway=100))
    assert found["consecutive_5xx"] == 3
    assert (found["interval"], found["base_ejection_time"], found["max_ejection_time"]) == ("1s", "30s", "300s")
    assert (found["enforcing_consecutive_gateway_failure"], found["enforcing_success_rate"]) == (100, 0)
    assert "split_external_local_origin_errors" not in found
    split = outlier_detection(OutlierPolicy(split_local_origin=True, consecutive_local_origin=2))
    assert (split["split_external_local_origin_errors"], split["consecutive_local_origin_failure"]) == (True, 2)
    assert split["enforcing_local_origin_success_rate"] == 0


def test_codes_that_count_as_errors() -> None:
    assert outlier_matcher(None) == outlier_matcher(OutlierPolicy()) == {}
    found = outlier_matcher(OutlierPolicy(error_codes=frozenset({500, 429})))
    assert "'regex': '429|500'" in str(found)
