"""A metastable failure: a short spike, and retries that keep the overload alive when the spike is long over."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import destination_rule, virtual_service

_QUEUE = {"details-v1": {"hands": 1, "work_ms": 20}}
_SPIKE = (2.0, 120.0)
_HASTY = virtual_service(
    "details",
    """
    - name: hasty
      timeout: 4s
      retries: {attempts: 3, perTryTimeout: 0.25s, retryOn: "5xx,reset", backoff: 5ms}
      route:
        - destination: {host: details}
    """,
    "Who has no answer after a quarter of a second asks again, up to three times.",
)
_CEILING = destination_rule(
    "details",
    """
    connectionPool:
      http: {http2MaxRequests: 10, maxRetries: 2}
    """,
)

SCENARIO = Scenario(
    name="metastable-failure",
    title="A metastable failure",
    teaches="A state that keeps itself alive: the cause has gone, the overload stays. What breaks it is less load.",
    question="details manages 50 requests a second and gets 20, for two seconds 120, then 20 again. Each is retried "
    "three times after 0.25 s. When is all well again?",
    because="In the queue everybody waits longer than 0.25 s, so everybody is asked four times: 20 requests become "
    "80, and 80 is more than 50. Each answer comes too late for its asker. Only fewer requests let the queue "
    "run dry: a ceiling refuses most for a moment, and then everybody is served.",
    steps=(
        Step(
            title="20 a second, without a spike",
            documents={"details.yaml": _HASTY},
            knobs=_QUEUE,
            loads=(Load("details", 20),),
            seconds=4,
            checks=(
                Check("requests that are answered", lambda m: m.met.share(200), 0.97, 1, "the machine is too busy"),
            ),
        ),
        Step(
            title="after a spike of two seconds",
            documents={"details.yaml": _HASTY},
            knobs=_QUEUE,
            loads=(Load("details", 20, spike=_SPIKE),),
            settle=7,
            seconds=5,
            watch=("pyproxy lab status",),
            checks=(
                Check(
                    "requests that are answered", lambda m: m.met.share(200), 0, 0.3, "no ceiling yet in details.yaml"
                ),
                Check(
                    "tries for each request",
                    lambda m: (
                        m.grown.cluster("upstream_rq_total", cluster=".*details.*", proxy="productpage-v1") / m.met.sent
                    ),
                    2.5,
                    10,
                    "attempts is 3",
                    "",
                ),
            ),
        ),
        Step(
            title="the same spike, with a ceiling",
            documents={"details.yaml": _HASTY + "---\n" + _CEILING},
            knobs=_QUEUE,
            loads=(Load("details", 20, spike=_SPIKE),),
            settle=7,
            seconds=5,
            watch=("curl -s '127.0.1.1:15000/stats?usedonly&filter=details.*overflow'",),
            checks=(
                Check(
                    "requests that are answered",
                    lambda m: m.met.share(200),
                    0.9,
                    1,
                    "http2MaxRequests 10, maxRetries 2",
                ),
                Check(
                    "tries for each request",
                    lambda m: (
                        m.grown.cluster("upstream_rq_total", cluster=".*details.*", proxy="productpage-v1")
                        / m.met.answered
                    ),
                    0.9,
                    1.3,
                    "who is answered does not ask again",
                    "",
                ),
            ),
        ),
    ),
)
