"""Authorization: nobody, then those who are named."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import authorization

_NOBODY = authorization(
    "ratings-nobody",
    """
    selector:
      matchLabels: {app: ratings}
    """,
    "A policy without rules allows nothing.",
)
_REVIEWS_ONLY = authorization(
    "ratings-reviews",
    """
    selector:
      matchLabels: {app: ratings}
    action: ALLOW
    rules:
      - from:
          - source:
              principals: ["cluster.local/ns/default/sa/bookshop-reviews"]
        to:
          - operation: {methods: [GET], paths: ["/ratings/*"]}
    """,
    "The identity in reviews' certificate may read ratings; nobody else may anything.",
)
_LOADS = (
    Load("ratings", 15, via="reviews-v2", kinds=(Kind("reviews"),)),
    Load("ratings", 15, via="productpage-v1", kinds=(Kind("productpage"),)),
    Load("ratings", 5, via="reviews-v2", kinds=(Kind("elsewhere"),), path="/admin"),
)

SCENARIO = Scenario(
    name="authorization",
    title="Who may ask what",
    teaches="Deny by default, allow by identity, method and path; 403 comes from the callee's sidecar.",
    question="Only reviews may GET /ratings/*. What do productpage, and reviews under another path, get: 403, 404, "
    "a reset?",
    because="As soon as one ALLOW policy applies to a workload, what no rule allows is refused: 403, `RBAC: access "
    "denied`. Who asks is the identity in its certificate, not a header or an address. The program is not "
    "even asked.",
    steps=(
        Step(
            title="nobody",
            documents={"authorization.yaml": _NOBODY},
            loads=_LOADS,
            watch=("curl -s -i -H 'Host: ratings' http://127.0.1.1:15001/ratings/0",),
            checks=(
                Check("refused with 403", lambda m: m.met.share(403), 1, 1, "authorization.yaml has no rules yet"),
            ),
        ),
        Step(
            title="reviews, and GET /ratings/* only",
            documents={"authorization.yaml": _REVIEWS_ONLY},
            loads=_LOADS,
            watch=("curl -s -i -H 'Host: ratings' http://127.0.1.4:15001/ratings/0",),
            checks=(
                Check(
                    "reviews is answered", lambda m: m.met.share(200, kind="reviews"), 1, 1, "principals: ...-reviews"
                ),
                Check("productpage gets 403", lambda m: m.met.share(403, kind="productpage"), 1, 1, "it is not named"),
                Check("another path gets 403", lambda m: m.met.share(403, kind="elsewhere"), 1, 1, "paths: /ratings/*"),
            ),
        ),
    ),
)
