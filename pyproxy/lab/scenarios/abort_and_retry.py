"""An injected abort is never retried; a real error is."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import virtual_service

_RETRIES = """\
  retries: {attempts: 3, retryOn: 5xx, backoff: 5ms}
  route:
    - destination: {host: ratings}
"""
_OF_REVIEWS = {"source": "reviews-v2", "service": "ratings"}

SCENARIO = Scenario(
    name="abort-and-retry",
    title="An abort and a retry on one route",
    teaches="A fault is injected before the retry looks: an injected abort is never tried again (Istio's issue 13705).",
    question="Half of the calls are aborted with 503, and the same route retries 5xx three times. What share fails?",
    because="The fault filter answers before the router is reached, and the router is who retries: half fail. When "
    "ratings itself fails half, each of four tries fails with 1/2, and all four with 1/16.",
    steps=(
        Step(
            title="the proxy aborts half of the calls",
            documents={
                "ratings.yaml": virtual_service(
                    "ratings",
                    "- name: aborted\n  fault:\n    abort: {httpStatus: 503, percentage: {value: 50}}\n" + _RETRIES,
                    "Half are aborted, and retries do not help.",
                )
            },
            loads=(Load("ratings", 40, via="reviews-v2"),),
            watch=("curl -s '127.0.1.4:15000/stats?usedonly&filter=ratings.*retry|aborts'",),
            checks=(
                Check("calls that fail", lambda m: m.met.share(503), 0.38, 0.62, "the abort's percentage is 50"),
                Check(
                    "of those with the flag FI",
                    lambda m: m.grown.requests(flag="FI", **_OF_REVIEWS) / m.grown.requests(code="503", **_OF_REVIEWS),
                    1,
                    1,
                    "FI: aborted by a fault. Does ratings itself fail?",
                ),
                Check(
                    "retries",
                    lambda m: m.grown.cluster("upstream_rq_retry", proxy="reviews-v2"),
                    0,
                    0,
                    "nothing real has failed",
                    "",
                ),
            ),
        ),
        Step(
            title="ratings itself fails half of the calls",
            documents={
                "ratings.yaml": virtual_service(
                    "ratings", "- name: retried\n" + _RETRIES, "The same retries; the errors are real now."
                )
            },
            knobs={"ratings-v1": {"error_share": 0.5}},
            loads=(Load("ratings", 40, via="reviews-v2"),),
            checks=(
                Check("calls that fail", lambda m: m.met.share(503), 0.01, 0.13, "attempts 3: 1/16 is left"),
                Check(
                    "tries for each call",
                    lambda m: m.grown.requests("destination", target="ratings-v1") / m.met.answered,
                    1.6,
                    2.15,
                    "1 + 1/2 + 1/4 + 1/8 = 1.9",
                    "",
                ),
            ),
        ),
    ),
)
