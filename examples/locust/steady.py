"""The same number of visitors all the time: what every other run is compared with.

locust -f examples/locust/steady.py --headless --users 20 --spawn-rate 20 --run-time 1m --csv before
"""

from locust import task
from visitors import Visitor


class Steady(Visitor):
    """Asks for one page, again and again."""

    @task
    def visit(self) -> None:
        self.page()
