"""The values of the attributes that expressions in Telemetry documents name, for one request.

Source: Envoy source/extensions/filters/common/expr/context.cc. A request is asked when it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from pyproxy.cel.attributes import PEER_FIELDS
from pyproxy.cel.expression import MISSING
from pyproxy.cel.functions import Duration, Timestamp
from pyproxy.core import tls
from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers
from pyproxy.telemetry.peer_metadata import Peer, decode_peer
from pyproxy.wire import facts

_FLAGS: Final = "LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DO DR"
"""Lowest bit first (Envoy stream_info.h, CoreResponseFlag)."""
_BIT: Final = {flag: 1 << number for number, flag in enumerate(_FLAGS.split())}
_GRPC_OF_HTTP: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_UNKNOWN: Final = 2


class Subject:
    """A request, and who its other end is."""

    __slots__ = ("ctx", "inbound", "peer")

    def __init__(self, ctx: RequestContext, *, inbound: bool, peer: Peer | None = None) -> None:
        self.ctx = ctx
        self.inbound = inbound
        self.peer = peer if peer is not None else decode_peer(ctx.peer_metadata) if ctx.peer_metadata else None


class _HeaderMap(Mapping[str, str]):
    """Header lines by name in any case; several of one name with commas between."""

    def __init__(self, lines: Headers, special: Callable[[bytes], bytes | None]) -> None:
        self._lines = lines
        self._special = special

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode()
        values = [value for key, value in self._lines if key == wanted]
        if not values:
            found = self._special(wanted)
            if found is None:
                raise KeyError(name)
            return _text(found)
        return _text(b",".join(values))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(_text(name) for name, _ in self._lines))

    def __len__(self) -> int:
        return len(dict(self._lines))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _request_headers(subject: Subject) -> object:
    ctx = subject.ctx
    return _HeaderMap(ctx.request.headers, lambda name: facts.request_header(name)(ctx))


def _response_headers(subject: Subject) -> object:
    ctx = subject.ctx
    if ctx.response is None:
        return {}
    return _HeaderMap(ctx.response.headers, lambda name: facts.response_header(name)(ctx))


def _header(name: bytes) -> Callable[[Subject], object]:
    getter = facts.request_header(name)

    def header(subject: Subject) -> object:
        value = getter(subject.ctx)
        return MISSING if value is None else _text(value)

    return header


def _address(attribute: str) -> Callable[[Subject], object]:
    return lambda subject: getattr(subject.ctx, attribute) or MISSING


def _port(attribute: str) -> Callable[[Subject], object]:
    def port(subject: Subject) -> object:
        host, _, digits = getattr(subject.ctx, attribute).rpartition(":")
        return int(digits) if digits.isdecimal() and _is_ip(host.strip("[]")) else MISSING

    return port


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _tls(attribute: str, fact: Callable[[tls.Peer], str]) -> Callable[[Subject], object]:
    def told(subject: Subject) -> object:
        peer = getattr(subject.ctx, attribute)
        return (fact(peer) or MISSING) if peer is not None else MISSING

    return told


def _request_size(ctx: RequestContext) -> int:
    """What the client said, else what came."""
    said = ctx.request.notable.get(b"content-length", b"")
    return int(said) if said.isdigit() else ctx.bytes_received


def _elapsed(ctx: RequestContext) -> object:
    return Duration(ctx.response_body_ended - ctx.started) if ctx.response_body_ended else MISSING


def _backend_latency(subject: Subject) -> object:
    ctx = subject.ctx
    sent, first = ctx.upstream_request_sent or ctx.request_body_ended, ctx.response_first_byte
    return Duration(first - sent) if sent and first else MISSING


def _code(subject: Subject) -> object:
    return subject.ctx.status or MISSING


def _grpc_status(subject: Subject) -> object:
    """Of an answer that has none, what its HTTP status stands for."""
    number = facts.grpc_number(subject.ctx)
    if number is not None:
        return number
    return _GRPC_OF_HTTP.get(subject.ctx.status, _UNKNOWN) if subject.ctx.status else MISSING


def _flags(subject: Subject) -> object:
    return sum(_BIT.get(flag, 0) for flag in subject.ctx.flags)


def _peer(*, inbound: bool) -> Callable[[Subject], object]:
    def peer(subject: Subject) -> object:
        found = subject.peer
        if found is None or subject.inbound is not inbound:
            return MISSING
        return dict(zip(PEER_FIELDS, _peer_values(found), strict=True))

    return peer


def _peer_values(peer: Peer) -> tuple[str, ...]:
    """In the order of PEER_FIELDS; Istio's `name` is the instance's, which here is the workload's."""
    return (
        peer.app,
        peer.cluster,
        peer.identity,
        peer.workload,
        peer.namespace,
        peer.canonical_revision,
        peer.canonical_service,
        peer.version,
        peer.workload,
    )


