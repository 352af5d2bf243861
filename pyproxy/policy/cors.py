"""Envoy's cors filter: answers preflights, and tells browsers who may read the other responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyproxy.core.http import Headers, RequestHead
from pyproxy.core.text_match import TextMatch


@dataclass(frozen=True, slots=True)
class Cors:
    """As configured, per route. Empty bytes: that header is not sent. Source: Envoy cors_filter.cc."""

    allow_origin: tuple[Callable[[bytes], bool], ...]
    allow_methods: bytes = b""
    """`*` gives back what the preflight asks for; so it is with `allow_headers`."""
    allow_headers: bytes = b""
    expose_headers: bytes = b""
    max_age: bytes = b""
    allow_credentials: bool = False
    forward_unmatched_preflights: bool = True
    origins: tuple[TextMatch, ...] = ()
    """What `allow_origin` was compiled from."""


def allowed_origin(cors: Cors, head: RequestHead) -> bytes:
    """The request's origin if it may read the response; empty when it may not, or when there is none."""
    origin = head.get(b"origin")
    if not origin:
        return b""
    for allows in cors.allow_origin:
        if allows(b"*") or allows(origin):
            return origin
    return b""


def preflight_headers(cors: Cors, head: RequestHead) -> Headers | None:
    """The headers of the 200 without a body that answers a preflight; None when the request goes on to the upstream."""
    asked_method = head.get(b"access-control-request-method")
    if head.method != b"OPTIONS" or not asked_method or not head.get(b"origin"):
        return None
    origin = allowed_origin(cors, head)
    if not origin and cors.forward_unmatched_preflights:
        return None
    headers = response_headers(cors, origin)
    if not origin and cors.allow_credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    if cors.allow_methods:
        methods = asked_method if cors.allow_methods == b"*" else cors.allow_methods
        headers.append((b"access-control-allow-methods", methods))
    if cors.allow_headers:
        asked_headers = head.get(b"access-control-request-headers") or b""
        headers.append(
            (b"access-control-allow-headers", asked_headers if cors.allow_headers == b"*" else cors.allow_headers)
        )
    if cors.max_age:
        headers.append((b"access-control-max-age", cors.max_age))
    return headers


def response_headers(cors: Cors, origin: bytes) -> Headers:
    """What a response to an allowed origin carries in place of the upstream's own; empty when it is not allowed."""
    if not origin:
        return []
    headers = [(b"access-control-allow-origin", origin)]
    if cors.allow_credentials:
        headers.append((b"access-control-allow-credentials", b"true"))
    if cors.expose_headers:
        headers.append((b"access-control-expose-headers", cors.expose_headers))
    return headers


def apply_cors(cors: Cors, origin: bytes, headers: Headers) -> Headers:
    """The response's headers with ours in place of the upstream's; as they are for an origin that is not allowed."""
    ours = response_headers(cors, origin)
    replaced = {name for name, _ in ours}
    return [header for header in headers if header[0] not in replaced] + ours if ours else headers
