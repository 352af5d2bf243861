"""Internal requests: whose x-envoy-* headers steer timeouts, retries and tracing.

Nothing is internal unless the mesh names networks that are (Istio's ENABLE_HCM_INTERNAL_NETWORKS and meshNetworks).
Source: Envoy conn_manager_utility.cc.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from pyproxy.core.http import Headers, RequestHead
from pyproxy.policy.retry import STEERING_HEADERS
from pyproxy.policy.timeouts import ALT_RESPONSE, PER_TRY_TIMEOUT, RQ_TIMEOUT
from pyproxy.snapshot.model import HttpSettings

FORCE_TRACE: Final = b"x-envoy-force-trace"
_KEPT: Final = (FORCE_TRACE, b"x-envoy-ip-tags", b"x-envoy-original-url")
"""Taken off what is not internal; of what is, the upstream sees them."""
_STEERING: Final = STEERING_HEADERS | {RQ_TIMEOUT, PER_TRY_TIMEOUT, ALT_RESPONSE}


def is_internal(head: RequestHead, settings: HttpSettings, peer: str) -> bool:
    """Whether the one address in x-forwarded-for is internal; at an edge, `peer` when the header is not there yet."""
    forwarded = head.notable.get(b"x-forwarded-for")
    if settings.use_remote_address:
        address = peer if forwarded is None else ""
    else:
        address = "" if forwarded is None or settings.xff_trusted_hops else forwarded.strip().decode("latin-1")
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in settings.internal_networks)


def mark_internal(head: RequestHead) -> None:
    """Say so to the upstream, and give back what is taken off other requests."""
    head.headers.append((b"x-envoy-internal", b"true"))
    head.headers.extend((name, head.notable[name]) for name in _KEPT if name in head.notable)


def asked_by_client(head: RequestHead) -> Headers:
    """What the client of an internal request asks of timeouts and retries; the codec has taken it off the headers."""
    return [line for line in head.notable.items() if line[0] in _STEERING]


def asked_by_route(head: RequestHead) -> Headers:
    """What header operations of the route ask of retries, for any request; taken off the headers."""
    asked = [line for line in head.headers if line[0] in STEERING_HEADERS]
    if asked:
        head.headers = [line for line in head.headers if line[0] not in STEERING_HEADERS]
    return asked
