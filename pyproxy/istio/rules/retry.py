"""Retry policies, of a route or of the mesh."""

from __future__ import annotations

from http import HTTPStatus

from pyproxy.istio.networking.virtual_service import HTTPRetry
from pyproxy.istio.rules.amounts import not_negative
from pyproxy.istio.rules.place import Place

# Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on, as far as Istio lets them through.
_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
_STATUSES = frozenset(str(status.value) for status in HTTPStatus)


def check_retry(retry: HTTPRetry | None, place: Place) -> None:
    """A policy that retries, or one that is switched off and says nothing else."""
    if retry is None:
        return
    place.at("attempts").error(not_negative(retry.attempts))
    if not retry.attempts:
        for name, value in (
            ("perTryTimeout", retry.per_try_timeout),
            ("retryOn", retry.retry_on or None),
            ("retryRemoteLocalities", retry.retry_remote_localities),
        ):
            if value is not None:
                place.at(name).error("says how to retry, but attempts is 0, which switches retries off")
    for condition in retry.retry_on.split(",") if retry.retry_on else ():
        if condition not in _CONDITIONS and condition not in _STATUSES:
            accepted = ", ".join(_CONDITIONS)
            place.at("retryOn").error(f'"{condition}" is no condition; accepted are HTTP statuses, {accepted}')
