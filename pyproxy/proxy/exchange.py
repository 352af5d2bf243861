"""One request and its response, from head to access log: route, admit, attempt, relay, finish.

Everything is decided synchronously in the callbacks of the two protocols; no task is started for a request. The
client side is a `ClientStream`, the upstream side an `Attempt`; a retry is a second `Attempt`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.policy.cors import apply_cors
from pyproxy.policy.fault import roll_delay
from pyproxy.policy.hashing import request_hash
from pyproxy.policy.retry import steered
from pyproxy.policy.timeouts import effective_timeouts
from pyproxy.proxy import gate, replies
from pyproxy.proxy.attempt import Attempt
from pyproxy.proxy.client_stream import ClientStream
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.ext_authz import Check
from pyproxy.proxy.forwarder import Forwarder
from pyproxy.proxy.grpc_messages import Messages
from pyproxy.proxy.grpc_web import GrpcWebCall, is_grpc_web
from pyproxy.proxy.headers import apply_ops, operation_line, without
from pyproxy.proxy.internal_requests import FORCE_TRACE, asked_by_client, asked_by_route
from pyproxy.proxy.mirror import Mirroring, Terms
from pyproxy.proxy.routing import abort_or_preflight, answer, choose_destination, find_route, rewrite, wants_upgrade
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Destination, Direction, Forward, Route, Tracing
from pyproxy.telemetry.trace_headers import continue_trace, told_of_child
from pyproxy.wire.http1 import bodiless

BODY_BUFFER: Final = 1024 * 1024
"""Bytes of a request body kept, for another attempt or for a connection (Envoy per_connection_buffer_limit_bytes)."""
_PASSED_ON: Final = frozenset({100, 102, 103, 104})
_UPSTREAM_ENDED_TUNNEL: Final = "upstream_reset_after_response_started{connection_termination}"
_DECORATOR: Final = b"x-envoy-decorator-operation"
_NOTHING_KNOWN: Final[dict[bytes, bytes]] = {}
_INBOUND: Final = Direction.INBOUND  # an enum's member costs a call at every use
_OUTBOUND: Final = Direction.OUTBOUND
_NOT_TRACED: Final = Tracing(enabled=False)
_log: Final = logging.getLogger("pyproxy.proxy")


Step = Callable[["Exchange"], replies.Reply | None]
"""One of the gate's: an answer, `gate.HELD`, or None."""


