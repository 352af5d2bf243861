"""Facts of a request's context as functions, one builder per family of Envoy's command operators.

Source: Envoy source/common/formatter/*.cc and access_log/usage.rst, compared with Envoy 1.40 in tests/differential.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers
from pyproxy.wire.timestamp import compile_timestamp

Value = bytes | int | None
"""None is a fact that is missing; a present but empty header is b""."""
Getter = Callable[[RequestContext], Value]


class FormatError(ValueError):
    """A format string that Envoy would refuse; the text says what is wrong and what is accepted."""


def missing(_ctx: RequestContext) -> Value:
    return None


def constant(value: bytes | None) -> Getter:
    return lambda _ctx: value


def cut(getter: Getter, limit: int) -> Getter:
    def cut(ctx: RequestContext) -> Value:
        value = getter(ctx)
        return value[:limit] if isinstance(value, bytes) else value

    return cut


# Headers


_HEADER_NAME = re.compile(r":?[!#$%&'*+.^_`|~0-9a-z-]*\Z")


def _header_names(argument: str) -> tuple[bytes, bytes]:
    """`X?Y` → both in lower case; Y may be empty."""
    main, _, alternative = argument.lower().partition("?")
    if "?" in alternative:
        raise FormatError(f"more than one alternative header in {argument!r}; the form is X?Y")
    for name in (main, alternative):
        if not _HEADER_NAME.match(name):
            raise FormatError(f"{name!r} is not a header name")
    return main.encode(), alternative.encode()


_REQUEST_FIELDS: Mapping[bytes, Callable[[RequestContext], bytes | None]] = {
    b":method": lambda ctx: ctx.request.method or None,
    b":path": lambda ctx: ctx.request.target if ctx.request.method != b"CONNECT" and ctx.request.target else None,
    b":authority": lambda ctx: _authority(ctx),
    b"host": lambda ctx: _authority(ctx),
    b":scheme": lambda ctx: ctx.request.scheme,
    b"x-request-id": lambda ctx: ctx.request_id or ctx.request.get(b"x-request-id"),
    b"x-envoy-original-path": lambda ctx: ctx.original_target or ctx.request.get(b"x-envoy-original-path"),
    b"x-envoy-original-host": lambda ctx: ctx.original_authority or ctx.request.get(b"x-envoy-original-host"),
}


def _authority(ctx: RequestContext) -> bytes | None:
    """An empty Host is one."""
    return ctx.request.authority if ctx.request.authority or b":host" in ctx.request.notable else None


def request_header(name: bytes) -> Callable[[RequestContext], bytes | None]:
    return _REQUEST_FIELDS.get(name) or (lambda ctx: ctx.request.get(name))


def response_header(name: bytes) -> Callable[[RequestContext], bytes | None]:
    if name == b":status":
        return lambda ctx: b"%d" % ctx.status if ctx.status else None
    return lambda ctx: ctx.response.get(name) if ctx.response is not None else None


def trailer(name: bytes) -> Callable[[RequestContext], bytes | None]:
    def trailer(ctx: RequestContext) -> bytes | None:
        for key, value in ctx.response_trailers or ():
            if key == name:
                return value
        return None

    return trailer


def observed_cluster(ctx: RequestContext) -> bytes | None:
    """UPSTREAM_CLUSTER: a cluster's name in statistics. Istio ends it with `;` (cluster_builder.go, AltStatName)."""
    return ctx.upstream_cluster.encode() + b";" if ctx.upstream_cluster else None


def header_command(lookup: Callable[[bytes], Callable[[RequestContext], bytes | None]]) -> Callable[[str], Getter]:
    """X, or Y where the message has no X."""

    def compiler(argument: str) -> Getter:
        name, fallback = _header_names(argument)
        main = lookup(name)
        if not fallback:
            return main
        alternative = lookup(fallback)

        def either(ctx: RequestContext) -> Value:
            value = main(ctx)
            return value if value is not None else alternative(ctx)

        return either

    return compiler


def header_without_query(argument: str) -> Getter:
    """REQ_WITHOUT_QUERY: the value up to its query string. Istio loads this formatter of Envoy's."""
    header = header_command(request_header)(argument)

    def without_query(ctx: RequestContext) -> Value:
        value = header(ctx)
        return value.partition(b"?")[0] if isinstance(value, bytes) else value

    return without_query


def map_size(headers: Headers) -> int:
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    return size


