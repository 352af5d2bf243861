"""A client that asks again at once when it fails, up to three times: beside a mesh that retries too, load multiplies.

Two lines come out: `attempt` is what went over the wire, `visit` is what the visitor got in the end. Their quotient
is how much this client amplifies. The sidecars multiply it once more: see envoy_cluster_upstream_rq_retry.

locust -f examples/locust/retry_happy.py --headless --users 20 --spawn-rate 20 --run-time 1m --csv retries
"""

from __future__ import annotations

import time

from locust import task
from visitors import Visitor

ATTEMPTS = 4


class RetryHappy(Visitor):
    """Has no patience and no back-off."""

    @task
    def visit(self) -> None:
        began = time.perf_counter()
        for _ in range(ATTEMPTS):
            response = self.page("attempt")
            if 200 <= response.status_code < 500:
                break
        self.report("VISIT", "visit", began, response)
