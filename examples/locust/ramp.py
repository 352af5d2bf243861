"""From one visitor to --users-peak, steadily, in three times --stage seconds: at how many does the p95 bend upwards?

locust -f examples/locust/ramp.py --headless --users-peak 40 --stage 20 --csv ramp
"""

from __future__ import annotations

import shapes
from locust import LoadTestShape, task
from visitors import Visitor


class Ramp(Visitor):
    """Asks for one page, again and again."""

    @task
    def visit(self) -> None:
        self.page()


class Shape(LoadTestShape):
    """Reads the time, says how many visitors there are."""

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        users = shapes.ramp(self.get_run_time(), options.stage, options.users_peak)
        return None if users is None else (users, float(options.users_peak))
