"""The HTTP filters of a listener, and what routes say to them: faults and CORS.

Source: Istio pilot/pkg/networking/core/listener_builder.go (the order), pilot/pkg/networking/core/route/route.go.
"""

from __future__ import annotations

from pyproxy.envoy.matches import string_matcher
from pyproxy.envoy.values import TYPE, Resource, duration, fraction, given, text
from pyproxy.policy.cors import Cors
from pyproxy.policy.fault import FaultPolicy
from pyproxy.snapshot.model import Route

_FAULT, _CORS = "envoy.filters.http.fault", "envoy.filters.http.cors"
_FAULT_TYPE = f"{TYPE}.extensions.filters.http.fault.v3.HTTPFault"
_CORS_TYPE = f"{TYPE}.extensions.filters.http.cors.v3"
DNS_CACHE: Resource = {"name": "dynamic_forward_proxy", "dns_lookup_family": "V4_PREFERRED"}
"""The one cache of names that are looked up for single requests; filter and cluster must name the same."""


def http_filters(*, by_name: bool, grpc_web: bool) -> list[Resource]:
    """Outermost first. `by_name`: hosts that nobody declared are looked up; `grpc_web`: some port says so."""
    filters = [_filter("grpc_web", "grpc_web.v3.GrpcWeb")] if grpc_web else []
    filters += [
        _filter("grpc_stats", "grpc_stats.v3.FilterConfig", emit_filter_state=True, stats_for_all_methods=False),
        _filter("fault", "fault.v3.HTTPFault"),
        _filter("cors", "cors.v3.Cors"),
    ]
    if by_name:
        filters.append(
            _filter("dynamic_forward_proxy", "dynamic_forward_proxy.v3.FilterConfig", dns_cache_config=DNS_CACHE)
        )
    return [*filters, _filter("router", "router.v3.Router")]


def filter_settings(route: Route) -> Resource:
    """`typed_per_filter_config` of one route; empty when it has none."""
    settings: Resource = {}
    if route.fault is not None:
        settings[_FAULT] = _fault(route.fault)
    if route.cors is not None:
        settings[_CORS] = _cors(route.cors)
    return {"typed_per_filter_config": settings} if settings else {}


def _filter(name: str, message: str, **fields: object) -> Resource:
    config = {"@type": f"{TYPE}.extensions.filters.http.{message}", **fields}
    return {"name": f"envoy.filters.http.{name}", "typed_config": config}


def _fault(policy: FaultPolicy) -> Resource:
    resource: Resource = {"@type": _FAULT_TYPE}
    if policy.delay_per_million:
        resource["delay"] = {
            "fixed_delay": duration(policy.delay),
            "percentage": fraction(policy.delay_per_million),
        }
    if policy.abort_per_million:
        status = {"http_status": min(policy.abort_status or 0, 599)}
        if policy.abort_status is None:
            status = {"grpc_status": policy.abort_grpc_status or 0}
        resource["abort"] = {**status, "percentage": fraction(policy.abort_per_million)}
    return resource


def _cors(policy: Cors) -> Resource:
    return {
        "@type": f"{_CORS_TYPE}.CorsPolicy",
        **given(
            ("allow_origin_string_match", [string_matcher(origin) for origin in policy.origins]),
            ("allow_methods", text(policy.allow_methods)),
            ("allow_headers", text(policy.allow_headers)),
            ("expose_headers", text(policy.expose_headers)),
            ("max_age", text(policy.max_age)),
            ("allow_credentials", policy.allow_credentials),
        ),
        "forward_not_matching_preflights": policy.forward_unmatched_preflights,
    }
