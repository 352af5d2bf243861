"""The parts of an HTTP route's action, each by itself: rewrite, redirect, direct response, CORS, faults, mirror share.

Source: Istio pilot/pkg/networking/core/route/route.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pyproxy.core.regex import compile_regex
from pyproxy.istio.fields import Percent
from pyproxy.istio.networking.virtual_service import (
    CorsPolicy,
    HTTPDirectResponse,
    HTTPFaultInjection,
    HTTPMatchRequest,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
    StringMatch,
)
from pyproxy.policy.fault import FaultPolicy
from pyproxy.snapshot.conditions import text_match
from pyproxy.snapshot.matching import compile_string
from pyproxy.snapshot.model import Cors, DirectResponse, PathRewrite, Redirect

MILLION = 1_000_000
REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_GRPC = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
UNAUTHENTICATED"""
GRPC_STATUS = {name: number for number, name in enumerate(_GRPC.split())}


def per_million(share: Percent | None) -> int | None:
    """Parts of a million, cut and not rounded, as Istio counts them."""
    return None if share is None else int((share.value or 0.0) * 10_000)


def mirror_share(route: HTTPRoute) -> int:
    """Of the single `mirror`: its percentage, the deprecated percent, or all."""
    share = per_million(route.mirror_percentage)
    if share is not None:
        return share
    return MILLION if route.mirror_percent is None else route.mirror_percent * 10_000


# Paths


def matched_prefix(match: HTTPMatchRequest | None) -> bytes | None:
    """The part of the path that a prefix rewrite replaces; None when the whole path matched."""
    uri = match.uri if match is not None else None
    if uri is None or (uri.exact is None and uri.regex is None and uri.prefix is None):
        return b"/"
    return None if uri.prefix is None else uri.prefix.encode()


def compile_rewrite(rewrite: HTTPRewrite | None, prefix: bytes | None) -> Callable[[bytes], bytes] | None:
    """Path without query → path sent on. `prefix` is what matched, None for the whole path.

    Text for text: no slash is added or taken. None also for a substitution that RE2 would refuse.
    """
    if rewrite is None:
        return None
    if rewrite.uri_regex_rewrite is not None:
        return compile_substitution(rewrite.uri_regex_rewrite.match or "", rewrite.uri_regex_rewrite.rewrite or "")
    if not rewrite.uri:
        return None
    uri = rewrite.uri.encode()
    if prefix is None:
        return lambda path: uri
    size = len(prefix)
    return lambda path: uri + path[size:]


def describe_rewrite(rewrite: HTTPRewrite | None) -> PathRewrite | None:
    """The same in the operator's words."""
    if rewrite is None:
        return None
    regex = rewrite.uri_regex_rewrite
    if regex is None:
        return PathRewrite(rewrite.uri) if rewrite.uri else None
    text, pattern = regex.rewrite or "", regex.match or ""
    return PathRewrite(text, pattern) if compile_substitution(pattern, text) is not None else None


_ESCAPE = re.compile(rb"\\(.?)", re.DOTALL)


def compile_substitution(pattern: str, rewrite: str) -> Callable[[bytes], bytes] | None:
    """RE2's GlobalReplace: `\\1` to `\\9` are groups, `\\0` the whole match, `\\\\` a backslash, and nothing else.

    Source: RE2 re2.cc (GlobalReplace, CheckRewriteString). None for a rewrite that RE2 would refuse.
    """
    compiled = compile_regex(pattern, captures=True)
    parts: list[bytes | int] = []
    position, text = 0, rewrite.encode()
    for escape in _ESCAPE.finditer(text):
        parts.append(text[position : escape.start()])
        position, what = escape.end(), escape[1]
        if what == b"\\":
            parts.append(what)
        elif what.isdigit() and int(what) <= compiled.groups:
            parts.append(int(what))
        else:
            return None
    parts.append(text[position:])

    def substitute(path: bytes) -> bytes:
        pieces: list[bytes] = []
        end = 0
        touched = -1
        for match in compiled.finditer(path):
            start, stop = match.span()
            if start == stop == touched:
                continue  # RE2 takes no empty match where the last one ended
            pieces.append(path[end:start])
            pieces += [match.group(part) or b"" if isinstance(part, int) else part for part in parts]
            end = touched = stop
        pieces.append(path[end:])
        return b"".join(pieces)

    return substitute


# Answers of our own


def compile_redirect(block: HTTPRedirect, port: int, *, tls: bool) -> Redirect | None:
    """None for a code that Envoy cannot send. `port` is the listener's; 80 for http and 443 for https go unsaid."""
    status = block.redirect_code or 301
    if status not in REDIRECT_CODES:
        return None
    chosen = port if block.derive_port == "FROM_REQUEST_PORT" else block.port
    scheme = block.scheme or ("https" if tls else "http")
    if (chosen, scheme) in ((80, "http"), (443, "https")):
        chosen = None
    return Redirect(
        status=status,
        scheme=_given(block.scheme),
        authority=_given(block.authority),
        port=chosen or None,
        uri=None if block.prefix_rewrite else _given(block.uri),
        prefix_rewrite=_given(block.prefix_rewrite),
    )


def _given(text: str | None) -> bytes | None:
    return text.encode() if text else None


def compile_direct_response(block: HTTPDirectResponse) -> DirectResponse:
    """A fixed answer."""
    body = block.body
    if body is None:
        return DirectResponse(block.status)
    return DirectResponse(block.status, body.bytes or (body.string or "").encode())


# Filters


def compile_fault(block: HTTPFaultInjection | None) -> FaultPolicy | None:
    """A share that is not given is 0: such a fault never fires, and a policy of such faults is None."""
    if block is None:
        return None
    delay, abort = block.delay, block.abort
    found: dict[str, Any] = {}
    if delay is not None and delay.fixed_delay:
        share = per_million(delay.percentage)
        share = (delay.percent or 0) * 10_000 if share is None else share
        if share:
            found |= {"delay": delay.fixed_delay, "delay_per_million": share}
    if abort is not None and (abort.http_status is not None or abort.grpc_status in GRPC_STATUS):
        share = per_million(abort.percentage)
        if share:
            found |= {"abort_status": abort.http_status, "abort_per_million": share}
            found["abort_grpc_status"] = GRPC_STATUS.get(abort.grpc_status or "")
    return FaultPolicy(**found) if found else None


def compile_cors(block: CorsPolicy | None) -> Cors | None:
    """Envoy's cors filter for one route."""
    if block is None:
        return None
    origins = block.allow_origins or tuple(StringMatch(exact=origin) for origin in block.allow_origin)
    return Cors(
        allow_origin=tuple(_origin_test(origin) for origin in origins),
        origins=tuple(text_match(origin) for origin in origins),
        allow_methods=",".join(block.allow_methods).encode(),
        allow_headers=",".join(block.allow_headers).encode(),
        expose_headers=",".join(block.expose_headers).encode(),
        max_age=b"" if block.max_age is None else b"%d" % int(block.max_age),
        allow_credentials=bool(block.allow_credentials),
        forward_unmatched_preflights=block.unmatched_preflights != "IGNORE",
    )


def _origin_test(match: StringMatch) -> Callable[[bytes], bool]:
    """Envoy takes every origin when the match takes a literal `*` (cors_filter.cc, isOriginAllowed)."""
    test = compile_string(match)
    if test(b"*"):
        return lambda origin: True
    return lambda origin: bool(test(origin))
