"""One try against one host: borrow a connection, send, hear the response, give the connection back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pyproxy.core.http import Headers, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.policy.host_monitor import grpc_as_http
from pyproxy.policy.timeouts import format_grpc_timeout
from pyproxy.runtime.clusters import HostState
from pyproxy.snapshot.model import Direction
from pyproxy.upstream.pools import pool_of
from pyproxy.upstream.stream import Lender, RequestStream, ResponseHandler

if TYPE_CHECKING:
    from pyproxy.proxy.forwarder import Forwarder


_FIRST_ATTEMPT: Final = b"x-envoy-attempt-count: 1\r\n"
_INBOUND: Final = Direction.INBOUND


class Attempt(ResponseHandler):
    """Borrower of a connection and handler of its response, for one exchange."""

    connection: RequestStream | None = None
    sent = False
    """The request's head went out."""
    reused = False
    """The connection had carried another request before."""
    _pool: Lender | None = None
    _timer: asyncio.TimerHandle | None = None
    _done = False
    _ended = False
    _counted = False

    def __init__(self, exchange: Forwarder, host: HostState) -> None:
        self.exchange = exchange
        self.host = host

    def begin(self, *, fresh: bool) -> None:
        """Ask for a connection; go on at once when there is one."""
        exchange = self.exchange
        env = exchange.env
        self._pool = pool = pool_of(
            self.host,
            env.clock,
            env.tls,
            exchange.head.authority,
            http2=exchange.ctx.protocol == "HTTP/2",
            client=exchange.connection,
        )
        if fresh:
            pool.borrow_fresh(self)
            return
        connection = pool.borrow(self)
        if connection is not None:
            self.on_connected(connection)

    # From the pool

    def on_connected(self, connection: RequestStream) -> None:
        """Send the head and what has come of the body."""
        exchange = self.exchange
        host = self.host
        self.connection = connection
        self.reused = connection.requests > 0
        self._counted = True
        host.begin_request()
        if host.monitor is not None:
            host.monitor.record_connected()
        ctx = exchange.ctx
        ctx.upstream_local_address = connection.local_address
        ctx.upstream_protocol = connection.protocol
        peer = connection.peer
        if peer is not ctx.upstream_tls:
            ctx.take_upstream_peer(peer)
        head = exchange.head
        ended = exchange.request_ended
        sized = b"content-length" in head.notable
        body = not ended or bool(exchange.kept)
        self.sent = True
        connection.begin(self, head_request=head.method == b"HEAD", upgrade=exchange.upgrade)
        connection.send_head(head, self._extra_lines(), body=body, sized=sized)
        if body:
            for chunk in exchange.kept:
                self.send_body(chunk)
            exchange.connected()
        if ended:
            self.end_request()
        if not exchange.reading or ended:
            connection.flush()

    def on_connect_failed(self, outcome: Outcome, reason: str) -> None:
        """No connection was to be had."""
        self._done = True
        if outcome is not Outcome.OVERFLOW:
            self.host.stats.rq_error += 1
            self._judge_failure(outcome)
        self.exchange.attempt_failed(self, outcome, reason)

    def on_turned_away(self) -> None:
        """Too many wait for this cluster: the log names no host."""
        self.exchange.ctx.upstream_host = ""
        self.on_connect_failed(Outcome.OVERFLOW, "")

    # From the exchange

    def send_body(self, chunk: bytes) -> None:
        """More of the request's body."""
        connection = self.connection
        if connection is not None:
            connection.send_body(chunk)
            if not self.exchange.reading:
                connection.flush()

    def end_request(self) -> None:
        """The request is whole."""
        connection = self.connection
        if connection is None or self._ended:
            return
        self._ended = True
        connection.send_end(self.exchange.request_trailers)
        if not self.exchange.reading:
            connection.flush()
        limit = self.exchange.per_try_timeout
        if limit:
            self._timer = asyncio.get_running_loop().call_later(limit, self._on_per_try_timeout)

    def pause_response(self, paused: bool) -> None:
        """The client reads slowly, or again."""
        if self.connection is not None:
            if paused:
                self.connection.pause_reading()
            else:
                self.connection.resume_reading()

    def discard(self) -> None:
        """Nobody wants this attempt's response any more."""
        if self._done:
            return
        self._finish()
        connection = self.connection
        if connection is None:
            if self._pool is not None:
                self._pool.cancel(self)
        else:
            connection.abandon()

    # From the connection (ResponseHandler)

    def on_informational(self, head: ResponseHead) -> None:
        if not self._done:
            self.exchange.informational(head)

    def on_head(self, head: ResponseHead, *, end: bool) -> None:
        if self._done:
            return
        self._cancel_timer()
        if not self.exchange.request_ended and self.connection is not None:
            self.connection.usable = False  # the response came before the request was whole
        if self.host.monitor is not None:
            grpc_status = head.notable.get(b"grpc-status") if self.exchange.is_grpc else None
            self.host.monitor.record_response(head.status if grpc_status is None else grpc_as_http(grpc_status))
        if end:
            self._finish(head.status)
        else:
            self._status = head.status
        self.exchange.attempt_answered(self, head, end=end)

    def on_body(self, chunk: bytes) -> None:
        if not self._done:
            self.exchange.attempt_body(chunk)

    def on_end(self) -> None:
        if not self._done:
            self._finish(self._status)
            self.exchange.attempt_ended()

    def on_trailers(self, trailers: Headers) -> None:
        if not self._done:
            self._finish(self._status)
            self.exchange.attempt_trailers(trailers)

    def on_reset(self, outcome: Outcome, reason: str) -> None:
        if self._done:
            return
        self._finish()
        self._judge_failure(outcome)
        if outcome is Outcome.REMOTE_RESET:
            self.host.cluster.stats.upstream_rq_rx_reset += 1
        if self.exchange.response_started:
            self.exchange.attempt_broke(outcome)
        else:
            self.exchange.attempt_failed(self, outcome, reason)

    def on_read_end(self) -> None:
        if not self._done:
            self.exchange.attempt_read_end()

    def on_writable(self, writable: bool) -> None:
        self.exchange.upstream_writable(writable)

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        if not self._done:
            self._cancel_timer()
            self.exchange.attempt_upgraded(self, head, rest)

    # From the tunnel that its connection became

    def tunnel_closed(self) -> None:
        """The connection is no more."""
        self._finish(101)
        connection = self.connection
        assert connection is not None
        connection.tunnel_closed()

    # For itself

    _status = 0

    def _extra_lines(self) -> bytes:
        """Header lines that differ from attempt to attempt, or are the same for all requests: ready-made bytes."""
        exchange = self.exchange
        settings = exchange.connection.settings
        lines = b""
        if settings.attempt_count_header:
            attempts = exchange.ctx.attempts
            lines = _FIRST_ATTEMPT if attempts == 1 else b"x-envoy-attempt-count: %d\r\n" % attempts
        if exchange.operation_line:
            lines += exchange.operation_line
        if exchange.timeouts is not None:
            expected = exchange.expected_timeout_ms()
            if expected:
                lines += b"x-envoy-expected-rq-timeout-ms: %d\r\n" % expected
                if exchange.tells_grpc_timeout:
                    lines += b"grpc-timeout: %b\r\n" % format_grpc_timeout(expected)
        if settings.direction is not _INBOUND and not self.host.cluster.cluster.mesh_external:
            lines += exchange.env.peer_lines
        return lines

    def _on_per_try_timeout(self) -> None:
        self._timer = None
        if self._done or self.exchange.informed:  # once a 1xx is out, only the route's timeout counts
            return
        self.host.cluster.stats.upstream_rq_per_try_timeout += 1
        self.host.stats.rq_timeout += 1
        self._judge_failure(Outcome.PER_TRY_TIMEOUT)
        self.discard()
        self.exchange.attempt_failed(self, Outcome.PER_TRY_TIMEOUT, "")

    def timed_out(self) -> None:
        """The route's timeout ended it before there was a response."""
        self.host.stats.rq_timeout += 1
        self._judge_failure(Outcome.TIMEOUT)

    def _judge_failure(self, outcome: Outcome) -> None:
        if self.host.monitor is not None:
            self.host.monitor.record_failure(outcome)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, status: int = 0) -> None:
        """Exactly once per attempt: the gauges."""
        self._done = True
        self._cancel_timer()
        if self._counted:
            self.host.end_request(status)
