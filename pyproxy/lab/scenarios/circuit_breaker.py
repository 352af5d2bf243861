"""A circuit breaker: a ceiling on what may be under way, and what happens to who comes too many."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import destination_rule

_SLOW = {"details-v1": {"delay_ms": 25}}
_TO_DETAILS = {"source": "productpage-v1", "service": "details"}


def _documents(connections: int, waiting: int) -> dict[str, str]:
    policy = f"""
    connectionPool:
      tcp: {{maxConnections: {connections}}}
      http: {{http1MaxPendingRequests: {waiting}, maxRequestsPerConnection: 20}}
    """
    return {
        "details.yaml": destination_rule("details", policy, "A ceiling on what each client proxy sends to details.")
    }


SCENARIO = Scenario(
    name="circuit-breaker",
    title="A circuit breaker",
    teaches="Ceilings of a connection pool, the flag UO, and that each client's proxy counts for itself.",
    question="details takes 25 ms. One connection, one who may wait, four clients that do not pause: what share is "
    "refused, and how quickly?",
    because="Two are served or wait, the other two are refused in a millisecond and come again at once, so more "
    "than half of all requests are refusals. No host has failed: a breaker is full, and says so before "
    "anybody waits.",
    steps=(
        Step(
            title="one connection, one who waits",
            documents=_documents(1, 1),
            knobs=_SLOW,
            loads=(Load("details", clients=4),),
            settle=2,  # until the visitors' connections are used up: a reload closes none
            watch=("curl -s '127.0.1.1:15000/stats?usedonly&filter=details.*(overflow|open)'",),
            checks=(
                Check(
                    "requests refused with 503", lambda m: m.met.share(503), 0.3, 0.95, "maxConnections 1, pending 1"
                ),
                Check(
                    "of those with the flag UO",
                    lambda m: m.grown.requests(flag="UO", **_TO_DETAILS) / m.grown.requests(code="503", **_TO_DETAILS),
                    1,
                    1,
                    "UO: upstream overflow",
                ),
                Check(
                    "overflows for each refusal",
                    lambda m: (
                        m.grown.cluster("upstream_rq_pending_overflow", cluster=".*details.*", proxy="productpage-v1")
                        / m.met.statuses[503]
                    ),
                    0.95,
                    1.05,
                    "upstream_rq_pending_overflow counts what the breaker refused",
                    "",
                ),
            ),
        ),
        Step(
            title="room for everybody",
            documents=_documents(100, 100),
            knobs=_SLOW,
            loads=(Load("details", clients=4),),
            checks=(
                Check("requests that are answered", lambda m: m.met.share(200), 1, 1, "100 and 100 are enough for 4"),
            ),
        ),
    ),
)
