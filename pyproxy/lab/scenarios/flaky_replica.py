"""Retries against one flaky replica of three: success is one minus p to the n, and better with another host."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import ANY_REPLICA, destination_rule, virtual_service

_ROUND_ROBIN = "---\n" + destination_rule("reviews", "loadBalancer: {simple: ROUND_ROBIN}")
_KNOBS = {"reviews-v3": {"error_share": 0.6}}


def _documents(retries: str, comment: str) -> dict[str, str]:
    return {"reviews.yaml": virtual_service("reviews", ANY_REPLICA + retries, comment) + _ROUND_ROBIN}


SCENARIO = Scenario(
    name="flaky-replica",
    title="A flaky replica",
    teaches="What retries buy (success = 1 - p^n) and what they cost (more tries), and that a retry goes elsewhere.",
    question="One replica of three fails 60 % of its requests: 20 % of all. How many fail with one retry? 4 %?",
    because="4 % would be left if the retry met the same dice. It avoids the replica that has just failed, as "
    "Istio's retries do, and the others are well: nothing is left. The price is one more try for every "
    "fifth request.",
    steps=(
        Step(
            title="no retries",
            documents=_documents("  retries: {attempts: 0}\n", "Three replicas; nothing is tried again."),
            knobs=_KNOBS,
            loads=(Load("reviews", 40),),
            watch=("pyproxy lab status",),
            checks=(
                Check("requests that fail", lambda m: m.met.share(503), 0.12, 0.28, "a third of them, 60 % of those"),
                Check(
                    "tries for each request",
                    lambda m: m.grown.requests("destination", service="reviews") / m.met.answered,
                    0.95,
                    1.05,
                    "attempts is 0",
                    "",
                ),
            ),
        ),
        Step(
            title="one retry",
            documents=_documents(
                "  retries: {attempts: 1, retryOn: 5xx, backoff: 5ms}\n", "Three replicas; one more try, elsewhere."
            ),
            knobs=_KNOBS,
            loads=(Load("reviews", 40),),
            watch=("curl -s '127.0.1.1:15000/stats?usedonly&filter=reviews.*retry'",),
            checks=(
                Check("requests that fail", lambda m: m.met.share(503), 0, 0.02, "retryOn is 5xx, attempts 1"),
                Check(
                    "tries for each request",
                    lambda m: m.grown.requests("destination", service="reviews") / m.met.answered,
                    1.1,
                    1.5,
                    "every fifth is tried twice, or a few more: each retry moves the turn on",
                    "",
                ),
            ),
        ),
    ),
)
