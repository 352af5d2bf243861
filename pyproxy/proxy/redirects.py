"""Where a redirect points. Source: Envoy config_impl.cc (newUri, processRequestHost)."""

from __future__ import annotations

from pyproxy.core.http import RequestHead
from pyproxy.snapshot.model import Redirect

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
NOWHERE_ELSE = Redirect()
"""The request's own URL: what a direct response with status 201 or 3xx points to."""


def location_of(redirect: Redirect, head: RequestHead, listener_port: int) -> bytes:
    """The Location header's value: an absolute URL. `head.target` is the path as a prefix rewrite left it."""
    scheme = redirect.scheme or head.scheme
    port = listener_port if redirect.port_from_listener else redirect.port or 0
    host = redirect.authority
    if host is None:
        host = _own_host(head, scheme, replaced=port != 0)
    if port:
        host = b"%b:%d" % (host, port)
    return b"%b://%b%b" % (scheme, host, _target(redirect, head))


def _own_host(head: RequestHead, scheme: bytes, *, replaced: bool) -> bytes:
    """The request's host: without its port when another takes its place, or when it was the old scheme's own."""
    authority = head.authority
    host, colon, digits = authority.rpartition(b":")
    if not colon or (authority.startswith(b"[") and not host.endswith(b"]")):
        return authority
    spoken = head.get(b"x-forwarded-proto") or head.scheme
    if replaced or (scheme != spoken and colon + digits == _DEFAULT_PORTS.get(spoken)):
        return host
    return authority


def _target(redirect: Redirect, head: RequestHead) -> bytes:
    uri = redirect.uri
    if uri is None:
        return head.target
    if not uri.startswith(b"/"):
        uri = b"/" + uri
    if b"?" in uri:
        return uri
    _, mark, query = head.target.partition(b"?")
    return uri + mark + query
