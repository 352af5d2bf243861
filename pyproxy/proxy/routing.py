"""Phases route and admit: what the connection manager and its filters decide before the router. No I/O, no waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pyproxy.core.http import RequestHead
from pyproxy.policy.cors import allowed_origin, preflight_headers
from pyproxy.policy.fault import FaultPolicy, roll_abort
from pyproxy.policy.weights import choose_weighted
from pyproxy.proxy import replies
from pyproxy.proxy.client_cert import CLIENT_CERT, forward_client_cert
from pyproxy.proxy.environment import ClientConnection, split_authority
from pyproxy.proxy.headers import apply_ops, keep_original, mutate_request, rewrite_target, trusted_client
from pyproxy.proxy.internal_requests import FORCE_TRACE
from pyproxy.proxy.redirects import NOWHERE_ELSE, location_of
from pyproxy.snapshot.model import (
    Destination,
    Direction,
    DirectResponse,
    Forward,
    PathNormalization,
    Redirect,
    Route,
)
from pyproxy.telemetry.request_id import ensure_request_id
from pyproxy.wire.paths import PLAIN, normalize

if TYPE_CHECKING:
    from pyproxy.proxy.exchange import Exchange

BASE: Final = PathNormalization.BASE
_NONE: Final = PathNormalization.NONE
_INBOUND: Final = Direction.INBOUND  # an enum's member costs a call at every use
_SPECIAL_METHODS: Final = frozenset({b"CONNECT", b"QUERY"})


def find_route(exchange: Exchange) -> Route | replies.Reply | None:
    """Clean the head up as Envoy's connection manager does, and look the route up: None when there is none."""
    head = exchange.head
    connection = exchange.connection
    refusal = _check(head, connection)
    if refusal is not None:
        return refusal
    _learn_client(exchange, head, connection)
    if mutate_request(head, connection.settings, connection.remote_ip, connection.tls is not None):
        exchange.internal = True
    if connection.tls is not None or CLIENT_CERT in head.notable:
        forward_client_cert(head, connection)
    snapshot = exchange.serving.snapshot
    telemetry = snapshot.telemetry
    side = telemetry.server if connection.settings.direction is _INBOUND else telemetry.client
    exchange.tracing = side.tracing
    ctx = exchange.ctx
    ctx.request_id, exchange.traced = ensure_request_id(
        head.headers,
        head.notable,
        side.tracing,
        exchange.env.rng,
        generate=connection.settings.generate_request_id,
        forced=exchange.internal and FORCE_TRACE in head.notable,
    )
    split = split_authority(head.authority)
    if split is None:
        ctx.request = RequestHead(b"", b"", b"", [])  # what cannot be trusted is not logged
        return replies.codec_error(400, "http.invalid_authority")
    virtual_host = connection.virtual_host(snapshot, split[0], split[1])
    if virtual_host is None:
        return None
    exchange.workload_port = virtual_host.workload_port
    exchange.speaks_grpc_web = virtual_host.grpc_web
    route = virtual_host.route_for(head)
    if route is not None:
        ctx.virtual_host = virtual_host.name
        ctx.route_name = route.name
    return route


def route_again(exchange: Exchange) -> None:
    """A token was verified: what routes ask of it, and of the head as it is now, may lead elsewhere."""
    split = split_authority(exchange.head.authority)
    snapshot, ctx = exchange.serving.snapshot, exchange.ctx
    virtual_host = exchange.connection.virtual_host(snapshot, split[0], split[1]) if split is not None else None
    route = virtual_host.route_for(exchange.head) if virtual_host is not None else None
    if route is exchange.route:
        return
    ctx.route_name = route.name if route is not None else ""
    exchange.take_route(route)


def _check(head: RequestHead, connection: ClientConnection) -> replies.Reply | None:
    """Host and path; the path is left in canonical form."""
    if b":host" not in head.notable:
        return replies.MISSING_HOST
    if head.method in _SPECIAL_METHODS:
        if head.method == b"CONNECT":
            return replies.NO_ROUTE_FOR_CONNECT
        if not head.notable.get(b"content-type"):
            return replies.QUERY_WITHOUT_TYPE
    target = head.target
    if target[:1] != b"/":
        connection.stats.downstream_rq_non_relative_path += 1
        return replies.NOT_A_PATH
    kind = connection.settings.path_normalization
    if kind is _NONE:
        return None
    path = head.path
    if (  # find: `in` first asks whether what is looked for is a number, at ten times the price
        path.translate(None, PLAIN)
        or path.find(b"/.") >= 0
        or target.find(b"#") >= 0
        or (kind is not BASE and path.find(b"//") >= 0)
    ):
        canonical = normalize(
            target,
            merge_slashes=kind is not BASE,
            decode_slashes=kind is PathNormalization.DECODE_AND_MERGE_SLASHES,
        )
        if canonical is None:
            connection.stats.downstream_rq_failed_path_normalization += 1
            return replies.BAD_PATH
        head.target = canonical
        head.path = canonical.partition(b"?")[0]
    return None


