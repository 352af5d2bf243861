"""Few visitors, then ten times as many at once, then few again: --stage seconds each, --users-peak at the height.

locust -f examples/locust/spike.py --headless --users-peak 40 --stage 20 --csv spike
"""

from __future__ import annotations

import shapes
from locust import LoadTestShape, task
from visitors import Visitor


class Spike(Visitor):
    """Asks for one page, again and again."""

    @task
    def visit(self) -> None:
        self.page()


class Shape(LoadTestShape):
    """Reads the time, says how many visitors there are."""

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        users = shapes.spike(self.get_run_time(), options.stage, options.users_peak)
        return None if users is None else (users, float(options.users_peak))
