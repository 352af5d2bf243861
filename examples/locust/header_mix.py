"""Visitors of several kinds, told apart by their headers as routes tell them, and counted apart.

Of ten, seven are anonymous, two are jason, whom the lab's reviews.yaml sends to v2, and
one has a cookie that asks for the new edition.

locust -f examples/locust/header_mix.py --headless --users 20 --spawn-rate 20 --run-time 1m --csv mix
"""

from locust import task
from visitors import Visitor


class HeaderMix(Visitor):
    """Somebody else with every request."""

    @task(7)
    def anonymous(self) -> None:
        self.page("anonymous")

    @task(2)
    def jason(self) -> None:
        self.page("jason", end_user="jason")

    @task(1)
    def new_edition(self) -> None:
        self.page("new edition", cookie="edition=new")
