"""HTTP routes of a VirtualService: what they may hold together, and each part of them (Istio's virtualservice.go)."""

from __future__ import annotations

from collections.abc import Sequence

from pyproxy.istio.networking.virtual_service import (
    HTTPDirectResponse,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
)
from pyproxy.istio.problems import WITHOUT_EFFECT
from pyproxy.istio.rules.amounts import check_weights, percent_problem, port_problem, status_problem
from pyproxy.istio.rules.destination import check_destination
from pyproxy.istio.rules.faults import check_cors, check_fault
from pyproxy.istio.rules.headers import check_headers, is_authority, matched_header_problem
from pyproxy.istio.rules.patterns import check_string_match, regex_problem
from pyproxy.istio.rules.place import Place
from pyproxy.istio.rules.retry import check_retry
from pyproxy.istio.rules.source import check_source

_LARGE_BODY = 100 * 1024
_LARGEST_BODY = 1024 * 1024
_WORKING_REDIRECTS = (301, 302, 303, 307, 308)


def check_http_route(route: HTTPRoute, place: Place, *, delegate: bool) -> None:
    """One rule; `delegate` when its VirtualService has no hosts."""
    _check_combination(route, place, delegate=delegate)
    for index, match in enumerate(route.match):
        _check_match(match, place.at("match", index))
    check_weights([one.weight for one in route.route], place.at("route"))
    for index, one in enumerate(route.route):
        check_destination(one.destination, place.at("route", index, "destination"))
        check_headers(one.headers, place.at("route", index, "headers"))
    check_headers(route.headers, place.at("headers"))
    check_cors(route.cors_policy, place.at("corsPolicy"))
    check_fault(route.fault, place.at("fault"))
    check_retry(route.retries, place.at("retries"))
    _check_timeouts(route, place)
    _check_mirrors(route, place)
    _check_redirect(route.redirect, route.match, place.at("redirect"))
    _check_direct_response(route.direct_response, place.at("directResponse"))
    _check_rewrite(route.rewrite, place.at("rewrite"))
    _check_authority(route, place)


def _check_combination(route: HTTPRoute, place: Place, *, delegate: bool) -> None:
    """What a rule does is one of route, redirect, directResponse and delegate."""
    if route.delegate is not None:
        if delegate:
            place.at("delegate").error("a VirtualService without hosts is a delegate itself, and cannot delegate again")
        _exclude("delegate", place, route=route.route, redirect=route.redirect)
    elif route.redirect is not None:
        _exclude("redirect", place, route=route.route, fault=route.fault, rewrite=route.rewrite)
        _exclude("redirect", place, directResponse=route.direct_response)
    elif route.direct_response is not None:
        _exclude("directResponse", place, route=route.route, fault=route.fault, rewrite=route.rewrite)
    elif not route.route:
        place.error("says nothing to do: route, redirect, directResponse or delegate is required")


def _exclude(what: str, place: Place, **others: object) -> None:
    for name, value in others.items():
        if value not in (None, ()):
            place.at(name).error(f"{what} excludes it")


def _check_match(match: HTTPMatchRequest, place: Place) -> None:
    check_string_match(match.uri, place.at("uri"), empty_prefix=True)
    check_string_match(match.scheme, place.at("scheme"))
    check_string_match(match.method, place.at("method"))
    check_string_match(match.authority, place.at("authority"))
    for name, condition in match.headers.items():
        at = place.at("headers", name)
        at.error(matched_header_problem(name))
        check_string_match(condition, at)
    for name, condition in match.without_headers.items():
        at = place.at("withoutHeaders", name)
        at.error(matched_header_problem(name))
        if condition.regex != "*":  # Istio reads it as "present"
            check_string_match(condition, at)
    for name, condition in match.query_params.items():
        check_string_match(condition, place.at("queryParams", name))
    check_source(match, place)


def _check_timeouts(route: HTTPRoute, place: Place) -> None:
    """Istio takes any two; Envoy does without the shorter name of the longer time (router.cc, finalTimeout)."""
    per_try = route.retries.per_try_timeout if route.retries is not None else None
    if per_try and route.timeout and per_try >= route.timeout:
        place.at("retries", "perTryTimeout").warning(
            f"has no effect: it is no shorter than the timeout of {route.timeout:g}s", WITHOUT_EFFECT
        )