def request_map_size(ctx: RequestContext) -> int:
    request = ctx.request
    fields = len(b":method:path:authority:scheme") + len(request.method) + len(request.target)
    return fields + len(request.authority) + len(request.scheme) + map_size(request.headers)


def response_map_size(ctx: RequestContext) -> int:
    return 10 + map_size(ctx.response.headers) if ctx.response is not None else 0  # 10: ":status" and its digits


# Path and query


def path(argument: str) -> Getter:
    """PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH): with or without the query; before or after a rewrite."""
    query, _, which = argument.partition(":")
    if query not in ("", "WQ", "NQ"):
        raise FormatError(f"PATH option {query!r}: only WQ and NQ are accepted")
    if which not in ("", "ORIG", "PATH", "ORIG_OR_PATH"):
        raise FormatError(f"PATH option {which!r}: only ORIG, PATH and ORIG_OR_PATH are accepted")
    names = {"ORIG": "x-envoy-original-path", "PATH": ":path"}.get(which, "x-envoy-original-path?:path")
    return header_without_query(names) if query == "NQ" else header_command(request_header)(names)


def query_param(argument: str) -> Getter:
    wanted = argument.encode()

    def query_param(ctx: RequestContext) -> Value:
        for pair in ctx.request.target.partition(b"?")[2].split(b"&"):
            name, _, value = pair.partition(b"=")
            if unquote_to_bytes(name) == wanted:
                return unquote_to_bytes(value)
        return None

    return query_param


def query_params(argument: str) -> Getter:
    if argument not in ("", "ORIG", "DECODED"):
        raise FormatError(f"QUERY_PARAMS option {argument!r}: only ORIG and DECODED are accepted")

    def query_params(ctx: RequestContext) -> Value:
        _, mark, query = ctx.request.target.partition(b"?")
        if argument == "DECODED":
            query = _VISIBLE.sub(lambda found: bytes.fromhex(found[1].decode()), query)
        return query if mark else None

    return query_params


_VISIBLE = re.compile(rb"%(2[13-9a-f]|[3-6][0-9a-f]|7[0-9a-e])", re.IGNORECASE)
"""What Envoy decodes for a log: visible ASCII, without the quote."""


# Time


def started(argument: str, *, local: bool = False) -> Getter:
    render = _timestamp(argument, local=local)
    return lambda ctx: render(ctx.started_at)


def emitted(argument: str, *, local: bool = False) -> Getter:
    """The time of writing: a record is written when its stream ends."""
    render = _timestamp(argument, local=local)
    return lambda ctx: render(ctx.started_at + max(0.0, ctx.response_body_ended - ctx.started))


def _timestamp(text: str, *, local: bool) -> Callable[[float], bytes]:
    try:
        return compile_timestamp(text, local=local)
    except ValueError as error:
        raise FormatError(str(error)) from None


_MOMENTS: Mapping[str, Callable[[RequestContext], float]] = {
    "DS_RX_BEG": lambda ctx: ctx.started,
    "DS_RX_END": lambda ctx: ctx.request_body_ended,
    "US_TX_BEG": lambda ctx: ctx.upstream_request_sent,
    "US_TX_END": lambda ctx: ctx.upstream_request_sent,
    "US_RX_BEG": lambda ctx: ctx.response_first_byte,
    "US_RX_END": lambda ctx: ctx.response_body_ended if ctx.response_first_byte else 0.0,
    "DS_TX_BEG": lambda ctx: ctx.response_first_sent,
    "DS_TX_END": lambda ctx: ctx.response_body_ended,
}
"""Envoy's names of time points, as far as the context has them; 0 is "did not happen"."""
_PER_SECOND = {"ms": 1e3, "us": 1e6, "ns": 1e9}


def _never(_ctx: RequestContext) -> float:
    return 0.0


def span(begin: str, end: str, scale: float = 1e3) -> Getter:
    """Time between two of Envoy's points in units of 1/`scale` seconds; an unknown point never came, as in Envoy."""
    start_of = _MOMENTS.get(begin, _never)
    end_of = _MOMENTS.get(end, _never)
    from_the_start = begin == "DS_RX_BEG"

    def span(ctx: RequestContext) -> Value:
        start, finish = start_of(ctx), end_of(ctx)
        if not finish or finish < start or not (start or from_the_start):
            return None
        return int((finish - start) * scale + 1e-6)  # whole units, but 2.9999999 is a float's 3

    return span


