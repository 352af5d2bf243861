"""Timeouts in the wrong order: the caller gives up first, and the work below it is for nobody."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import VERSIONS, virtual_service

_SLOW = {"ratings-v1": {"delay_ms": 800}}


def _documents(reviews: str, ratings: str, comment: str) -> dict[str, str]:
    limit = f"  timeout: {ratings}\n" if ratings else ""
    return {
        "reviews.yaml": virtual_service(
            "reviews",
            f"- name: to-v2\n  timeout: {reviews}\n  route:\n    - destination: {{host: reviews, subset: v2}}\n",
            comment,
        )
        + VERSIONS,
        "ratings.yaml": virtual_service(
            "ratings", f"- name: all\n{limit}  route:\n    - destination: {{host: ratings}}\n", comment
        ),
    }


SCENARIO = Scenario(
    name="timeout-cascade",
    title="A cascade of timeouts",
    teaches="The deadline of a callee must be shorter than its caller's; otherwise work is done for nobody.",
    question="ratings takes 0.8 s, and who asks reviews waits 0.4 s. How many of the calls of ratings were of use?",
    because="The outer deadline ended everything, the inner work went on: ratings answered people who had left. "
    "With the shorter deadline inside, reviews gives up in time and answers without stars: a page with a "
    "gap instead of none.",
    steps=(
        Step(
            title="the outer timeout is the shorter one",
            documents=_documents("0.4s", "", "reviews must answer within 0.4 s; ratings may take as long as it likes."),
            knobs=_SLOW,
            loads=(Load("reviews", 10),),
            settle=1,
            watch=("curl -s -i -H 'Host: reviews' http://127.0.1.1:15001/reviews/0",),
            checks=(
                Check(
                    "requests that end in 504", lambda m: m.met.share(504), 0.99, 1, "timeout is 0.4s in reviews.yaml"
                ),
                Check(
                    "with the flag UT",
                    lambda m: (
                        m.grown.requests(source="productpage-v1", service="reviews", flag="UT")
                        / m.grown.requests(source="productpage-v1", service="reviews")
                    ),
                    0.95,
                    1,
                    "UT: the upstream took too long",
                ),
                Check(
                    "calls that ratings worked on all the same",
                    lambda m: m.grown.requests("destination", target="ratings-v1") / m.met.answered,
                    0.8,
                    1.2,
                    "nobody told ratings that its caller had left",
                ),
            ),
        ),
        Step(
            title="the inner timeout is the shorter one",
            documents=_documents("0.4s", "0.2s", "reviews must answer within 0.4 s, so ratings has 0.2 s."),
            knobs=_SLOW,
            loads=(Load("reviews", 10),),
            settle=1,
            watch=("curl -s -H 'Host: reviews' http://127.0.1.1:15001/reviews/0",),
            checks=(
                Check(
                    "requests that are answered", lambda m: m.met.share(200), 0.97, 1, "timeout: 0.2s in ratings.yaml"
                ),
                Check(
                    "calls of ratings given up in time",
                    lambda m: (
                        m.grown.requests(source="reviews-v2", service="ratings", code="504")
                        / m.grown.requests(source="reviews-v2", service="ratings")
                    ),
                    0.97,
                    1,
                    "timeout: 0.2s in ratings.yaml",
                ),
            ),
        ),
    ),
)
