"""Outlier ejection: a replica that fails is left alone for a while, and comes back when it is well."""

from pyproxy.lab.load import Load
from pyproxy.lab.scenario import Check, Scenario, Step
from pyproxy.lab.scenarios.documents import ANY_REPLICA, destination_rule, virtual_service

_REPLICAS = virtual_service(
    "reviews", ANY_REPLICA + "  retries: {attempts: 0}\n", "Three replicas, no retries: an error is an error."
)
_PLAIN = destination_rule("reviews", "loadBalancer: {simple: ROUND_ROBIN}")
_DETECTED = destination_rule(
    "reviews",
    """
    loadBalancer: {simple: ROUND_ROBIN}
    outlierDetection:
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: 4s
      maxEjectionPercent: 50
    """,
)
_SICK = {"reviews-v3": {"error_share": 1.0}}
_SHARE_OF_V3 = "share of v3"
_LOAD = Load("reviews", 40)

SCENARIO = Scenario(
    name="outlier-ejection",
    title="Eject a sick replica",
    teaches="Passive health checks: consecutive errors, ejection time, maxEjectionPercent, and the return.",
    question="One replica of three fails always. With consecutive5xxErrors 3, what share of requests fails over ten "
    "seconds: 33 %, 10 %, 2 %?",
    because="Three errors in a row, then it is out for 4 s, then three more, out for 8 s: a few errors in ten "
    "seconds. maxEjectionPercent is what keeps detection from ejecting everybody when the fault lies "
    "elsewhere.",
    steps=(
        Step(
            title="v3 is sick, and nobody minds",
            documents={"reviews.yaml": _REPLICAS + "---\n" + _PLAIN},
            knobs=_SICK,
            loads=(_LOAD,),
            checks=(Check("requests that fail", lambda m: m.met.share(503), 0.28, 0.38, "one replica of three fails"),),
        ),
        Step(
            title="v3 is sick, and ejected",
            documents={"reviews.yaml": _REPLICAS + "---\n" + _DETECTED},
            knobs=_SICK,
            loads=(_LOAD,),
            seconds=7,
            watch=("curl -s 127.0.1.1:15000/clusters | grep -E 'reviews.*(health_flags|ejection)'",),
            checks=(
                Check(
                    "requests that fail", lambda m: m.met.share(503), 0.001, 0.08, "outlierDetection is in reviews.yaml"
                ),
                Check(
                    "ejections",
                    lambda m: m.grown.cluster("outlier_detection_ejections_enforced_total", proxy="productpage-v1"),
                    1,
                    4,
                    "consecutive5xxErrors is 3, baseEjectionTime 4s",
                    "",
                ),
            ),
        ),
        Step(
            title="v3 is well again",
            documents={"reviews.yaml": _REPLICAS + "---\n" + _DETECTED},
            loads=(_LOAD,),
            settle=9,
            seconds=3,
            watch=("curl -s 127.0.1.1:15000/clusters | grep -E 'reviews.*(health_flags|ejection)'",),
            checks=(
                Check("requests that fail", lambda m: m.met.share(503), 0, 0.01, "v3 is well in this step"),
                Check(
                    _SHARE_OF_V3,
                    lambda m: m.met.version_share("v3"),
                    0.28,
                    0.38,
                    "it returns when its time is up: wait, and check again",
                ),
                Check(
                    "hosts ejected now",
                    lambda m: m.now.cluster("outlier_detection_ejections_active", proxy="productpage-v1"),
                    0,
                    0,
                    "it returns when its time is up: wait, and check again",
                    "",
                ),
            ),
        ),
    ),
)