def _check_mirrors(route: HTTPRoute, place: Place) -> None:
    if route.mirror is not None and route.mirrors:
        place.at("mirrors").error("mirror excludes it")
    check_destination(route.mirror, place.at("mirror"))
    place.at("mirrorPercent").error(percent_problem(route.mirror_percent))
    if route.mirror_percentage is not None:
        place.at("mirrorPercentage", "value").error(percent_problem(route.mirror_percentage.value))
    for index, mirror in enumerate(route.mirrors):
        check_destination(mirror.destination, place.at("mirrors", index, "destination"))
        if mirror.percentage is not None:
            place.at("mirrors", index, "percentage", "value").error(percent_problem(mirror.percentage.value))


def _check_redirect(redirect: HTTPRedirect | None, matches: Sequence[HTTPMatchRequest], place: Place) -> None:
    if redirect is None:
        return
    if redirect.uri and redirect.prefix_rewrite:
        place.error("uri and prefixRewrite exclude each other: set one of them")
    if redirect.prefix_rewrite and any(match.uri is not None and match.uri.prefix is None for match in matches):
        place.at("prefixRewrite").error("replaces a prefix: every uri of the rule's matches must be a prefix")
    has_port = redirect.port is not None or redirect.derive_port is not None
    if not (redirect.uri or redirect.prefix_rewrite or redirect.authority or redirect.scheme or has_port):
        place.error("changes nothing: uri, prefixRewrite, authority, scheme or port is required")
    if redirect.redirect_code and not 300 <= redirect.redirect_code <= 399:
        place.at("redirectCode").error(f"must be a status from 300 to 399, not {redirect.redirect_code}")
    elif redirect.redirect_code and redirect.redirect_code not in _WORKING_REDIRECTS:
        place.at("redirectCode").warning(
            f"{redirect.redirect_code} does not work; accepted are 301, 302, 303, 307, 308"
        )
    if redirect.scheme and redirect.scheme not in ("http", "https"):
        place.at("scheme").error(f'must be http or https, not "{redirect.scheme}"')
    if redirect.port:
        place.at("port").error(port_problem(redirect.port))


def _check_direct_response(response: HTTPDirectResponse | None, place: Place) -> None:
    if response is None:
        return
    place.at("status").error(status_problem(response.status))
    if response.body is None:
        return
    size = len((response.body.string or "").encode()) + len(response.body.bytes or b"")
    if size > _LARGEST_BODY:
        place.at("body").error(f"1 MB at most, not {size} bytes")
    elif size > _LARGE_BODY:
        place.at("body").warning(f"{size} bytes is much for an answer that every proxy keeps in memory")


def _check_rewrite(rewrite: HTTPRewrite | None, place: Place) -> None:
    if rewrite is None:
        return
    regex = rewrite.uri_regex_rewrite
    if rewrite.uri and regex is not None:
        place.error("uri and uriRegexRewrite exclude each other: set one of them")
    if not rewrite.uri and regex is None and not rewrite.authority:
        place.error("changes nothing: uri, uriRegexRewrite or authority is required")
    if regex is not None:
        if not regex.match or not regex.rewrite:
            place.at("uriRegexRewrite").error("match and rewrite are both required")
        if regex.match:
            place.at("uriRegexRewrite", "match").error(regex_problem(regex.match))


def _check_authority(route: HTTPRoute, place: Place) -> None:
    """The host may be written in one place only."""
    request = route.headers.request if route.headers is not None else None
    writers = ["rewrite.authority"] if route.rewrite is not None and route.rewrite.authority else []
    if request is not None:
        writers += [f"headers.request.set.{name}" for name in request.set if is_authority(name)]
        writers += [f"headers.request.add.{name}" for name in request.add if is_authority(name)]
    if len(writers) > 1:
        place.error(f"{' and '.join(writers)} all write the host: keep one of them")
