from __future__ import annotations

import pytest

from pyproxy.cel.attributes import ATTRIBUTES, PEER_FIELDS
from pyproxy.cel.errors import EvaluationError
from pyproxy.cel.expression import compile_expression
from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead, ResponseHead
from pyproxy.core.tls import Peer as TlsPeer
from pyproxy.telemetry.attributes import VALUES, Subject
from pyproxy.telemetry.peer_metadata import Peer


def context() -> RequestContext:
    headers = [(b"user-agent", b"test"), (b"x-m", b"a"), (b"x-m", b"b")]
    ctx = RequestContext(RequestHead(b"GET", b"/p/q?a=1", b"web:80", headers), 100.0, 1_600_000_000.0)
    ctx.request_id = b"an-id"
    ctx.status = 503
    ctx.flags = ("UF", "URX")
    ctx.response = ResponseHead(503, [(b"x-r", b"v")])
    ctx.response_body_ended = 100.5
    ctx.downstream_remote_address = "10.0.0.1:1234"
    ctx.downstream_local_address = "10.0.0.2:80"
    ctx.downstream_tls = TlsPeer(version="TLSv1.3", presented=True, uri_sans=("spiffe://a",), subject="CN=x")
    return ctx


def value(text: str, ctx: RequestContext | None = None, *, inbound: bool = False, peer: Peer | None = None) -> object:
    return compile_expression(text, VALUES)(Subject(ctx or context(), inbound=inbound, peer=peer))


def test_every_name_has_a_value() -> None:
    assert set(VALUES) == ATTRIBUTES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("request.path", "/p/q?a=1"),
        ("request.url_path", "/p/q"),
        ("request.query", "a=1"),
        ("request.host", "web:80"),
        ("request.headers['X-M']", "a,b"),
        ("request.headers[':method']", "GET"),
        ("request.id", "an-id"),
        ("request.useragent", "test"),
        ("request.duration == duration('500ms')", True),
        ("request.time == timestamp('2020-09-13T12:26:40Z')", True),
        ("response.code", 503),
        ("response.flags", 0x8020),
        ("response.grpc_status", 14),
        ("response.headers['x-r']", "v"),
        ("'x-none' in response.headers", False),
        ("size(response.trailers)", 0),
        ("source.port", 1234),
        ("destination.port", 80),
        ("connection.mtls", True),
        ("connection.uri_san_peer_certificate", "spiffe://a"),
        ("connection.subject_peer_certificate", "CN=x"),
        ("xds.listener_direction", 2),
    ],
)
def test_what_a_request_says(text: str, expected: object) -> None:
    assert value(text) == expected


def test_the_other_end_is_known_on_its_own_side() -> None:
    peer = Peer(workload="cart-v1", namespace="shop", app="cart", version="v1", canonical_service="cart")
    assert value("upstream_peer.workload", peer=peer) == "cart-v1"
    assert value("filter_state.upstream_peer.app", peer=peer) == "cart"
    assert value("downstream_peer.namespace", inbound=True, peer=peer) == "shop"
    for inbound, text in ((True, "upstream_peer.app"), (False, "downstream_peer.app")):
        with pytest.raises(EvaluationError):
            value(text, inbound=inbound, peer=peer)
    assert sorted(PEER_FIELDS) == list(PEER_FIELDS)


def test_what_a_request_does_not_have_is_missing() -> None:
    bare = RequestContext(RequestHead(b"GET", b"/", b"a", []), 0.0, 0.0)
    for name in ("response.code", "response.grpc_status", "request.duration", "upstream.port", "request.referer"):
        with pytest.raises(EvaluationError):
            value(name, bare)
