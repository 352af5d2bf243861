from __future__ import annotations

from dataclasses import replace

import pytest

from pyproxy.core.text_match import TextMatch
from pyproxy.envoy.filters import DNS_CACHE, filter_settings, http_filters
from pyproxy.policy.cors import Cors
from pyproxy.policy.fault import FaultPolicy
from pyproxy.snapshot.model import Destination, Forward, Route

ROUTE = Route("r", None, Forward((Destination("a"),)))


def names(*, by_name: bool) -> list[str]:
    return [str(each["name"]).rpartition(".")[2] for each in http_filters(by_name=by_name, grpc_web=False)]


def test_faults_come_before_cors_and_the_router_is_last() -> None:
    assert names(by_name=False) == ["grpc_stats", "fault", "cors", "router"]
    assert names(by_name=True) == ["grpc_stats", "fault", "cors", "dynamic_forward_proxy", "router"]
    assert http_filters(by_name=False, grpc_web=True)[0]["name"] == "envoy.filters.http.grpc_web"
    assert http_filters(by_name=True, grpc_web=False)[3]["typed_config"]["dns_cache_config"] == DNS_CACHE  # type: ignore[index]


@pytest.mark.parametrize(
    ("policy", "delay", "abort"),
    [
        (FaultPolicy(delay=7, delay_per_million=100), {"fixed_delay": "7s"}, None),
        (FaultPolicy(abort_status=503, abort_per_million=100), None, {"http_status": 503}),
        (FaultPolicy(abort_status=600, abort_per_million=100), None, {"http_status": 599}),
        (FaultPolicy(abort_grpc_status=14, abort_per_million=100), None, {"grpc_status": 14}),
        (FaultPolicy(abort_grpc_status=0, abort_per_million=100), None, {"grpc_status": 0}),
    ],
)
def test_faults(policy: FaultPolicy, delay: dict[str, object] | None, abort: dict[str, object] | None) -> None:
    share = {"percentage": {"numerator": 100, "denominator": "MILLION"}}
    found = filter_settings(replace(ROUTE, fault=policy))["typed_per_filter_config"]
    expected = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}
    expected |= {} if delay is None else {"delay": delay | share}
    expected |= {} if abort is None else {"abort": abort | share}
    assert found == {"envoy.filters.http.fault": expected}


def test_cors() -> None:
    policy = Cors(
        (),
        allow_methods=b"GET,PUT",
        max_age=b"60",
        allow_credentials=True,
        forward_unmatched_preflights=False,
        origins=(TextMatch("exact", "http://a"), TextMatch("regex", ".*")),
    )
    assert filter_settings(replace(ROUTE, cors=policy))["typed_per_filter_config"] == {
        "envoy.filters.http.cors": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
            "allow_origin_string_match": [{"exact": "http://a"}, {"safe_regex": {"regex": ".*"}}],
            "allow_methods": "GET,PUT",
            "max_age": "60",
            "allow_credentials": True,
            "forward_not_matching_preflights": False,
        }
    }


def test_a_route_without_either_says_nothing() -> None:
    assert filter_settings(ROUTE) == {}