class Exchange(Forwarder):
    """One request and its response."""

    origin = b""
    """The CORS origin that may read the response."""
    workload_port = 0
    """The workload's port that the request is for; 0 when its virtual host does not say."""
    speaks_grpc_web = False
    """It is for a port of gRPC-Web."""
    internal = False
    """Its client may steer by x-envoy-* headers."""
    traced = False
    """Sampled, as far as this proxy decides."""
    tracing: Tracing = _NOT_TRACED
    response_header_bytes = 0
    _mirroring: Mirroring | None = None
    _messages: Messages | None = None
    """Those of a gRPC call."""
    _web: GrpcWebCall | None = None
    """The call is one of gRPC-Web: between us and the client."""
    _destination: Destination | None = None
    _operating = False
    """Destination or route have operations on response headers."""
    _operation = ""
    """What the server's side calls this request, told to the caller's proxy unless that has a name of its own."""
    _delayed = False
    """Held back by a fault."""
    _kept_size = 0
    _charged = -1
    """The status of an answer of our own, as the cluster counts it: 0 not at all, -1 there is no such answer."""
    _paused = False
    _check: Check | None = None
    """The external authorizer is asked, or will be."""
    _body_limit = BODY_BUFFER
    added_headers: Headers | None = None
    """What the external authorizer adds to the response."""
    _cookies: tuple[bytes, ...] = ()
    """Made by consistentHash.httpCookie for a client that has none."""

    def __init__(
        self,
        env: Environment,
        connection: ClientConnection,
        stream: ClientStream,
        head: RequestHead,
    ) -> None:
        self.env = env
        self.connection = connection
        self.stream = stream
        self.head = head
        self.serving = env.live.serving
        clock = env.clock
        self.ctx = ctx = RequestContext(head, clock.monotonic(), clock.time())
        ctx.connection_id = connection.identifier
        ctx.downstream_local_address = connection.local_address
        ctx.downstream_remote_address = ctx.direct_remote_address = connection.remote_address
        if connection.tls is not None:
            connection.describe_tls(ctx)
        self.kept = []
        self.tried = []

    # From the client's protocol

    def start(self, *, end: bool) -> None:
        """Route and admit the request; `end`: it has no body."""
        if end:
            self.request_ended = True
            self.ctx.request_body_ended = self.ctx.started
        try:
            found = find_route(self)
            reply = found if isinstance(found, replies.Reply) else self._admit(found)
            if reply is not None:
                self.reply(reply)
        except Exception:  # our bug must not take the connection's other requests with it
            self._fail()

    def go_on(self, step: Step) -> None:
        """The gate held the request: it may pass on to a step of it. Nothing happens when the client has left."""
        if self.finished:
            return
        try:
            reply = self._pass(step)
            if reply is not None:
                self.reply(reply)
        except Exception:  # as in start
            self._fail()

    def hold(self, check: Check, *, body_limit: int = 0) -> None:
        """Wait for the external authorizer, which may want to see so many bytes of the body."""
        self._check = check
        self._body_limit = max(BODY_BUFFER, body_limit)

    def release(self) -> None:
        """It waits no longer."""
        self._check = None

    def on_body(self, chunk: bytes) -> None:
        """Body bytes from the client."""
        if self.finished:
            return
        self.ctx.bytes_received += len(chunk)
        if self._web is not None:
            try:
                chunk = self._web.decode(chunk)
            except ValueError:
                self.reply(replies.BAD_BASE64)
                return
        if self._mirroring is not None:
            self._mirroring.on_body(chunk)
        attempt = self.attempt
        if attempt is not None and attempt.connection is None:
            attempt = None  # it waits for one, and will find the chunk among those kept
        if attempt is None or self.replayable:
            self.kept.append(chunk)
            self._kept_size += len(chunk)
            if self._kept_size > self._body_limit:
                self._outgrow(sendable=attempt is not None)
            if self._check is not None:
                self._check.on_body(self._kept_size)
        if attempt is not None:
            attempt.send_body(chunk)
        if self._messages is not None:
            self._messages.requests.feed(chunk)
            self._tell_messages(self._messages)

    def on_early_bytes(self, size: int) -> None:
        """Bytes from a client that asked for an upgrade, and has no answer yet: its protocol keeps them."""
        self.ctx.bytes_received += size

    def on_request_end(self) -> None:
        """The request is whole."""
        if self.request_ended or self.finished:
            return
        self.request_ended = True
        self.ctx.request_body_ended = self.env.clock.monotonic()
        if self._web is not None and not self._web.whole:
            self.reply(replies.BAD_BASE64_SIZE)
            return
        if self._check is not None:
            self._check.on_request_end()
        if self._mirroring is not None:
            self._mirroring.on_end()
        if self.attempt is not None:
            self.attempt.end_request()
        if self.timeouts is not None:
            self.start_timeout()

    def on_request_trailers(self, trailers: Headers) -> None:
        """Header lines behind the request's body; its end follows."""
        self.request_trailers = trailers

    def on_read_end(self) -> None:
        """All that came with one read of the client was told."""
        self.reading = False
        attempt = self.attempt
        if attempt is not None and attempt.connection is not None:
            attempt.connection.flush()

    def on_client_gone(self, *, flag: str = "DC", details: str = "downstream_remote_disconnect") -> None:
        """The client closed, or broke its request: nobody waits for the response."""
        if self.finished:
            return
        self.ctx.add_flag(flag)
        self.ctx.details = details
        self.drop_attempt()
        self._finish()

    def on_client_writable(self, writable: bool) -> None:
        """The client reads slower (False) or again (True)."""
        if self.attempt is not None:
            self.attempt.pause_response(not writable)

    def _fail(self) -> None:
        _log.exception("an exchange failed")
        if not self.finished and not self.response_started:
            self.reply(replies.INTERNAL_ERROR)

    # Admit

    def _admit(self, route: Route | None) -> replies.Reply | None:
        """None: where to is found, or the request waits at the gate."""
        if route is not None:
            self.take_route(route)
        protocol = wants_upgrade(self.head)
        if protocol is None:
            self.connection.stats.downstream_rq_ws_on_non_ws_route += 1
            return replies.UPGRADE_FAILED
        self.upgrade = protocol
        direction = self.connection.settings.direction
        if direction is _OUTBOUND:
            return self._let_in()
        if direction is _INBOUND:
            self._meet_caller()
        return self._pass(gate.enter) if self.serving.snapshot.guarded else self._let_in()

    def _meet_caller(self) -> None:
        """What the caller's proxy says of itself, and what it is told: also when the request goes no further."""
        notable = self.head.notable
        self.ctx.peer_metadata = notable.get(b"x-envoy-peer-metadata")
        if self.route is not None and self.tracing.enabled and not notable.get(_DECORATOR):
            self._operation = self.route.operation

    def take_route(self, route: Route | None) -> None:
        """The route that was found, and one of its destinations; it may be another than at first, or none."""
        if self.route is not None:
            self._destination = self.cluster = None
            self._operating = False
            self.ctx.upstream_cluster = ""
        self.route = route
        if route is None:
            return
        action = route.action
        if isinstance(action, Forward):
            self._destination = destination = choose_destination(self, action)
            self._operating = destination.response_headers is not None or route.response_headers is not None
            self.cluster = self.serving.clusters.get(destination.cluster)
            if self.cluster is not None:
                self.ctx.upstream_cluster = destination.cluster

    def _pass(self, step: Step) -> replies.Reply | None:
        """Through the gate, from a step of it on."""
        reply = step(self)
        if reply is gate.HELD:
            return None
        return self._let_in() if reply is None else reply

    def _let_in(self) -> replies.Reply | None:
        """Past the gate: the delay, if there is one."""
        if self.speaks_grpc_web and is_grpc_web(self.head):
            reply = self._translate_grpc_web()
            if reply is not None:
                return reply
        route = self.route
        if route is None:
            self.connection.stats.no_route += 1
            return replies.NO_ROUTE
        fault = route.fault
        if fault is not None:
            delay = roll_delay(fault, self.chance or self.env.rng)
            if delay:
                self.ctx.add_flag("DI")
                self.connection.stats.fault_delays_injected += 1
                self._count_delayed(1)
                self._backoff = asyncio.get_running_loop().call_later(delay, self._after_delay, route)
                return None
        return self._admitted(route)

    def _translate_grpc_web(self) -> replies.Reply | None:
        """From here on the call is one of gRPC: also what came of its body while it was held."""
        self._web = self.stream = web = GrpcWebCall(self.stream, self.head, self.ctx)
        try:
            self.kept = [web.decode(chunk) for chunk in self.kept]
        except ValueError:
            return replies.BAD_BASE64
        return None if web.whole or not self.request_ended else replies.BAD_BASE64_SIZE

    def _count_delayed(self, change: int) -> None:
        self._delayed = change > 0
        self.connection.stats.fault_active_faults += change

    def _after_delay(self, route: Route) -> None:
        self._backoff = None
        self._count_delayed(-1)
        reply = self._admitted(route)
        if reply is not None:
            self.reply(reply)

    def _admitted(self, route: Route) -> replies.Reply | None:
        """Past the delay: abort, preflight, then the router."""
        if route.fault is not None or route.cors is not None:
            reply = abort_or_preflight(self, route)
            if reply is not None:
                return reply
        action = route.action
        if not isinstance(action, Forward):
            self._operating = route.response_headers is not None  # not on what filters answer before: so has Envoy
            return answer(self, route, action)
        destination = self._destination
        assert destination is not None
        if self.cluster is None:
            self.connection.stats.no_cluster += 1
            return replies.NO_CLUSTER
        self._prepare(route, action, destination)
        self.next_attempt()
        if self.timeouts is not None and (self.request_ended or self.upgrade) and not self.finished:
            self.start_timeout()
        return None

    def _prepare(self, route: Route, action: Forward, destination: Destination) -> None:
        """Everything that the router does once, before the first attempt."""
        head = self.head
        notable = head.notable
        ctx = self.ctx
        self.retry_policy = action.retry
        tracing = self.tracing
        ctx.trace = continue_trace(
            head.headers if tracing.propagates else [],
            notable if head.carries_trace else _NOTHING_KNOWN,
            tracing,
            self.env.rng,
            traced=self.traced,
        )
        self.upstream_spans = tracing.upstream_spans
        if self.connection.settings.direction is not _INBOUND and tracing.enabled and route.operation:
            self.operation_line = operation_line(route.operation)
        if not tracing.enabled and _DECORATOR in notable:
            head.headers.append((_DECORATOR, notable[_DECORATOR]))
        if action.hash_policies:
            self._hash_request(action)
        rewrite(self, route, action, destination)
        if self.internal or route.request_headers is not None or destination.request_headers is not None:
            self._steer(action)
        elif action.timeout or b"content-type" in notable or (action.retry and action.retry.per_try_timeout):
            self._set_timeouts(action, [])
        if action.mirrors:
            self._start_mirroring(action)
        if b"content-type" in notable and self.is_grpc:
            self._messages = Messages(ctx.started)
            for chunk in self.kept:
                self._messages.requests.feed(chunk)

    def begin_attempt_span(self, host: HostState) -> None:
        """A gateway's: the upstream's parent is the attempt, and the attempt's the request."""
        trace, tracing = self.ctx.trace, self.tracing
        if trace is None or not trace.trace_id:
            return
        head = self.head
        child = told_of_child(head.headers if tracing.propagates else [], head.notable, trace, tracing, self.env.rng)
        if trace.sampled and tracing.export is not None:
            from pyproxy.telemetry.spans import AttemptNotes  # no sidecar makes any

            if self.attempt_notes is None:
                self.attempt_notes = []
            self.attempt_notes.append(AttemptNotes(child, host.key, self.env.clock.monotonic()))

    def _start_mirroring(self, action: Forward) -> None:
        """As the first attempt, shadows are told of the route's timeout, whatever that of each try."""
        timeout = self.timeouts.whole if self.timeouts is not None else 0.0
        lines = b"x-envoy-attempt-count: 1\r\n" if self.connection.settings.attempt_count_header else b""
        if timeout:
            lines += b"x-envoy-expected-rq-timeout-ms: %d\r\n" % round(timeout * 1000)
        terms = Terms(lines, timeout, grpc=self.is_grpc, http2=self.ctx.protocol == "HTTP/2")
        mirroring = Mirroring.start(self.env, self.serving, action.mirrors, self.head, terms, self.chance)
        if mirroring is None:
            return
        for chunk in self.kept:  # came while the request was held
            mirroring.on_body(chunk)
        if self.request_ended:
            mirroring.on_end()
        else:
            self._mirroring = mirroring

    def _steer(self, action: Forward) -> None:
        """An internal client, and for retries the route's own header operations, may ask for something else."""
        asked = asked_by_client(self.head) if self.internal else []
        self._set_timeouts(action, asked)
        self.retry_policy = steered(action.retry, [*asked, *asked_by_route(self.head)])

    def _set_timeouts(self, action: Forward, asked: Headers) -> None:
        grpc = self.is_grpc
        per_try = action.retry.per_try_timeout if action.retry is not None else 0.0
        if grpc or action.timeout or per_try or asked:
            head = self.head
            deadline = head.get(b"grpc-timeout") if grpc else None
            self.timeouts = found = effective_timeouts(action.timeout, per_try, asked, grpc=grpc, grpc_timeout=deadline)
            if grpc and (found.whole or found.per_try):
                self.tells_grpc_timeout = True
                if deadline is not None:
                    head.headers = [line for line in head.headers if line[0] != b"grpc-timeout"]

    def _hash_request(self, action: Forward) -> None:
        connection = self.connection
        source = self.ctx.downstream_remote_address.rpartition(":")[0].strip("[]")
        ends = (connection.remote_address + connection.local_address).encode()
        self.hash, self._cookies = request_hash(action.hash_policies, self.head, source.encode(), ends)

    def take_cluster(self, cluster: ClusterState) -> None:
        """CONNECT found where it goes."""
        self.cluster = cluster
        self.ctx.upstream_cluster = cluster.name

    # Relay

    def attempt_answered(self, attempt: Attempt, head: ResponseHead, *, end: bool) -> None:
        """The attempt has a response head: pass it on, or try again."""
        ctx = self.ctx
        if self.attempt_notes is not None:
            self.attempt_notes[-1].status = head.status
            self.attempt_notes[-1].protocol = ctx.upstream_protocol
        notable = head.notable
        policy = self.retry_policy
        if (
            policy is not None
            and (
                head.status > 399
                or b"grpc-status" in notable
                or head.status in policy.statuses
                or policy.retriable_headers
                or self.retrying
            )
            and self.tries_again_after(attempt, head)
        ):
            return
        ctx.details = "via_upstream"
        if self.upgrade and head.status < 400:
            self._refuse_handshake(attempt, head, end=end)
            return
        grpc_status = notable.get(b"grpc-status")
        if grpc_status is not None:
            ctx.grpc_status = grpc_status.decode("latin-1")
        if self.connection.settings.direction is not _INBOUND:
            ctx.peer_metadata = notable.get(b"x-envoy-peer-metadata")
        now = self.env.clock.monotonic()
        ctx.response_first_byte = now
        if self.request_ended:
            head.headers.append((b"x-envoy-upstream-service-time", b"%d" % ((now - ctx.request_body_ended) * 1000)))
        ctx.status = head.status
        if self._operating:
            self._operate(head)
        self._send_head(head, end=end)

    def _refuse_handshake(self, attempt: Attempt, head: ResponseHead, *, end: bool) -> None:
        """An upgrade answered as if it had been none: the status counts, a body could be anything."""
        self.ctx.details = "websocket_handshake_unsuccessful"
        head.notable.pop(b"content-length", None)
        head.headers = without(head.headers, b"content-length")
        if not end:
            self.drop_attempt()
        self.ctx.status = head.status
        if self._operating:
            self._operate(head)
        self._send_head(head, end=True)

    def informational(self, head: ResponseHead) -> None:
        """A 1xx from the upstream: the first is passed on, and the end of retries. Source: Envoy filter_manager.cc."""
        if self.informed or head.status not in _PASSED_ON or not self.connection.settings.proxy_100_continue:
            return
        self.informed = True
        self.replayable = False
        self.ctx.status = head.status
        if self.cluster is not None:
            self.cluster.stats.count_response(head.status)
        self.stream.send_informational(head)

    def attempt_body(self, chunk: bytes) -> None:
        """Body bytes from the upstream."""
        self.ctx.bytes_sent += len(chunk)
        self.stream.send_body(chunk)
        if self._messages is not None:
            self._messages.responses.feed(chunk)
            self._tell_messages(self._messages)

    def attempt_read_end(self) -> None:
        """All that came with one read of the upstream was told."""
        self.stream.flush()

    def attempt_ended(self) -> None:
        """The response is whole."""
        self.attempt = None
        self.stream.send_end()
        self._finish()

    def attempt_trailers(self, trailers: Headers) -> None:
        """The response is whole, and header lines end it."""
        self.attempt = None
        ctx = self.ctx
        ctx.response_trailers = trailers
        for name, value in trailers:
            if name == b"grpc-status":
                ctx.grpc_status = value.decode("latin-1")
        self.stream.send_trailers(trailers)
        self._finish()

    def attempt_broke(self, outcome: Outcome) -> None:
        """The response ended in the middle: the client must see that it did."""
        self.attempt = None
        if self.attempt_notes is not None:
            self.attempt_notes[-1].end(self.env.clock.monotonic(), outcome=outcome)
        self.ctx.add_flag(RESPONSE_FLAG[outcome])
        self.ctx.details = f"upstream_reset_after_response_started{{{outcome.value.replace(' ', '_')}}}"
        self._cut_response()

    def timed_out(self) -> None:
        """The route's timeout is over: 504, or, once the response has begun, a cut."""
        if not self.response_started:
            self.reply(replies.TIMEOUT if self.attempt is not None else replies.TIMEOUT_BETWEEN_TRIES)
            return
        self.drop_attempt()
        self.ctx.add_flag("UT")
        self.ctx.details = "response_timeout"
        self._cut_response()

    def attempt_upgraded(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """101: the two connections become one tunnel."""
        self.cancel_timers()
        self.ctx.details = "via_upstream"
        head.headers.append((b"upgrade", head.notable.get(b"upgrade", self.upgrade)))
        head.headers.append((b"connection", head.notable.get(b"connection", b"upgrade")))
        self.connection.stats.downstream_cx_upgrades_total += 1
        self.connection.stats.downstream_cx_upgrades_active += 1
        self.ctx.status = head.status
        if self._operating:
            self._operate(head)
        self._send_head(head, end=False)
        self.stream.switch_to_tunnel(attempt, rest)

    def begin_tunnel(self, host: HostState) -> None:
        """CONNECT is answered with 200."""
        self.connection.stats.downstream_cx_upgrades_total += 1
        self.connection.stats.downstream_cx_upgrades_active += 1
        self.tried.append(host)
        self.response_started = True
        self.ctx.status = 200
        self.ctx.details = "via_upstream"

    def tunnel_opened(self, tunnel: Tunnel) -> None:
        """From now on bytes pass in it."""

    def tunnel_closed(self, received: int, sent: int, *, by_client: bool) -> None:
        """Both ways of the tunnel are at their end; counts are bytes from and to the client."""
        self.connection.stats.downstream_cx_upgrades_active -= 1
        ctx = self.ctx
        ctx.bytes_received += received
        ctx.bytes_sent += sent
        self._name_tunnel_end(by_client=by_client)
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.tunnel_closed()
        self._finish()

    def _name_tunnel_end(self, *, by_client: bool) -> None:
        self.ctx.add_flag("DC" if by_client else "UC")
        self.ctx.details = "downstream_remote_disconnect" if by_client else _UPSTREAM_ENDED_TUNNEL

    def upstream_writable(self, writable: bool) -> None:
        """The upstream takes the request body slower (False) or again (True)."""
        if writable:
            self._resume()
        else:
            self._pause()

    def connected(self) -> None:
        """An attempt has its connection: what was held back may flow."""
        if not self.replayable:
            self.kept.clear()
        self._resume()

    def reply(self, reply: replies.Reply) -> None:
        """Answer from here."""
        if self.finished:  # somebody waited while the client left
            return
        ctx = self.ctx
        if reply.flag:
            if reply.flag == "UT" and self.timeouts is not None:
                reply = replies.timeout_as(reply, self.timeouts.reply_status)
            ctx.add_flag(reply.flag)
        ctx.details = reply.details
        self._charged = reply.status if reply.charged and not self.informed else 0
        self.drop_attempt()
        head = ResponseHead(reply.status, list(reply.headers))
        date = head.get(b"date")
        if date is not None:
            head.notable[b"date"] = date
        body = reply.body
        if not reply.as_is:
            if self._operating:
                self._operate(head)
            body = self._complete_reply(head, reply)
        if bodiless(head.status, self.head.method):
            body = b""
        # A 400 says that the two sides may not agree on where messages end.
        self._send_head(head, end=not body, close=reply.close or reply.status == 400)
        if body and not self.finished:
            self.attempt_body(body)
            self.stream.send_end()
            self._finish()

    def _complete_reply(self, head: ResponseHead, reply: replies.Reply) -> bytes:
        """What a reply of ours says of its body, after the route's operations; gives the body."""
        body = reply.body
        if self.is_grpc and self._web is None:  # a call of gRPC-Web gets what it makes of a plain answer
            added = replies.grpc_reply_headers(reply, message=self.head.method != b"HEAD")
            head.headers = without(head.headers, b"content-length", *(name for name, _ in added)) + added
            head.status = 200
            self.ctx.grpc_status = dict(added)[b"grpc-status"].decode()
            return b""
        if not body:
            head.headers = without(head.headers, b"content-length", b"content-type")
            return b""
        head.headers = without(head.headers, b"content-length")
        if head.get(b"content-type") is None:
            head.headers.append((b"content-type", b"text/plain"))
        if head.status != 204:
            head.notable[b"content-length"] = length = b"%d" % len(body)
            head.headers.append((b"content-length", length))
        return body

    def _operate(self, head: ResponseHead) -> None:
        """The header operations of the chosen destination, then those of the route."""
        route, destination = self.route, self._destination
        notable = head.notable
        own_server = self.connection.settings.server_name
        if not own_server and b"server" in notable:
            head.headers.append((b"server", notable.pop(b"server")))
        self.ctx.response = head
        if destination is not None and destination.response_headers is not None:
            apply_ops(head, destination.response_headers, self.ctx)
        if route is not None and route.response_headers is not None:
            apply_ops(head, route.response_headers, self.ctx)
        if own_server:
            head.headers = without(head.headers, b"server")
        notable.pop(b"date", None)
        date = head.get(b"date")
        if date is not None:
            notable[b"date"] = date

    def _send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> None:
        """The last touches of filters and connection manager, then out."""
        ctx = self.ctx
        route = self.route
        headers = head.headers
        if self._cookies:
            headers.extend((b"set-cookie", cookie) for cookie in self._cookies)
        if self.added_headers:
            headers.extend(self.added_headers)
        if self.origin and route is not None and route.cors is not None:
            headers = apply_cors(route.cors, self.origin, headers)
        if b"date" not in head.notable:
            headers.append((b"date", http_date(self.env.clock.time())))
        settings = self.connection.settings
        server = settings.server_name or head.notable.get(b"server")  # an empty name passes the upstream's own through
        if server:
            headers.append((b"server", server))
        if self.internal and ctx.request_id and FORCE_TRACE in self.head.notable:
            headers = [*without(headers, b"x-request-id"), (b"x-request-id", ctx.request_id)]
        if settings.direction is _INBOUND:
            if self._operation:
                headers.append((_DECORATOR, self._operation.encode()))
            if b"x-envoy-peer-metadata-id" in self.head.notable:
                identifier, metadata = self.env.own_metadata
                headers.append((b"x-envoy-peer-metadata-id", identifier))
                headers.append((b"x-envoy-peer-metadata", metadata))
        head.headers = headers
        ctx.response = head
        ctx.status = head.status
        self.response_started = True
        self.response_header_bytes = self.stream.send_head(head, end=end, close=close)
        if end:
            self.attempt = None
            self._finish()

    def _outgrow(self, *, sendable: bool) -> None:
        """More of the body is here than may be kept: there is no other attempt, not even one that waits its turn."""
        if self.replayable:
            self.replayable = False
            if self.retry_policy is not None and self.cluster is not None:
                self.cluster.stats.retry_or_shadow_abandoned += 1
                if self._backoff is not None:
                    self.reply(replies.RETRY_BUFFER_FULL)
                    return
        if sendable:
            self.kept.clear()
        else:
            self._pause()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.stream.pause_request()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.stream.resume_request()

    # Finish

    def _cut_response(self) -> None:
        self.connection.stats.rq_reset_after_downstream_response_started += 1
        self.stream.abort()
        self._finish()

    def _finish(self) -> None:
        """Exactly once, whatever happened: count, log, let the connection go on."""
        if self.finished:
            return
        self.finished = True
        if self._delayed:
            self._count_delayed(-1)
        if self._check is not None:
            self._check.cancel()
        self.cancel_timers()
        self.close_retry()
        if self._paused:
            self._resume()
        ctx = self.ctx
        env = self.env
        now = env.clock.monotonic()
        ctx.response_body_ended = now
        ctx.response_header_bytes = self.response_header_bytes
        if ctx.grpc_status is not None or b"content-type" in self.head.notable:
            self._settle_grpc_status()
        connection = self.connection
        connection.stats.count_response(ctx.status)
        connection.stats.downstream_rq_active -= 1
        cluster = self.cluster
        if cluster is not None:
            charged = ctx.status if self._charged < 0 else self._charged
            if charged:
                cluster.stats.count_response(charged)
        env.metrics.record_http(
            ctx,
            direction=connection.settings.direction,
            cluster=cluster.cluster if cluster is not None else None,
            endpoint=self.tried[-1].endpoint if self.tried else None,
            duration=now - ctx.started,
            request_bytes=ctx.request_header_bytes + ctx.bytes_received,
            response_bytes=self.response_header_bytes + ctx.bytes_sent,
        )
        if self._messages is not None:
            self._tell_messages(self._messages, last=True)
        if env.access_log is not None:
            env.access_log.log(ctx, connection.settings.direction)
        if env.spans is not None:
            env.spans.finish(self)
        self.stream.exchange_finished()

    def _settle_grpc_status(self) -> None:
        """For log and metrics: what a call's service said, else what the HTTP status means. Envoy grpc/common.cc."""
        ctx = self.ctx
        if not self.is_grpc:
            ctx.grpc_status = None
        elif not ctx.grpc_status and ctx.status:
            ctx.grpc_status = str(replies.GRPC_OF_HTTP.get(ctx.status, 2))

    def _tell_messages(self, messages: Messages, *, last: bool = False) -> None:
        """Every few seconds, and at the end, the metrics hear of what passed since."""
        env = self.env
        now = env.clock.monotonic()
        if now - messages.told_at < self.serving.snapshot.telemetry.metrics_interval and not last:
            return
        requests, responses = messages.untold(now)
        cluster = self.cluster
        env.metrics.record_messages(
            self.ctx,
            direction=self.connection.settings.direction,
            cluster=cluster.cluster if cluster is not None else None,
            endpoint=self.tried[-1].endpoint if self.tried else None,
            request_messages=requests,
            response_messages=responses,
        )


_date = (0, b"")


def http_date(now: float) -> bytes:
    """The date header's value; made once a second."""
    global _date
    second = int(now)
    if _date[0] != second:
        _date = second, formatdate(second, usegmt=True).encode()
    return _date[1]
