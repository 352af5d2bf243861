"""A retry storm: three tiers with three retries each make 64 requests of one; a budget, or one place, does not."""

from typing import Any

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import VERSIONS, destination_rule, virtual_service

_STRICT = {"strict": True, "tries": 1}
_KNOBS: dict[str, dict[str, Any]] = {
    "productpage-v1": _STRICT,
    "reviews-v2": _STRICT,
    "ratings-v1": {"error_share": 1.0},
}
_LOAD = Load("page", 2, timeout=30)
_PAGE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: bookshop
spec:
  hosts: ["*"]
  gateways: [bookshop]
  http:
    - name: page
      retries: {retries}
      route:
        - destination:
            host: productpage
            port: {{number: 9080}}
"""
_COMMENT = "How often this tier tries again is under retries.attempts."


def _documents(page: int, reviews: int, ratings: int, budget: str = "") -> dict[str, str]:
    limit = "---\n" + destination_rule("ratings", budget) if budget else ""
    return {
        "bookshop.yaml": f"# {_COMMENT}\n" + _PAGE.format(retries=_retries(page)),
        "reviews.yaml": virtual_service("reviews", _route(reviews, "{host: reviews, subset: v2}"), _COMMENT) + VERSIONS,
        "ratings.yaml": virtual_service("ratings", _route(ratings, "{host: ratings}"), _COMMENT) + limit,
    }


def _retries(attempts: int) -> str:
    return f"{{attempts: {attempts}, retryOn: 5xx, backoff: 5ms}}" if attempts else "{attempts: 0}"


def _route(attempts: int, to: str) -> str:
    return f"- name: all\n  retries: {_retries(attempts)}\n  route:\n    - destination: {to}\n"


def _amplification(low: float, high: float, hint: str) -> Check:
    return Check(
        "requests at ratings for each page",
        lambda m: m.grown.requests("destination", target="ratings-v1") / m.met.answered,
        low,
        high,
        hint,
        "",
    )


SCENARIO = Scenario(
    name="retry-storm",
    title="A retry storm",
    teaches="Retries multiply over the tiers; retry in one place, and with a ceiling.",
    question="Gateway, productpage and reviews each retry three times, and ratings fails. How many requests reach "
    "ratings for one page: 4, 12, 64?",
    because="Each tier tries four times what the tier below it tries four times: 4 x 4 x 4 = 64. Whoever is ill "
    "gets 64 times the load. In one place it is 4, whatever the number of tiers.",
    steps=(
        Step(
            title="three tiers with three retries each",
            documents=_documents(3, 3, 3),
            knobs=_KNOBS,
            loads=(_LOAD,),
            settle=4,
            seconds=7,
            watch=("curl -s http://127.0.0.1:8080/productpage",),
            checks=(_amplification(38, 92, "attempts is 3 in bookshop.yaml, reviews.yaml and ratings.yaml"),),
        ),
        Step(
            title="retries in one place",
            documents=_documents(0, 0, 3),
            knobs=_KNOBS,
            loads=(_LOAD,),
            settle=1,
            seconds=5,
            checks=(_amplification(3, 5, "attempts is 0 in bookshop.yaml and reviews.yaml, 3 in ratings.yaml"),),
        ),
        Step(
            title="three tiers, and no more than one retry at once to ratings",
            documents=_documents(3, 3, 3, "connectionPool:\n  http: {maxRetries: 1}"),
            knobs=_KNOBS,
            loads=(Load("page", 6, timeout=30),),
            settle=2,
            seconds=5,
            watch=("curl -s '127.0.1.4:15000/stats?usedonly&filter=ratings.*retry'",),
            checks=(
                Check(
                    "retries to ratings that were not made",
                    lambda m: m.grown.cluster("upstream_rq_retry_overflow", cluster=".*ratings.*"),
                    1,
                    1e9,
                    "maxRetries is 1 in ratings.yaml",
                    "",
                ),
                _amplification(4, 58, "maxRetries is 1 in ratings.yaml"),
            ),
        ),
    ),
)
