from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.analysis.conftest import Find

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [reviews], http: [{BODY, route: [{destination: {host: reviews}}]}]}
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("timeout: 3s, retries: {attempts: 2, perTryTimeout: 1s}", ""),
        ("timeout: 2.9s, retries: {attempts: 2, perTryTimeout: 1s}", "PYP0102"),
        ("retries: {attempts: 9, perTryTimeout: 1s}", ""),
        ("timeout: 1s, fault: {delay: {fixedDelay: 2s, percentage: {value: 1}}}", "PYP0101"),
        ("fault: {delay: {fixedDelay: 2s, percentage: {value: 1}}}", ""),
        ("retries: {attempts: 0}, fault: {abort: {httpStatus: 500, percentage: {value: 1}}}", ""),
        ("fault: {abort: {httpStatus: 500}}", "PYP0111"),
        ("fault: {delay: {fixedDelay: 2s, percent: 5}}", ""),
    ],
)
def test_parts_of_a_route_that_work_against_each_other(find: Find, body: str, code: str) -> None:
    assert [found.code for found in find(ROUTE.replace("BODY", body))] == ([code] if code else [])


def test_weights_tell_the_shares_that_they_make(find: Find) -> None:
    two = "[{destination: {host: reviews}, weight: 1}, {destination: {host: reviews}, weight: 2}]"
    [found] = find(ROUTE.replace("{BODY, route: [{destination: {host: reviews}}]}", f"{{route: {two}}}"))
    assert (found.code, found.dotted_path) == ("PYP0104", "spec.http[0].route")
    assert found.message.endswith("the shares are 33.3 %, 66.7 %")


RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: reviews, trafficPolicy: {outlierDetection: {maxEjectionPercent: PERCENT}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: more}
spec:
  hosts: [reviews.default.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 9080, name: http, protocol: HTTP}]
  endpoints: ENDPOINTS
"""


@pytest.mark.parametrize(
    ("percent", "more", "code"),
    [(100, 0, "PYP0105"), (50, 0, "PYP0105"), (33, 2, "PYP0106"), (34, 2, ""), (10, 9, "")],
)
def test_outlier_detection_needs_endpoints_to_choose_from(
    told: Callable[[str], list[str]], percent: int, more: int, code: str
) -> None:
    endpoints = "[" + ", ".join(f"{{address: 10.0.1.{number}}}" for number in range(more)) + "]"
    text = RULE.replace("PERCENT", str(percent)).replace("ENDPOINTS", endpoints)
    if not more:
        text = text.partition("---")[0]
    assert told(text) == ([f"{code} spec.trafficPolicy.outlierDetection"] if code else [])
