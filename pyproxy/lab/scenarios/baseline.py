"""The bookshop as it is: what requests, errors and durations look like when one program in twenty answers late."""

from pyproxy.lab.load import Kind, Load
from pyproxy.lab.scenario import Check, Scenario, Step

SCENARIO = Scenario(
    name="baseline",
    title="Read the table",
    teaches="Rate, errors, duration; and why a median hides what a 99th percentile shows.",
    question="One answer of details in twenty takes 300 ms, the others 1 ms. What is the median, what the 99th "
    "percentile?",
    because="19 of 20 answers are quick, so the median sees only quick ones. The slow twentieth begins at the 95th "
    "percentile: the 99th lies well inside it. Nothing failed: slow is no error.",
    steps=(
        Step(
            title="one answer of details in twenty is late",
            knobs={"details-v1": {"delay_ms": 300, "delay_share": 0.05}},
            loads=(Load("page", 20, kinds=(Kind("jason", (("end-user", "jason"),), 0.3), Kind("anonymous", (), 0.7))),),
            seconds=8,
            watch=("curl -s http://127.0.1.1:15090/stats/prometheus | grep -c istio_requests_total",),
            checks=(
                Check(
                    "pages that came",
                    lambda m: m.met.share(200),
                    0.99,
                    1,
                    "something fails: pyproxy lab reset, and begin again",
                ),
                Check(
                    "pages per second",
                    lambda m: m.grown.requests(source="gateway") / m.seconds,
                    12,
                    23,
                    "the machine is too busy for 20 pages a second: stop what else runs",
                    "/s",
                ),
                Check(
                    "median of details",
                    lambda m: m.grown.quantile_ms(0.5, source="productpage-v1", service="details"),
                    0,
                    50,
                    "the machine is too busy",
                    "ms",
                ),
                Check(
                    "99th percentile of details",
                    lambda m: m.grown.quantile_ms(0.99, source="productpage-v1", service="details"),
                    250,
                    600,
                    "too few requests to see one in a hundred: wait a little and check again",
                    "ms",
                ),
                Check(
                    "reviews that v2 serves",
                    lambda m: (
                        m.grown.requests(source="productpage-v1", service="reviews", target="reviews-v2")
                        / m.grown.requests(source="productpage-v1", service="reviews")
                    ),
                    0.36,
                    0.66,
                    "30 % of the visitors are jason (v2), 30 % of the rest get v2: 51 %",
                ),
            ),
        ),
    ),
)
