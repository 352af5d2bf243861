"""Where a redirect points. Source: Envoy config_impl.cc (newUri)."""

from __future__ import annotations

from pyproxy.core.http import RequestHead
from pyproxy.snapshot.model import Redirect, Route

_DEFAULT_PORTS = {b"http": 80, b"https": 443}


def location_of(redirect: Redirect, route: Route, head: RequestHead, listener_port: int) -> bytes:
    """The Location header's value: an absolute URL."""
    scheme = redirect.scheme or head.scheme
    return b"%b://%b%b" % (scheme, _authority(redirect, head, scheme, listener_port), _target(redirect, route, head))


def _authority(redirect: Redirect, head: RequestHead, scheme: bytes, listener_port: int) -> bytes:
    host, port = _split_port(redirect.authority if redirect.authority is not None else head.authority)
    if redirect.port is not None:
        port = redirect.port
    elif redirect.port_from_listener:
        port = listener_port
    elif redirect.authority is None and redirect.scheme is not None and port in _DEFAULT_PORTS.values():
        port = None  # another scheme: its old default port would be wrong
    return host if port is None or port == _DEFAULT_PORTS.get(scheme) else b"%b:%d" % (host, port)


def _target(redirect: Redirect, route: Route, head: RequestHead) -> bytes:
    path, mark, query = head.target.partition(b"?")
    if redirect.uri is not None:
        return redirect.uri if b"?" in redirect.uri else redirect.uri + mark + query
    if redirect.prefix_rewrite is not None and route.matched_prefix is not None:
        return redirect.prefix_rewrite + path[len(route.matched_prefix) :] + mark + query
    return head.target


def _split_port(authority: bytes) -> tuple[bytes, int | None]:
    host, colon, port = authority.rpartition(b":")
    return (host, int(port)) if colon and port.isdigit() and not host.endswith(b":") else (authority, None)
