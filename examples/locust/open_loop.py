"""An open loop: requests are due at fixed times, --arrivals a second for each visitor, however slow the answers are.

That is how many visitors behave who do not know of each other. A locust user asks for one page at a time, so where an
answer takes longer than the time to the next arrival, that one starts late. `page` is the time of the request alone;
`page, since due` counts from when it should have started, and is what such a visitor would have felt. Where both agree
the loop was open; where they part, the service could not keep up or there were too few users.

locust -f examples/locust/open_loop.py --headless --users 20 --spawn-rate 20 --run-time 1m --arrivals 1 --csv open
"""

from __future__ import annotations

import time

from locust import task
from visitors import Visitor


class Open(Visitor):
    """Asks by the clock."""

    def on_start(self) -> None:
        self._due = time.perf_counter()

    def wait_time(self) -> float:
        """As locust's constant_throughput, which would forget what is overdue; here it is made up for."""
        return max(0.0, self._due - time.perf_counter())

    @task
    def visit(self) -> None:
        due = self._due
        self._due += 1 / self.environment.parsed_options.arrivals
        response = self.page()
        self.report("DUE", "page, since due", due, response)
