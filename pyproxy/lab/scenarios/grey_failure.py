"""A grey failure: a replica that is slow and not dead, and a balancer that notices."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import ANY_REPLICA, destination_rule, virtual_service


def _step(balancer: str, low: float, high: float, p95: tuple[float, float], hint: str) -> Step:
    rule = destination_rule("reviews", f"loadBalancer: {{simple: {balancer}}}")
    return Step(
        title=balancer,
        documents={
            "reviews.yaml": virtual_service("reviews", ANY_REPLICA, "Three replicas; v3 is slow.") + "---\n" + rule
        },
        knobs={"reviews-v3": {"delay_ms": 400}},
        loads=(Load("reviews", 50),),
        settle=1.5,
        seconds=6,
        watch=("curl -s 127.0.1.1:15000/clusters | grep -E 'reviews.*rq_active'",),
        checks=(
            Check("share of the slow replica", lambda m: m.met.version_share("v3"), low, high, hint),
            Check("95th percentile", lambda m: m.met.percentile_ms(0.95), *p95, hint, "ms"),
            Check("errors", lambda m: 1 - m.met.share(200), 0, 0.005, "slow is no error"),
        ),
    )


SCENARIO = Scenario(
    name="grey-failure",
    title="Slow is not dead",
    teaches="No health check and no outlier detection sees a slow replica; a balancer that counts open requests does.",
    question="One replica of three answers after 400 ms, without errors. What share of requests does it get under "
    "round robin, what share under least request?",
    because="Round robin gives everybody the same, so a third of all users wait. Least request compares two "
    "replicas and takes the one with fewer open requests: the slow one has always more. Nobody was "
    "ejected: there was no error.",
    steps=(
        _step("ROUND_ROBIN", 0.3, 0.36, (400, 900), "loadBalancer.simple is ROUND_ROBIN in reviews.yaml"),
        _step("LEAST_REQUEST", 0.0, 0.2, (0, 900), "loadBalancer.simple is LEAST_REQUEST in reviews.yaml"),
    ),
)
