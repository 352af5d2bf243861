"""A quarter of --users-peak, a half, three quarters, all, --stage seconds each: one measurement per level.

locust -f examples/locust/step.py --headless --users-peak 40 --stage 20 --csv step
"""

from __future__ import annotations

import shapes
from locust import LoadTestShape, task
from visitors import Visitor


class Step(Visitor):
    """Asks for one page, again and again."""

    @task
    def visit(self) -> None:
        self.page()


class Shape(LoadTestShape):
    """Reads the time, says how many visitors there are."""

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        users = shapes.step(self.get_run_time(), options.stage, options.users_peak)
        return None if users is None else (users, float(options.users_peak))
