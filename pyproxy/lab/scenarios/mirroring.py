"""A mirror: a new version meets real traffic, and nobody meets the new version."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import VERSIONS, virtual_service

_MIRRORED = {
    "reviews.yaml": virtual_service(
        "reviews",
        """
        - name: mirrored
          route:
            - destination: {host: reviews, subset: v1}
          mirrors:
            - destination: {host: reviews, subset: v3}
              percentage: {value: 100}
        """,
        "v1 answers; v3 gets a copy of every request, and its answers are thrown away.",
    )
    + VERSIONS
}
_ARRIVED = Check(
    "arrived at v3 for each request",
    lambda m: m.grown.requests("destination", target="reviews-v3") / m.met.answered,
    0.9,
    1.1,
    "the mirror in reviews.yaml is v3, with 100 %",
)
_UNSEEN = Check("answers from v1", lambda m: m.met.version_share("v1"), 1, 1, "only v1 is in the route")

SCENARIO = Scenario(
    name="mirroring",
    title="Mirror traffic",
    teaches="Shadow traffic: its answers are thrown away, but its work is real.",
    question="v3 fails every request. How many errors do the clients see when v3 is a mirror?",
    because="A mirror's answers are thrown away, its errors with them. But ratings was asked by v3 as if in "
    "earnest: do not mirror to what writes or costs.",
    steps=(
        Step(
            title="v3 is the mirror of v1",
            documents=_MIRRORED,
            loads=(Load("reviews", 30),),
            watch=("curl -s http://127.0.1.5:15090/stats/prometheus | grep -c 'reporter=\"destination\"'",),
            checks=(
                _ARRIVED,
                _UNSEEN,
                Check(
                    "asked of ratings for each request",
                    lambda m: m.grown.requests(source="reviews-v3", service="ratings") / m.met.answered,
                    0.9,
                    1.1,
                    "v3 asks ratings, mirrored or not",
                ),
            ),
        ),
        Step(
            title="the mirror fails",
            documents=_MIRRORED,
            knobs={"reviews-v3": {"error_share": 1.0}},
            loads=(Load("reviews", 30),),
            checks=(
                _ARRIVED,
                _UNSEEN,
                Check("errors for the clients", lambda m: 1 - m.met.share(200), 0, 0.005, "v3 must be a mirror only"),
            ),
        ),
    ),
)
