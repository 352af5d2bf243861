"""VirtualService and every message inside it, as Istio's networking/v1alpha3/virtual_service.proto has them."""

from __future__ import annotations

from typing import Literal

from pyproxy.istio.fields import (
    Base64,
    Duration,
    Flag,
    Int32,
    Many,
    Map,
    Message,
    OneOfMessage,
    Percent,
    PortSelector,
    UInt32,
    also_named,
)


class VirtualService(Message):
    """How requests for some hosts are routed (Istio's networking/v1alpha3/virtual_service.proto)."""

    hosts: Many[str] = ()
    gateways: Many[str] = ()
    http: Many[HTTPRoute] = ()
    tls: Many[TLSRoute] = ()
    tcp: Many[TCPRoute] = ()
    export_to: Many[str] = ()


class Destination(Message):
    """A service, perhaps one subset and one port of it, where traffic goes."""

    host: str
    subset: str | None = None
    port: PortSelector | None = None


class HTTPRoute(Message):
    """One rule: which requests, and what happens to them."""

    name: str | None = None
    match: Many[HTTPMatchRequest] = ()
    route: Many[HTTPRouteDestination] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: Many[HTTPMirrorPolicy] = ()
    mirror_percent: UInt32 | None = also_named("mirrorPercent", "mirror_percent")
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


class Delegate(Message):
    """Another VirtualService whose routes stand in for this one's."""

    name: str | None = None
    namespace: str | None = None


class HeaderOperations(Message):
    """Header lines to take away, to overwrite and to add."""

    set: Map[str] = {}
    add: Map[str] = {}
    remove: Many[str] = ()


class Headers(Message):
    """Header operations on the way there and on the way back."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class TLSRoute(Message):
    """Where TLS that is not ended here goes, by server name."""

    match: Many[TLSMatchAttributes]
    route: Many[RouteDestination] = ()


class TCPRoute(Message):
    """Where plain TCP goes."""

    match: Many[L4MatchAttributes] = ()
    route: Many[RouteDestination] = ()


class HTTPMatchRequest(Message):
    """Conditions that must all hold for a request."""

    name: str | None = None
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Map[StringMatch] = {}
    port: UInt32 | None = None
    source_labels: Map[str] = {}
    gateways: Many[str] = ()
    query_params: Map[StringMatch] = {}
    ignore_uri_case: Flag | None = None
    without_headers: Map[StringMatch] = {}
    source_namespace: str | None = None
    stat_prefix: str | None = None


class HTTPRouteDestination(Message):
    """One of a rule's weighted destinations."""

    destination: Destination
    weight: Int32 | None = None
    headers: Headers | None = None


class RouteDestination(Message):
    """One of a TCP or TLS rule's weighted destinations."""

    destination: Destination
    weight: Int32 | None = None


class L4MatchAttributes(Message):
    """Conditions that must all hold for a TCP connection."""

    destination_subnets: Many[str] = ()
    port: UInt32 | None = None
    source_subnet: str | None = None
    source_labels: Map[str] = {}
    gateways: Many[str] = ()
    source_namespace: str | None = None


class TLSMatchAttributes(Message):
    """Conditions that must all hold for a TLS connection."""

    sni_hosts: Many[str]
    destination_subnets: Many[str] = ()
    port: UInt32 | None = None
    source_labels: Map[str] = {}
    gateways: Many[str] = ()
    source_namespace: str | None = None


RedirectPortSelection = Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]


class HTTPRedirect(OneOfMessage):
    """Answer with a redirect; `redirect_code` unset is 301."""

    ONE_OF = (("port", "derive_port"),)

    uri: str | None = None
    authority: str | None = None
    port: UInt32 | None = None
    derive_port: RedirectPortSelection | None = None
    scheme: str | None = None
    redirect_code: UInt32 | None = None
    prefix_rewrite: str | None = None


class HTTPDirectResponse(Message):
    """Answer at once with a fixed status and body."""

    status: UInt32
    body: HTTPBody | None = None


class HTTPBody(OneOfMessage):
    """A body as text or as bytes."""

    ONE_OF = (("string", "bytes"),)

    string: str | None = None
    bytes: Base64 | None = None


class HTTPRewrite(Message):
    """What the destination sees instead of the path or the authority."""

    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None


class RegexRewrite(Message):
    """An RE2 substitution over the path."""

    match: str | None = None
    rewrite: str | None = None


class StringMatch(OneOfMessage):
    """One way to match a string; none set means "present" where that makes sense."""

    ONE_OF = (("exact", "prefix", "regex"),)

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


class HTTPRetry(Message):
    """When and how often a failed attempt is repeated; `attempts` counts the retries."""

    attempts: Int32 | None = None
    per_try_timeout: Duration | None = None
    retry_on: str | None = None
    retry_remote_localities: Flag | None = None
    retry_ignore_previous_hosts: Flag | None = None
    backoff: Duration | None = None


UnmatchedPreflights = Literal["UNSPECIFIED", "FORWARD", "IGNORE"]


class CorsPolicy(Message):
    """What cross-origin requests may do."""

    allow_origin: Many[str] = ()
    allow_origins: Many[StringMatch] = ()
    allow_methods: Many[str] = ()
    allow_headers: Many[str] = ()
    expose_headers: Many[str] = ()
    max_age: Duration | None = None
    allow_credentials: Flag | None = None
    unmatched_preflights: UnmatchedPreflights | None = None


class Delay(OneOfMessage):
    """A delay before the request is sent on."""

    ONE_OF = (("fixed_delay", "exponential_delay"),)

    percent: Int32 | None = None
    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None


class Abort(OneOfMessage):
    """An error instead of sending the request on."""

    ONE_OF = (("http_status", "grpc_status", "http2_error"),)

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


class HTTPFaultInjection(Message):
    """Faults put into a share of the requests."""

    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirrorPolicy(Message):
    """A destination that gets a copy of a share of the requests."""

    destination: Destination
    percentage: Percent | None = None
