"""Shadow requests: the same to another cluster, the response thrown away. Source: Envoy shadow_writer_impl.cc."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.policy.host_monitor import grpc_as_http
from pyproxy.proxy.environment import Environment
from pyproxy.runtime.clusters import HostState
from pyproxy.runtime.live import Serving
from pyproxy.snapshot.model import Mirror
from pyproxy.upstream.pools import pool_of
from pyproxy.upstream.stream import Lender, RequestStream, ResponseHandler

MAX_BODY = 1024 * 1024
"""Bytes; a larger body is not mirrored (Envoy drops the shadow past its buffer limit)."""


class Terms:
    """Under which the shadows of one request go out."""

    __slots__ = ("grpc", "http2", "lines", "timeout")

    def __init__(self, lines: bytes, timeout: float, *, grpc: bool, http2: bool) -> None:
        self.lines = lines
        """Header lines beside those of the request's head."""
        self.timeout = timeout
        """Seconds, the route's; 0 is none."""
        self.grpc = grpc
        self.http2 = http2
        """Its client speaks HTTP/2."""


class Mirroring:
    """The shadows of one request: they leave when it is whole."""

    def __init__(self, env: Environment, hosts: list[HostState], head: RequestHead, terms: Terms) -> None:
        self._env = env
        self._hosts = hosts
        self._head = head
        self._terms = terms
        self._body: list[bytes] = []
        self._size = 0

    @classmethod
    def start(
        cls,
        env: Environment,
        serving: Serving,
        mirrors: tuple[Mirror, ...],
        head: RequestHead,
        terms: Terms,
        chance: random.Random | None,
    ) -> Mirroring | None:
        """Roll each mirror's percentage; None when no shadow is due. An unknown cluster is skipped, as in Envoy."""
        hosts: list[HostState] = []
        for mirror in mirrors:
            state = serving.clusters.get(mirror.cluster)
            if state is None or (chance or env.rng).randrange(1_000_000) >= mirror.per_million:
                continue
            host = state.pick(chance=chance)
            if host is not None:
                hosts.append(host)
            else:
                state.stats.upstream_cx_none_healthy += 1
                state.stats.count_response(503)
        return cls(env, hosts, head, terms) if hosts else None

    def on_body(self, chunk: bytes) -> None:
        """Keep a copy."""
        self._size += len(chunk)
        if self._size <= MAX_BODY:
            self._body.append(chunk)
        else:
            self._hosts = []
            self._body = []

    def on_end(self) -> None:
        """The request is whole: send the shadows."""
        body = b"".join(self._body)
        head = shadow_head(self._head, self._env.live.serving.snapshot.identity.address)
        sized = b"content-length" in head.notable
        extra = b"content-length: %d\r\n" % len(body) if body and not sized else b""
        extra += self._terms.lines
        for host in self._hosts:
            peer = b"" if host.cluster.cluster.mesh_external else self._env.peer_lines
            Shadow(host, head, extra + peer, body, self._terms).begin(self._env)


def shadow_head(head: RequestHead, address: str) -> RequestHead:
    """The request as one of our own, with our address as the last that it was forwarded for.

    Source: Envoy async_client_impl.cc (sendHeaders).
    """
    path = b",".join([*head.get_all(b"x-forwarded-for"), address.encode()])
    headers = [line for line in head.headers if line[0] not in _OURS]
    headers += [(b"x-envoy-internal", b"true"), (b"x-forwarded-for", path)]
    return RequestHead(head.method, head.target, head.authority, headers, scheme=head.scheme, notable=head.notable)


_OURS: Final = (b"x-envoy-internal", b"x-forwarded-for")


class Shadow(ResponseHandler):
    """One shadow request: borrower of a connection, and handler that only counts and judges."""

    def __init__(self, host: HostState, head: RequestHead, extra: bytes, body: bytes, terms: Terms) -> None:
        self._host = host
        self._head = head
        self._extra = extra
        self._body = body
        self._terms = terms
        self._status = 0
        self._connection: RequestStream | None = None
        self._pool: Lender = None  # type: ignore[assignment]  # set in begin, before any use
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, env: Environment) -> None:
        """Borrow a connection and send."""
        if self._terms.timeout:
            self._timer = asyncio.get_running_loop().call_later(self._terms.timeout, self._on_timeout)
        self._pool = pool_of(self._host, env.clock, env.tls, self._head.authority, http2=self._terms.http2)
        connection = self._pool.borrow(self)
        if connection is not None:
            self.on_connected(connection)

    def on_connected(self, connection: RequestStream) -> None:
        self._connection = connection
        self._host.begin_request()
        if self._host.monitor is not None:
            self._host.monitor.record_connected()
        head, body = self._head, self._body
        connection.begin(self, head_request=head.method == b"HEAD", upgrade=b"")
        connection.send_head(head, self._extra, body=bool(body), sized=bool(body) or b"content-length" in head.notable)
        if body:
            connection.send_body(body)
        connection.send_end(None)
        connection.flush()

    def on_connect_failed(self, outcome: Outcome, reason: str) -> None:
        self._fail(outcome)

    def on_turned_away(self) -> None:
        self._fail(Outcome.OVERFLOW)

    def on_informational(self, head: ResponseHead) -> None:
        pass

    def on_head(self, head: ResponseHead, *, end: bool) -> None:
        self._host.cluster.stats.count_response(head.status)
        self._status = head.status
        if self._host.monitor is not None:
            grpc_status = head.notable.get(b"grpc-status") if self._terms.grpc else None
            self._host.monitor.record_response(head.status if grpc_status is None else grpc_as_http(grpc_status))
        if end:
            self.on_end()

    def on_body(self, chunk: bytes) -> None:
        pass

    def on_end(self) -> None:
        self._stop_timer()
        self._host.end_request(self._status)

    def on_trailers(self, trailers: Headers) -> None:
        self.on_end()

    def on_reset(self, outcome: Outcome, reason: str) -> None:
        self._host.end_request(0)
        self._fail(outcome)

    def on_read_end(self) -> None:
        pass

    def on_writable(self, writable: bool) -> None:
        pass

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        self._host.end_request(101)

    # For itself

    def _on_timeout(self) -> None:
        self._timer = None
        self._host.cluster.stats.upstream_rq_timeout += 1
        self._host.stats.rq_timeout += 1
        if self._connection is None:
            self._pool.cancel(self)
        else:
            self._connection.abandon()
            self._host.end_request(0)
        self._fail(Outcome.TIMEOUT)

    def _fail(self, outcome: Outcome) -> None:
        """What Envoy would have answered counts, and so does whose fault it is."""
        self._stop_timer()
        if self._status:
            return
        if self._host.monitor is not None:
            self._host.monitor.record_failure(outcome)
        status = 504 if outcome is Outcome.TIMEOUT else 502 if outcome is Outcome.PROTOCOL_ERROR else 503
        self._host.cluster.stats.count_response(status)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
