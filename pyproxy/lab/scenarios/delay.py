"""An injected delay: latency is no error, and an average hides it."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import virtual_service

_TO_RATINGS = {"source": "reviews-v2", "service": "ratings"}

SCENARIO = Scenario(
    name="delay",
    title="Inject a delay",
    teaches="A delay is no error; where it is seen, and in which percentile.",
    question="Every tenth call of ratings takes 500 ms more. What happens to errors, median and 99th percentile?",
    because="Errors stay at zero: nobody gave up. The median is a quick call; the 99th percentile lies among the "
    "slow tenth, in the histogram's bucket from 500 ms on. ratings itself knows nothing of it: its "
    "caller's proxy held them back.",
    steps=(
        Step(
            title="every tenth call of ratings is held back for 500 ms",
            documents={
                "ratings.yaml": virtual_service(
                    "ratings",
                    """
                    - name: held-back
                      fault:
                        delay:
                          fixedDelay: 0.5s
                          percentage: {value: 10}
                      route:
                        - destination: {host: ratings}
                    """,
                    "The caller's sidecar holds back every tenth call.",
                )
            },
            loads=(Load("ratings", 40, via="reviews-v2"),),
            seconds=7,
            watch=("curl -s '127.0.1.4:15000/stats?usedonly&filter=delays_injected'",),
            checks=(
                Check("errors", lambda m: 1 - m.met.share(200), 0, 0.005, "a delay alone fails nobody"),
                Check("median", lambda m: m.grown.quantile_ms(0.5, **_TO_RATINGS), 0, 100, "10 %, not more", "ms"),
                Check(
                    "99th percentile",
                    lambda m: m.grown.quantile_ms(0.99, **_TO_RATINGS),
                    500,
                    1100,
                    "fixedDelay is 0.5s, percentage 10",
                    "ms",
                ),
                Check(
                    "share with the flag DI",
                    lambda m: m.grown.requests(flag="DI", **_TO_RATINGS) / m.grown.requests(**_TO_RATINGS),
                    0.04,
                    0.17,
                    "DI marks what was delayed by a fault",
                ),
                Check(
                    "99th percentile as ratings sees it",
                    lambda m: m.grown.quantile_ms(0.99, "destination", target="ratings-v1"),
                    0,
                    250,
                    "the delay is before the call, not in it",
                    "ms",
                ),
            ),
        ),
    ),
)
