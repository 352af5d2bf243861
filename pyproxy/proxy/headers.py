"""What the connection manager and the router do to headers. Source: Envoy conn_manager_utility.cc, router.cc."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.policy.cidr import parse_address
from pyproxy.proxy.internal_requests import is_internal, mark_internal
from pyproxy.snapshot.model import HeaderOps, HttpSettings
from pyproxy.telemetry.trace_headers import TRACE_HEADERS

# What happens to a request header that a codec looks out for.
KEEP: Final = 1
"""Noted and forwarded."""
DROP: Final = 2
"""Noted and taken off: hop-by-hop, an Envoy header that an application may not set, or ours to write."""
TRACE: Final = 3
"""As KEEP, and `RequestHead.carries_trace`."""
HOST: Final = 4
"""Becomes the authority."""

REQUEST_FATES: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"connection": DROP,
    b"keep-alive": DROP,
    b"proxy-connection": DROP,
    b"transfer-encoding": DROP,
    b"upgrade": DROP,
    b"http2-settings": DROP,
    b"te": DROP,
    b"x-envoy-internal": DROP,
    b"x-envoy-retry-on": DROP,
    b"x-envoy-retry-grpc-on": DROP,
    b"x-envoy-max-retries": DROP,
    b"x-envoy-retriable-status-codes": DROP,
    b"x-envoy-retriable-header-names": DROP,
    b"x-envoy-hedge-on-per-try-timeout": DROP,
    b"x-envoy-upstream-rq-timeout-ms": DROP,
    b"x-envoy-upstream-rq-per-try-timeout-ms": DROP,
    b"x-envoy-upstream-rq-timeout-alt-response": DROP,
    b"x-envoy-expected-rq-timeout-ms": DROP,
    b"x-envoy-upstream-alt-stat-name": DROP,
    b"x-envoy-upstream-stream-duration-ms": DROP,
    b"x-envoy-force-trace": DROP,
    b"x-envoy-ip-tags": DROP,
    b"x-envoy-original-url": DROP,
    b"x-envoy-attempt-count": DROP,
    b"x-envoy-peer-metadata": DROP,
    b"x-envoy-peer-metadata-id": DROP,
    b"x-forwarded-client-cert": DROP,
    b"content-length": KEEP,
    b"content-type": KEEP,
    b"expect": KEEP,
    b"origin": KEEP,
    b"referer": KEEP,
    b"x-forwarded-for": KEEP,
    b"x-forwarded-proto": KEEP,
    b"x-envoy-external-address": KEEP,
    b"x-envoy-original-host": KEEP,
    b"x-envoy-original-path": KEEP,
    b"x-envoy-decorator-operation": DROP,
    **dict.fromkeys(TRACE_HEADERS, TRACE),
}

# An edge proxy takes these off too (envoy-behaviour: external request with use_remote_address).
_EDGE_DROPS: Final = frozenset(
    {
        b"x-request-id",  # an edge proxy trusts no id from outside: it makes a new one
        b"x-envoy-decorator-operation",
        b"x-envoy-downstream-service-cluster",
        b"x-envoy-downstream-service-node",
        b"x-envoy-original-path",
        b"x-envoy-original-host",
        b"x-envoy-external-address",
    }
)
_NO_DROPS: Final = frozenset[bytes]()
_NO_REFERER: Final = re.compile(rb"\s|\A[A-Za-z][A-Za-z0-9+.\-]*:(?!//[^/?#])|\A:")


def without(headers: Headers, *names: bytes) -> Headers:
    """The headers but for some names."""
    return [line for line in headers if line[0] not in names]


def mutate_request(head: RequestHead, settings: HttpSettings, peer: str, tls: bool) -> bool:
    """x-forwarded-*, x-envoy-* and referer, before routing. `peer` is the TCP peer's IP.

    Gives whether the request is internal.
    """
    notable = head.notable
    internal = bool(settings.internal_networks) and is_internal(head, settings, peer)
    if settings.use_remote_address:
        _mutate_at_edge(head, settings, peer, tls, internal=internal)
    elif b"x-forwarded-proto" not in notable:
        head.headers.append((b"x-forwarded-proto", b"https" if tls else b"http"))
        if tls:
            head.scheme = b"https"
    elif notable[b"x-forwarded-proto"] in (b"http", b"https"):
        head.scheme = notable[b"x-forwarded-proto"]
    te = notable.get(b"te")
    if te is not None and b"trailers" in [token.strip() for token in te.lower().split(b",")]:
        head.headers.append((b"te", b"trailers"))
    referer = notable.get(b"referer")
    if referer is not None and _NO_REFERER.search(referer):
        head.headers = without(head.headers, b"referer")
    if internal:
        mark_internal(head)
    return internal


def _mutate_at_edge(head: RequestHead, settings: HttpSettings, peer: str, tls: bool, *, internal: bool) -> None:
    """use_remote_address: the peer is the client; what it says of itself counts only behind trusted hops."""
    forwarded = b",".join(head.get_all(b"x-forwarded-for"))
    drops = _NO_DROPS if internal else _EDGE_DROPS
    headers = [line for line in head.headers if line[0] not in drops and line[0] != b"x-forwarded-for"]
    address = peer.encode()
    headers.append((b"x-forwarded-for", forwarded + b"," + address if forwarded else address))
    if settings.xff_trusted_hops == 0 or b"x-forwarded-proto" not in head.notable:
        headers = without(headers, b"x-forwarded-proto")
        headers.append((b"x-forwarded-proto", b"https" if tls else b"http"))
    head.scheme = b"https" if tls else b"http"
    if not internal:
        head.notable.pop(b"x-request-id", None)
        headers.append((b"x-envoy-external-address", trusted_client(forwarded, peer, settings).encode()))
    head.headers = headers


def trusted_client(forwarded: bytes, peer: str, settings: HttpSettings) -> str:
    """The client's IP as far as it can be trusted. `forwarded` is x-forwarded-for as it arrived."""
    hops = settings.xff_trusted_hops
    index = hops if settings.use_remote_address else hops + 1
    if index == 0:
        return peer
    elements = forwarded.split(b",")
    if len(elements) < index:
        return peer
    found = elements[-index].strip().decode("latin-1")
    return found if parse_address(found) is not None else peer