def common_duration(argument: str) -> Getter:
    """COMMON_DURATION(A:B[:ms|us|ns])."""
    begin, _, rest = argument.partition(":")
    end, _, unit = rest.partition(":")
    if not end:
        raise FormatError(f"COMMON_DURATION({argument}): the form is START:END or START:END:ms|us|ns")
    if unit and unit not in _PER_SECOND:
        raise FormatError(f"COMMON_DURATION({argument}): the unit is ms, us or ns")
    return span(begin, end, _PER_SECOND[unit or "ms"])


# Addresses


def text(attribute: str) -> Getter:
    """A str of the context; empty is missing."""

    def text(ctx: RequestContext) -> Value:
        value: str = getattr(ctx, attribute)
        return value.encode() if value else None

    return text


def number(attribute: str) -> Getter:
    def number(ctx: RequestContext) -> Value:
        value: int = getattr(ctx, attribute)
        return value

    return number


def without_port(attribute: str) -> Getter:
    def address(ctx: RequestContext) -> Value:
        value: str = getattr(ctx, attribute)
        if not value:
            return None
        host, colon, _ = value.rpartition(":")
        return (host.strip("[]") if colon else value).encode()

    return address


def port(attribute: str) -> Getter:
    def port(ctx: RequestContext) -> Value:
        digits = getattr(ctx, attribute).rpartition(":")[2]
        return int(digits) if digits.isdecimal() else None

    return port


# Outcome


LONG_FLAGS: Mapping[str, str] = {
    "UH": "NoHealthyUpstream",
    "UF": "UpstreamConnectionFailure",
    "UO": "UpstreamOverflow",
    "NR": "NoRouteFound",
    "NC": "NoClusterFound",
    "URX": "UpstreamRetryLimitExceeded",
    "UT": "UpstreamRequestTimeout",
    "UC": "UpstreamConnectionTermination",
    "UR": "UpstreamRemoteReset",
    "LR": "LocalReset",
    "UPE": "UpstreamProtocolError",
    "UMSDR": "UpstreamMaxStreamDurationReached",
    "DC": "DownstreamConnectionTermination",
    "DR": "DownstreamRemoteReset",
    "DPE": "DownstreamProtocolError",
    "DT": "DurationTimeout",
    "SI": "StreamIdleTimeout",
    "DI": "DelayInjected",
    "FI": "FaultInjected",
    "RL": "RateLimited",
    "UAEX": "UnauthorizedExternalService",
    "RLSE": "RateLimitServiceError",
    "IH": "InvalidEnvoyRequestHeaders",
    "LH": "FailedLocalHealthCheck",
    "OM": "OverloadManagerTerminated",
    "DF": "DnsResolutionFailed",
    "DO": "DropOverload",
    "UDO": "UnconditionalDropOverload",
    "RFCF": "ResponseFromCacheFilter",
    "NFCF": "NoFilterConfigFound",
}
"""Short response flag → long name. Source: Envoy stream_info/utility.h."""


def flags(ctx: RequestContext) -> Value:
    return ",".join(ctx.flags).encode() or b"-"


def long_flags(ctx: RequestContext) -> Value:
    return ",".join([LONG_FLAGS.get(flag, flag) for flag in ctx.flags]).encode() or b"-"


def details(argument: str) -> Getter:
    if argument == "ALLOW_WHITESPACES":
        return text("details")
    return lambda ctx: "_".join(ctx.details.split(" ")).encode() or None


_GRPC_NAMES = """OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied
    ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss
    Unauthenticated"""
_GRPC_CONSTANTS = """OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
    RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS
    UNAUTHENTICATED"""


def grpc_number(ctx: RequestContext) -> int | None:
    status = ctx.grpc_status
    if status is None:
        return None
    return int(status) if status.isdecimal() else -1


def grpc_status(argument: str) -> Getter:
    if argument == "NUMBER":
        return grpc_number
    if argument not in ("", "CAMEL_STRING", "SNAKE_STRING"):
        raise FormatError(f"GRPC_STATUS option {argument!r}: only CAMEL_STRING, SNAKE_STRING and NUMBER are accepted")
    names = (_GRPC_CONSTANTS if argument == "SNAKE_STRING" else _GRPC_NAMES).encode().split()

    def grpc_status(ctx: RequestContext) -> Value:
        number = grpc_number(ctx)
        if number is None:
            return None
        return names[number] if 0 <= number < len(names) else b"%d" % number

    return grpc_status


# The process


def environment(argument: str) -> Getter:
    """Read once, when compiled; Envoy prints an unset variable as `-`, in header values too."""
    return constant(os.environb.get(argument.encode(), b"-"))
