"""The capstone: something is wrong, and the numbers, not the documents, tell what."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Measured, Scenario, Step
from pyproxy.lab.scenarios.documents import ANY_REPLICA, destination_rule, virtual_service

FAULTS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("reviews-v2", "slow", {"delay_ms": 400}),
    ("reviews-v3", "failing", {"error_share": 0.7}),
    ("details-v1", "failing", {"error_share": 0.3}),
    ("ratings-v1", "slow", {"delay_ms": 400, "delay_share": 0.5}),
    ("reviews-v1", "failing", {"error_share": 0.7}),
    ("details-v1", "slow", {"delay_ms": 300, "delay_share": 0.3}),
)
"""Workload, what ails it, its knobs."""

ANSWERS = frozenset(f"{workload}:{ailment}" for workload, ailment, _ in FAULTS)
"""What is right in one case or another."""


def _check(number: int) -> Check:
    workload, ailment, _ = FAULTS[number]

    def right(measured: Measured) -> float:
        return float(measured.answer.strip().lower() == f"{workload}:{ailment}")

    return Check(
        "your answer",
        right,
        1,
        1,
        "give it as --answer WORKLOAD:AILMENT, as in --answer ratings-v1:failing (or :slow). Which edge has errors, "
        "or a high p99, that its neighbours have not? Ask each sidecar's metrics.",
        "",
    )


def _step(number: int) -> Step:
    workload, _, knobs = FAULTS[number]
    return Step(
        title=f"case {number + 1}",
        documents={
            "reviews.yaml": virtual_service("reviews", ANY_REPLICA + "  retries: {attempts: 0}\n", "Three replicas.")
            + "---\n"
            + destination_rule("reviews", "loadBalancer: {simple: ROUND_ROBIN}")
        },
        knobs={workload: knobs},
        loads=(Load("page", 12, kinds=(Kind("visitor"),)), Load("reviews", 15, kinds=(Kind("direct"),))),
        seconds=4,
        watch=("curl -s http://127.0.1.1:15090/stats/prometheus | grep istio_requests_total",),
        checks=(_check(number),),
    )


SCENARIO = Scenario(
    name="mystery",
    title="What ails the bookshop?",
    teaches="Diagnosis: from a symptom at the door, edge by edge, to the one workload that is ill.",
    question="Customers complain. Which workload is ill, and is it slow or failing?",
    because="Errors and latency travel upwards: look for the last edge that has them. Its target is ill; everybody "
    "above only passes it on.",
    steps=tuple(_step(number) for number in range(len(FAULTS))),
    secret=True,
)
