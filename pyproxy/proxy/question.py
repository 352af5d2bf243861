"""A small request of the proxy's own to a cluster, and its whole answer: what an external authorizer is asked.

On a connection of the cluster's, under its ceilings and for its outlier detection, with callbacks and no task. Source:
Envoy http/async_client_impl.cc.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import Outcome
from pyproxy.proxy.environment import Environment
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.upstream.pools import pool_of
from pyproxy.upstream.stream import Lender, RequestStream, ResponseHandler

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer's body; one that says more has said nothing."""
Answered = Callable[[ResponseHead | None, bytes], None]
"""The answer's head and body; None: there is none to be had. Called once, unless the question was cancelled."""


class Question(ResponseHandler):
    """One request and its answer: borrower of a connection, and handler of its response."""

    _host: HostState | None = None
    _pool: Lender | None = None
    _connection: RequestStream | None = None
    _timer: asyncio.TimerHandle | None = None
    _head: ResponseHead | None = None
    _size = 0
    _reused = False
    _repeated = False
    _over = False

    def __init__(self, head: RequestHead, body: bytes, answered: Answered) -> None:
        """`head` has its content-length."""
        self._request = head
        self._request_body = body
        self._answered = answered
        self._body: list[bytes] = []

    def ask(self, env: Environment, cluster: ClusterState, timeout: float, chance: random.Random | None) -> None:
        """Begin; the answer may come before this returns. `timeout`: seconds until there is none; 0 is for ever."""
        if timeout:
            self._timer = asyncio.get_running_loop().call_later(timeout, self._on_timeout, cluster)
        if cluster.ready:
            self._borrow(env, cluster, chance)
        else:
            cluster.on_ready.append(lambda: self._borrow(env, cluster, chance))

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        if not self._over:
            self._leave()

    # From the pool

    def on_connected(self, connection: RequestStream) -> None:
        host = self._host
        assert host is not None
        self._connection = connection
        self._reused = connection.requests > 0
        host.begin_request()
        if host.monitor is not None:
            host.monitor.record_connected()
        body = self._request_body
        connection.begin(self, head_request=self._request.method == b"HEAD", upgrade=b"")
        connection.send_head(self._request, b"", body=bool(body), sized=True)
        if body:
            connection.send_body(body)
        connection.send_end(None)
        connection.flush()

    def on_connect_failed(self, outcome: Outcome, reason: str) -> None:
        self._fail(outcome)

    def on_turned_away(self) -> None:
        self._fail(Outcome.OVERFLOW)

    # From the connection

    def on_informational(self, head: ResponseHead) -> None:
        pass

    def on_head(self, head: ResponseHead, *, end: bool) -> None:
        host = self._host
        assert host is not None
        self._head = head
        host.cluster.stats.count_response(head.status)
        if host.monitor is not None:
            host.monitor.record_response(head.status)
        if end:
            self.on_end()

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= MAX_ANSWER:
            self._body.append(chunk)
        elif not self._over:
            self._leave()
            self._answered(None, b"")

    def on_end(self) -> None:
        if self._over:
            return
        head, host = self._head, self._host
        assert head is not None and host is not None
        host.end_request(head.status)
        self._finish()
        self._answered(head, b"".join(self._body))

    def on_trailers(self, trailers: Headers) -> None:
        self.on_end()

    def on_reset(self, outcome: Outcome, reason: str) -> None:
        host, pool = self._host, self._pool
        assert host is not None and pool is not None
        host.end_request(0)
        self._connection = None
        if outcome is Outcome.CONNECTION_TERMINATION and self._reused and not self._repeated:
            self._repeated = True  # the peer closed a kept connection just as we used it: docs/decisions/0004
            pool.borrow_fresh(self)
            return
        self._fail(outcome)

    def on_read_end(self) -> None:
        pass

    def on_writable(self, writable: bool) -> None:
        pass

    def on_upgraded(self, head: ResponseHead, rest: bytes) -> None:
        raise NotImplementedError  # never asked for

    # For itself

    def _borrow(self, env: Environment, cluster: ClusterState, chance: random.Random | None) -> None:
        if self._over:
            return
        host = cluster.pick(chance=chance)
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
            cluster.stats.count_response(503)
            self._finish()
            self._answered(None, b"")
            return
        self._host = host
        self._pool = pool = pool_of(host, env.clock, env.tls, self._request.authority, http2=False)
        connection = pool.borrow(self)
        if connection is not None:
            self.on_connected(connection)

    def _on_timeout(self, cluster: ClusterState) -> None:
        self._timer = None
        cluster.stats.upstream_rq_timeout += 1
        if self._host is not None:
            self._host.stats.rq_timeout += 1
        self._leave()
        self._count_failure(cluster, Outcome.TIMEOUT)
        self._answered(None, b"")

    def _fail(self, outcome: Outcome) -> None:
        host = self._host
        assert host is not None
        self._finish()
        if self._head is None:
            self._count_failure(host.cluster, outcome)
        self._answered(None, b"")

    def _count_failure(self, cluster: ClusterState, outcome: Outcome) -> None:
        """What Envoy would have answered counts, and so does whose fault it is."""
        if self._host is not None and self._host.monitor is not None:
            self._host.monitor.record_failure(outcome)
        status = 504 if outcome is Outcome.TIMEOUT else 502 if outcome is Outcome.PROTOCOL_ERROR else 503
        cluster.stats.count_response(status)

    def _leave(self) -> None:
        """Before the answer: the connection is of no more use."""
        self._finish()
        connection, self._connection = self._connection, None
        if connection is not None and self._host is not None:
            connection.abandon()
            self._host.end_request(0)
        elif self._pool is not None:
            self._pool.cancel(self)

    def _finish(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