_DOWNSTREAM, _UPSTREAM = "downstream_tls", "upstream_tls"
_PEERS: Final = {"upstream_peer": _peer(inbound=False), "downstream_peer": _peer(inbound=True)}
VALUES: Final[Mapping[str, Callable[[Subject], object]]] = {
    "request.duration": lambda subject: _elapsed(subject.ctx),
    "request.headers": _request_headers,
    "request.host": _header(b":authority"),
    "request.id": _header(b"x-request-id"),
    "request.method": _header(b":method"),
    "request.path": _header(b":path"),
    "request.protocol": _address("protocol"),
    "request.query": lambda subject: _text(subject.ctx.request.target.partition(b"?")[2]),
    "request.referer": _header(b"referer"),
    "request.scheme": _header(b":scheme"),
    "request.size": lambda subject: _request_size(subject.ctx),
    "request.time": lambda subject: Timestamp(subject.ctx.started_at),
    "request.total_size": lambda subject: subject.ctx.request_header_bytes + subject.ctx.bytes_received,
    "request.url_path": lambda subject: _text(subject.ctx.request.target.partition(b"?")[0]),
    "request.useragent": _header(b"user-agent"),
    "response.backend_latency": _backend_latency,
    "response.code": _code,
    "response.code_details": _address("details"),
    "response.flags": _flags,
    "response.grpc_status": _grpc_status,
    "response.headers": _response_headers,
    "response.size": lambda subject: subject.ctx.bytes_sent,
    "response.total_size": lambda subject: subject.ctx.response_header_bytes + subject.ctx.bytes_sent,
    "response.trailers": lambda subject: _HeaderMap(subject.ctx.response_trailers or [], lambda _name: None),
    "source.address": _address("downstream_remote_address"),
    "source.port": _port("downstream_remote_address"),
    "destination.address": _address("downstream_local_address"),
    "destination.port": _port("downstream_local_address"),
    "connection.dns_san_local_certificate": lambda _subject: MISSING,
    "connection.dns_san_peer_certificate": _tls(_DOWNSTREAM, lambda peer: peer.dns_sans[0] if peer.dns_sans else ""),
    "connection.id": lambda subject: subject.ctx.connection_id or MISSING,
    "connection.mtls": lambda subject: subject.ctx.downstream_tls is not None and subject.ctx.downstream_tls.presented,
    "connection.requested_server_name": lambda subject: subject.ctx.requested_server_name,
    "connection.sha256_peer_certificate_digest": _tls(_DOWNSTREAM, lambda peer: peer.sha256),
    "connection.subject_local_certificate": _tls(_DOWNSTREAM, lambda peer: peer.local_subject),
    "connection.subject_peer_certificate": _tls(_DOWNSTREAM, lambda peer: peer.subject),
    "connection.termination_details": _address("connection_termination_details"),
    "connection.tls_version": _tls(_DOWNSTREAM, lambda peer: peer.version),
    "connection.uri_san_local_certificate": _tls(_DOWNSTREAM, lambda peer: peer.local_uri_san),
    "connection.uri_san_peer_certificate": _tls(_DOWNSTREAM, lambda peer: peer.uri_san),
    "upstream.address": _address("upstream_host"),
    "upstream.dns_san_peer_certificate": _tls(_UPSTREAM, lambda peer: peer.dns_sans[0] if peer.dns_sans else ""),
    "upstream.local_address": _address("upstream_local_address"),
    "upstream.port": _port("upstream_host"),
    "upstream.request_attempt_count": lambda subject: subject.ctx.attempts,
    "upstream.subject_peer_certificate": _tls(_UPSTREAM, lambda peer: peer.subject),
    "upstream.tls_version": _tls(_UPSTREAM, lambda peer: peer.version),
    "upstream.transport_failure_reason": _address("upstream_transport_failure"),
    "upstream.uri_san_local_certificate": _tls(_UPSTREAM, lambda peer: peer.local_uri_san),
    "upstream.uri_san_peer_certificate": _tls(_UPSTREAM, lambda peer: peer.uri_san),
    "xds.cluster_name": _address("upstream_cluster"),
    "xds.listener_direction": lambda subject: 1 if subject.inbound else 2,
    "xds.route_name": _address("route_name"),
    "xds.virtual_host_name": _address("virtual_host"),
    **_PEERS,
    **{f"filter_state.{name}": value for name, value in _PEERS.items()},
}
"""Of every name in cel.attributes.ATTRIBUTES."""
