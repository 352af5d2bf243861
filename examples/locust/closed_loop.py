"""A closed loop: each visitor waits for the answer before the next request, so that a slow service is asked less.

That is how few visitors behave, and why a closed loop hides trouble: while the service stands still, the requests that
would have met it are never sent (coordinated omission). Run open_loop.py beside it and compare.

locust -f examples/locust/closed_loop.py --headless --users 20 --spawn-rate 20 --run-time 1m --think 1 --csv closed
"""

from locust import task
from visitors import Visitor


class Closed(Visitor):
    """Thinks after each answer."""

    @task
    def visit(self) -> None:
        self.page()