_MOST_OPERATIONS: Final = 16384
_operation_lines: Final[dict[str, bytes]] = {}


def operation_line(operation: str) -> bytes:
    """The header line that tells the next proxy what to call its span."""
    line = _operation_lines.get(operation)
    if line is None:
        if len(_operation_lines) >= _MOST_OPERATIONS:
            _operation_lines.clear()
        line = _operation_lines[operation] = b"x-envoy-decorator-operation: %b\r\n" % operation.encode()
    return line


_ONE_LINE: Final = frozenset(
    b"accept accept-encoding access-control-allow-credentials access-control-allow-headers access-control- "
    b"allow-methods access-control-allow-origin access-control-expose-headers access-control-max-age access- "
    b"control-request-headers access-control-request-method access-control-request-private-network age "
    b"authorization cache-control cdn-loop content-encoding content-type date etag expect expires grpc-accept- "
    b"encoding grpc-message grpc-status grpc-timeout if-match if-modified-since if-none-match if-range if- "
    b"unmodified-since last-modified location origin pragma proxy-status referer user-agent vary via x-client- "
    b"trace-id x-envoy-attempt-count x-envoy-decorator-operation x-envoy-degraded x-envoy-downstream-service- "
    b"cluster x-envoy-external-address x-envoy-original-host x-envoy-original-path x-envoy-ratelimited "
    b"x-envoy-upstream-canary x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id".split()
)
"""Headers of which Envoy keeps one line: what is added follows a comma. Found by asking Envoy 1.40 (header_map.h)."""


def apply_ops(head: RequestHead | ResponseHead, ops: HeaderOps, ctx: RequestContext) -> None:
    """One level: remove, then set, then add. An empty value is not written; of two to set the later is.

    Values are computed from what `remove` has left. Source: Envoy header_parser.cc, evaluateHeaders.
    """
    if ops.remove:
        gone = ops.remove
        head.headers = [line for line in head.headers if line[0] not in gone]
    values = {name: template(ctx) for name, template in ops.set}
    added = [(name, template(ctx)) for name, template in ops.add]
    if values:
        head.headers = [line for line in head.headers if not values.get(line[0])]
        head.headers.extend(line for line in values.items() if line[1])
    for name, value in added:
        if value:
            _add(head.headers, name, value)
    if b"content-length" in head.notable and not any(name == b"content-length" for name, _ in head.headers):
        del head.notable[b"content-length"]  # it frames the message no more


def keep_original(head: RequestHead, name: bytes, value: bytes) -> None:
    """Tell the upstream what a rewrite replaces, in place of what the client may have told."""
    if name in head.notable:
        head.headers = without(head.headers, name)
    head.headers.append((name, value))


def _add(headers: Headers, name: bytes, value: bytes) -> None:
    if name in _ONE_LINE:
        for index, (known, before) in enumerate(headers):
            if known == name:
                headers[index] = (name, before + b"," + value if before else value)
                return
    headers.append((name, value))


def rewrite_target(target: bytes, rewrite: Callable[[bytes], bytes]) -> bytes:
    """A new path under the old query."""
    path, mark, query = target.partition(b"?")
    return rewrite(path) + mark + query