def _learn_client(exchange: Exchange, head: RequestHead, connection: ClientConnection) -> None:
    """Addresses for logs, hashing and policies; x-forwarded-for as far as it is trusted."""
    ctx = exchange.ctx
    ctx.downstream_remote_address = connection.remote_address
    forwarded = head.notable.get(b"x-forwarded-for")
    if forwarded is not None:
        client = trusted_client(forwarded, connection.remote_ip, connection.settings)
        if client != connection.remote_ip:
            ctx.downstream_remote_address = f"{client}:0"


def wants_upgrade(head: RequestHead) -> bytes | None:
    """The protocol that a request wants to switch to, empty when none; None when it may not."""
    notable = head.notable
    if b":upgrade" not in notable:
        return b""
    protocol = notable[b"upgrade"]
    return protocol if protocol.lower() == b"websocket" else None


def abort_or_preflight(exchange: Exchange, route: Route) -> replies.Reply | None:
    """An injected abort, or the answer to a CORS preflight."""
    fault = route.fault
    if fault is not None and roll_abort(fault, exchange.chance or exchange.env.rng):
        exchange.connection.stats.fault_aborts_injected += 1
        return _abort(fault)
    if route.cors is not None:
        preflight = preflight_headers(route.cors, exchange.head)
        if preflight is not None:
            return replies.Reply(200, details="cors_response", headers=tuple(preflight), as_is=True, charged=False)
        exchange.origin = allowed_origin(route.cors, exchange.head)
    return None


def _abort(fault: FaultPolicy) -> replies.Reply:
    return replies.Reply(
        fault.abort_status or 200,
        replies.FAULT_BODY,
        flag="FI",
        details="fault_filter_abort",
        charged=False,
        grpc_status=fault.abort_grpc_status,
    )


def answer(exchange: Exchange, route: Route, action: Redirect | DirectResponse) -> replies.Reply:
    """Redirects and direct responses; one of these that creates or redirects has a Location too."""
    connection, head = exchange.connection, exchange.head
    if isinstance(action, Redirect):
        connection.stats.rq_redirect += 1
        if action.prefix_rewrite is not None and route.matched_prefix is not None:
            _rewrite_path(exchange, action.prefix_rewrite + head.target[len(route.matched_prefix) :])
        location = location_of(action, head, connection.local_port)
        return replies.Reply(action.status, details="direct_response", headers=((b"location", location),))
    connection.stats.rq_direct_response += 1
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if action.status == 201 or 300 <= action.status <= 399:
        headers = ((b"location", location_of(NOWHERE_ELSE, head, connection.local_port)),)
    return replies.Reply(action.status, action.body, details="direct_response", headers=headers)


def choose_destination(exchange: Exchange, action: Forward) -> Destination:
    """By weight."""
    destinations = action.destinations
    if len(destinations) == 1:
        return destinations[0]
    return destinations[choose_weighted(action.cumulative, exchange.chance or exchange.env.rng)]


def rewrite(exchange: Exchange, route: Route, action: Forward, destination: Destination) -> None:
    """Make the request what the upstream shall see: header operations, authority, path."""
    head = exchange.head
    ctx = exchange.ctx
    ctx.attempts = 1  # the first attempt counts already for what headers say of it
    if destination.request_headers is not None:
        apply_ops(head, destination.request_headers, ctx)
    if destination.host_rewrite is not None:
        head.authority = destination.host_rewrite  # nobody is told, and the route's operations see it
    if route.request_headers is not None:
        apply_ops(head, route.request_headers, ctx)
    ctx.attempts = 0
    authority = action.rewrite_authority
    if authority is not None:
        keep_original(head, b"x-envoy-original-host", head.authority)
        ctx.original_authority = head.authority
        head.authority = authority
    if action.rewrite_path is not None:
        _rewrite_path(exchange, rewrite_target(head.target, action.rewrite_path))


def _rewrite_path(exchange: Exchange, target: bytes) -> None:
    head = exchange.head
    keep_original(head, b"x-envoy-original-path", head.target)
    exchange.ctx.original_target = head.target
    head.target = target


def serves_inbound(connection: ClientConnection) -> bool:
    """Whether the workload is the server."""
    return connection.settings.direction is Direction.INBOUND
