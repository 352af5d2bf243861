"""Fault injection and CORS policies of HTTP routes."""

from __future__ import annotations

from pyproxy.istio.networking.virtual_service import Abort, CorsPolicy, Delay, HTTPFaultInjection, StringMatch
from pyproxy.istio.rules.amounts import check_fault_percentage, status_problem
from pyproxy.istio.rules.headers import header_name_problem
from pyproxy.istio.rules.patterns import check_string_match
from pyproxy.istio.rules.place import Place

GRPC_STATUSES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")


def check_fault(fault: HTTPFaultInjection | None, place: Place) -> None:
    """A delay, an abort, or both."""
    if fault is None:
        return
    if fault.delay is None and fault.abort is None:
        place.error("injects nothing: delay or abort is required")
    if fault.delay is not None:
        _check_delay(fault.delay, place.at("delay"))
    if fault.abort is not None:
        _check_abort(fault.abort, place.at("abort"))


def _check_delay(delay: Delay, place: Place) -> None:
    check_fault_percentage(delay.percentage, place.at("percentage"))
    if delay.exponential_delay is not None:
        place.at("exponentialDelay").error("is not supported by Istio: use fixedDelay")


def _check_abort(abort: Abort, place: Place) -> None:
    check_fault_percentage(abort.percentage, place.at("percentage"))
    if abort.http_status is not None:
        place.at("httpStatus").error(status_problem(abort.http_status))
    elif abort.grpc_status is not None:
        if abort.grpc_status not in GRPC_STATUSES:
            accepted = ", ".join(GRPC_STATUSES)
            place.at("grpcStatus").error(f'"{abort.grpc_status}" is no gRPC status; accepted are {accepted}')
    elif abort.http2_error is not None:
        place.at("http2Error").error("is not supported by Istio: use httpStatus or grpcStatus")
    else:
        place.warning("aborts nothing without httpStatus or grpcStatus")


def check_cors(policy: CorsPolicy | None, place: Place) -> None:
    """Origins that say something, known methods, header names, and a whole number of seconds."""
    if policy is None:
        return
    for index, origin in enumerate(policy.allow_origins):
        _check_origin(origin, place.at("allowOrigins", index))
    for index, method in enumerate(policy.allow_methods):
        if method not in _CORS_METHODS:
            accepted = ", ".join(_CORS_METHODS)
            place.at("allowMethods", index).error(f'"{method}" is no method here; accepted are {accepted}')
    for field, names in (("allowHeaders", policy.allow_headers), ("exposeHeaders", policy.expose_headers)):
        for index, name in enumerate(names):
            if name != "*":
                place.at(field, index).error(header_name_problem(name))
    if policy.max_age is not None and policy.max_age != int(policy.max_age):
        place.at("maxAge").error("must be a whole number of seconds")


def _check_origin(origin: StringMatch, place: Place) -> None:
    if not (origin.exact or origin.prefix or origin.regex):
        place.error("an origin needs a text to match: exact, prefix or regex")
    else:
        check_string_match(origin, place)
