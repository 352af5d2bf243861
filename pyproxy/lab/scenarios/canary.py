"""A canary: a tenth, a half, all of the traffic to a new version."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import VERSIONS, virtual_service


def _step(old: int, new: int, low: float, high: float) -> Step:
    return Step(
        title=f"{new} % to v3",
        documents={
            "reviews.yaml": virtual_service(
                "reviews",
                f"""
                - name: canary
                  route:
                    - destination: {{host: reviews, subset: v1}}
                      weight: {old}
                    - destination: {{host: reviews, subset: v3}}
                      weight: {new}
                """,
                "A canary: v1 is what we trust, v3 what we try. Change the weights, save, and check.",
            )
            + VERSIONS
        },
        loads=(Load("reviews", 75),),
        seconds=4,
        watch=("curl -s -H 'Host: reviews' http://127.0.1.1:15001/reviews/0",),
        checks=(
            Check(
                "share of v3",
                lambda m: (
                    m.grown.requests(source="productpage-v1", target="reviews-v3")
                    / m.grown.requests(source="productpage-v1", service="reviews")
                ),
                low,
                high,
                f"the weights in reviews.yaml are {old} and {new} in this step; save them and check again",
            ),
            Check("answers without error", lambda m: m.met.share(200), 0.99, 1, "a canary must not cost a request"),
        ),
    )


SCENARIO = Scenario(
    name="canary",
    title="A canary",
    teaches="Weighted routes, and how far chance strays: n requests with share p stray by 3 x sqrt(p(1-p)/n).",
    question="Of 300 requests with weights 90 and 10, how many reach v3: exactly 30? How far off may it be?",
    because="Each request is drawn by itself: 30 of 300 is likely, 15 to 45 is usual (three standard deviations are "
    "16). With 100 % nothing is left to chance.",
    steps=(_step(90, 10, 0.045, 0.155), _step(50, 50, 0.41, 0.59), _step(0, 100, 1, 1)),
)
