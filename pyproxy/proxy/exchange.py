"""One request and its response, from head to access log: route, admit, attempt, relay, finish.

Everything is decided synchronously in the callbacks of the two protocols; no task is started for a request. The
client side is a `ClientStream`, the upstream side an `Attempt`; a retry is a second `Attempt`.
"""

from __future__ import annotations

import asyncio
import logging
from email.utils import formatdate
from typing import Protocol

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.loop import spawn
from pyproxy.core.outcome import RESPONSE_FLAG, Outcome
from pyproxy.policy.cors import allowed_origin, apply_cors, preflight_headers
from pyproxy.policy.fault import roll_abort, roll_delay
from pyproxy.policy.hashing import request_hash
from pyproxy.policy.retry import RetryPolicy, RetryState
from pyproxy.policy.timeouts import Timeouts, effective_timeouts, expected_timeout_ms
from pyproxy.policy.weights import choose_weighted
from pyproxy.proxy import replies
from pyproxy.proxy.attempt import Attempt
from pyproxy.proxy.environment import ClientConnection, Environment, split_authority
from pyproxy.proxy.headers import apply_ops, mutate_request, rewrite_target, trusted_client
from pyproxy.proxy.mirror import Mirroring
from pyproxy.proxy.redirects import location_of
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.runtime.live import Serving
from pyproxy.snapshot.model import (
    Destination,
    Direction,
    DirectResponse,
    Discovery,
    Forward,
    PathNormalization,
    Redirect,
    Route,
)
from pyproxy.telemetry.request_id import ensure_request_id
from pyproxy.telemetry.trace_headers import continue_trace
from pyproxy.wire.paths import normalize

RETRY_BUFFER = 1024 * 1024
"""Bytes of a request body kept for another attempt (Envoy per_connection_buffer_limit_bytes)."""
UNSENT_BUFFER = 64 * 1024
"""Bytes of a body taken from the client while there is no connection to send them on."""
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_log = logging.getLogger("pyproxy.proxy")


class ClientStream(Protocol):
    """What an exchange may ask of the protocol that carries it."""

    def send_informational(self, head: ResponseHead) -> None:
        """A 1xx."""
        ...

    def send_head(self, head: ResponseHead, *, end: bool, close: bool = False) -> int:
        """The response head; gives the bytes it took. `end`: no body follows. `close`: the connection ends with it."""
        ...

    def send_body(self, chunk: bytes) -> None:
        """Body bytes."""
        ...

    def send_end(self) -> None:
        """The body is whole."""
        ...

    def abort(self) -> None:
        """The response cannot be finished: cut the connection."""
        ...

    def pause_request(self) -> None:
        """Read no more of the request."""
        ...

    def resume_request(self) -> None:
        """Read on."""
        ...

    def switch_to_tunnel(self, attempt: Attempt, rest: bytes) -> None:
        """101 was sent: from now on bytes pass both ways."""
        ...

    def exchange_finished(self) -> None:
        """Called once, when nothing more will be asked."""
        ...


class Exchange:
    """One request and its response."""

    # Defaults on the class: a fresh exchange costs what differs.
    _attempt: Attempt | None = None
    _retry: RetryState | None = None
    _timer: asyncio.TimerHandle | None = None
    _backoff: asyncio.TimerHandle | None = None
    _mirroring: Mirroring | None = None
    _cluster: ClusterState | None = None
    _destination: Destination | None = None
    _hash: int | None = None
    _kept_size = 0
    _replayable = True
    _paused = False
    _fresh_tries = 0
    _cookies: tuple[bytes, ...] = ()
    """Made by consistentHash.httpCookie for a client that has none."""
    _origin = b""
    """The CORS origin that may read the response."""
    _timeouts: Timeouts | None = None
    _traced = False
    route: Route | None = None
    upgrade = b""
    """The protocol that the client wants to switch to; empty when none."""
    request_ended = False
    response_started = False
    response_header_bytes = 0
    finished = False

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
        clock = env.clock
        self.ctx = RequestContext(head, clock.monotonic(), clock.time())
        self.kept: list[bytes] = []
        self.tried: list[HostState] = []

    # From the client's protocol

    def start(self, *, end: bool) -> None:
        """Route and admit the request; `end`: it has no body."""
        ctx = self.ctx
        connection = self.connection
        self._serving = serving = self.env.live.serving
        ctx.connection_id = connection.identifier
        ctx.downstream_local_address = connection.local_address
        ctx.downstream_remote_address = ctx.direct_remote_address = connection.remote_address
        if end:
            self.request_ended = True
            ctx.request_body_ended = ctx.started
        try:
            reply = self._route_request(serving)
            if reply is not None:
                self.reply(reply)
        except Exception:  # our bug must not take the connection's other requests with it
            _log.exception("an exchange failed")
            if not self.finished and not self.response_started:
                self.reply(replies.INTERNAL_ERROR)

    def on_body(self, chunk: bytes) -> None:
        """Body bytes from the client."""
        if self.finished:
            return
        self.ctx.bytes_received += len(chunk)
        if self._mirroring is not None:
            self._mirroring.on_body(chunk)
        attempt = self._attempt
        sending = attempt is not None and attempt.connection is not None
        if self._replayable:
            self.kept.append(chunk)
            self._kept_size += len(chunk)
            if self._kept_size > RETRY_BUFFER and sending:
                self._replayable = False
                self.kept.clear()
                if self._cluster is not None and self.route is not None:
                    self._cluster.stats.retry_or_shadow_abandoned += 1
        if sending:
            attempt.send_body(chunk)  # type: ignore[union-attr] - sending says that it is there
        elif self._kept_size > UNSENT_BUFFER:
            self._pause()

    def on_request_end(self) -> None:
        """The request is whole."""
        if self.request_ended or self.finished:
            return
        self.request_ended = True
        self.ctx.request_body_ended = self.env.clock.monotonic()
        if self._mirroring is not None:
            self._mirroring.on_end()
        if self._attempt is not None:
            self._attempt.end_request()
            self._start_timeout()

    def on_client_gone(self) -> None:
        """The client closed: nobody waits for the response."""
        if self.finished:
            return
        self.ctx.add_flag("DC")
        self.ctx.details = "downstream_remote_disconnect"
        self._drop_attempt()
        self._finish()

    def on_client_writable(self, writable: bool) -> None:
        """The client reads slower (False) or again (True)."""
        if self._attempt is not None:
            self._attempt.pause_response(not writable)

    # Route and admit

    def _route_request(self, serving: Serving) -> replies.Reply | None:
        head = self.head
        ctx = self.ctx
        connection = self.connection
        settings = connection.settings
        notable = head.notable
        if not head.authority and b":host" not in notable:
            return replies.MISSING_HOST
        if head.method == b"CONNECT":
            return replies.NO_ROUTE_FOR_CONNECT
        if head.target[:1] != b"/":
            return replies.NOT_A_PATH
        if settings.path_normalization is not PathNormalization.NONE:
            target = normalize(
                head.target,
                merge_slashes=settings.path_normalization is not PathNormalization.BASE,
                decode_slashes=settings.path_normalization is PathNormalization.DECODE_AND_MERGE_SLASHES,
            )
            if target is None:
                return replies.BAD_PATH
            if target is not head.target:
                head.target = target
                head.path = target.partition(b"?")[0]
        forwarded = notable.get(b"x-forwarded-for")
        if forwarded is not None or settings.use_remote_address:
            client = trusted_client(forwarded or b"", connection.remote_ip, settings)
            if client != connection.remote_ip:
                ctx.downstream_remote_address = f"{client}:0"
        mutate_request(head, settings, connection.remote_ip, connection.tls)
        ctx.request_id, self._traced = ensure_request_id(
            head.headers, notable, serving.snapshot.tracing, self.env.rng, generate=settings.generate_request_id
        )
        split = split_authority(head.authority)
        if split is None:
            return replies.codec_error(400, "http.invalid_authority")
        virtual_host = connection.virtual_host(serving.snapshot, split[0], split[1])
        if virtual_host is None:
            return replies.NO_ROUTE
        ctx.virtual_host = virtual_host.name
        route = virtual_host.route_for(head)
        if route is None:
            return replies.NO_ROUTE
        self.route = route
        ctx.route_name = route.name
        return self._admit(route)

    def _admit(self, route: Route) -> replies.Reply | None:
        notable = self.head.notable
        if b"upgrade" in notable and b":upgrade" in notable:
            if notable[b"upgrade"].lower() != b"websocket":
                return replies.UPGRADE_FAILED
            self.upgrade = notable[b"upgrade"]
        fault = route.fault
        if fault is not None:
            delay = roll_delay(fault, self.env.rng)
            if delay:
                self.ctx.add_flag("DI")
                self.connection.stats.fault_delays_injected += 1
                loop = asyncio.get_running_loop()
                self._backoff = loop.call_later(delay, self._after_delay, route)
                return None
        return self._admitted(route)

    def _after_delay(self, route: Route) -> None:
        self._backoff = None
        reply = self._admitted(route)
        if reply is not None:
            self.reply(reply)

    def _admitted(self, route: Route) -> replies.Reply | None:
        """Past the delay: abort, preflight, then the router."""
        fault = route.fault
        if fault is not None and roll_abort(fault, self.env.rng):
            self.connection.stats.fault_aborts_injected += 1
            return replies.Reply(
                fault.abort_status or 200,
                replies.FAULT_BODY,
                flag="FI",
                details=replies.FAULT_DETAILS,
                grpc_status=fault.abort_grpc_status,
            )
        if route.cors is not None:
            preflight = preflight_headers(route.cors, self.head)
            if preflight is not None:
                return replies.Reply(200, details="cors.response", headers=tuple(preflight))
            self._origin = allowed_origin(route.cors, self.head)
        action = route.action
        if type(action) is Forward:
            return self._forward(route, action)
        return self._answer(route, action)  # type: ignore[arg-type] - one of the two that are left

    def _answer(self, route: Route, action: Redirect | DirectResponse) -> replies.Reply:
        """Redirects and direct responses."""
        if isinstance(action, DirectResponse):
            self.connection.stats.rq_direct_response += 1
            return replies.Reply(action.status, action.body, details="direct_response")
        self.connection.stats.rq_redirect += 1
        location = location_of(action, route, self.head, self.connection.local_port)
        return replies.Reply(action.status, details="direct_response", headers=((b"location", location),))

    def _forward(self, route: Route, action: Forward) -> replies.Reply | None:
        """Choose the destination and make the request what the upstream shall see."""
        destinations = action.destinations
        destination = destinations[0]
        if len(destinations) > 1:
            destination = destinations[choose_weighted(action.cumulative, self.env.rng)]
        cluster = self._serving.clusters.get(destination.cluster)
        if cluster is None:
            return replies.NO_CLUSTER
        self._cluster = cluster
        self._destination = destination
        ctx = self.ctx
        ctx.upstream_cluster = destination.cluster
        head = self.head
        inbound = self.connection.settings.direction is Direction.INBOUND
        ctx.trace = continue_trace(
            head.headers, head.notable, self._serving.snapshot.tracing, self.env.rng, traced=self._traced
        )
        if inbound:
            ctx.peer_metadata = head.notable.get(b"x-envoy-peer-metadata")
        if action.hash_policies:
            self._hash_request(action)
        if destination.request_headers is not None:
            head.headers = apply_ops(head.headers, destination.request_headers, ctx)
        if route.request_headers is not None:
            head.headers = apply_ops(head.headers, route.request_headers, ctx)
        self._rewrite(action, destination)
        retry = action.retry
        grpc = self._is_grpc()
        if action.timeout or grpc or (retry is not None and retry.per_try_timeout):
            self._timeouts = effective_timeouts(
                action.timeout,
                retry.per_try_timeout if retry is not None else 0.0,
                [],
                grpc=grpc,
                grpc_timeout=head.get(b"grpc-timeout") if grpc else None,
            )
        if action.mirrors:
            self._mirroring = Mirroring.start(self.env, self._serving, action.mirrors, head, ended=self.request_ended)
        self._next_attempt()
        return None

    def _hash_request(self, action: Forward) -> None:
        connection = self.connection
        source = self.ctx.downstream_remote_address.rpartition(":")[0].strip("[]")
        ends = (connection.remote_address + connection.local_address).encode()
        self._hash, self._cookies = request_hash(action.hash_policies, self.head, source.encode(), ends)

    def _rewrite(self, action: Forward, destination: Destination) -> None:
        head = self.head
        template = action.rewrite_authority or destination.host_rewrite
        if template is not None:
            authority = template(self.ctx)
            if authority and authority != head.authority:
                head.headers.append((b"x-envoy-original-host", head.authority))
                self.ctx.original_authority = head.authority
                head.authority = authority
        if action.rewrite_path is not None:
            target = rewrite_target(head.target, action.rewrite_path)
            if target != head.target:
                head.headers.append((b"x-envoy-original-path", head.target))
                self.ctx.original_target = head.target
                head.target = target

    # Attempt

    def _next_attempt(self, *, fresh: bool = False) -> None:
        """Pick a host and try it; `fresh`: on a connection that has carried nothing yet."""
        cluster = self._cluster
        assert cluster is not None
        ctx = self.ctx
        ctx.attempts += not fresh
        if not cluster.ready:
            cluster.on_ready.append(self._when_ready)
            return
        if cluster.cluster.discovery is Discovery.ORIGINAL_DST:
            self._attempt_original_destination(cluster, fresh=fresh)
            return
        host = self.tried[-1] if fresh else self._pick(cluster)
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
            self.reply(replies.NO_HEALTHY_UPSTREAM)
            return
        self._attempt_host(host, fresh=fresh)

    def _pick(self, cluster: ClusterState) -> HostState | None:
        if not self.tried:
            return cluster.pick(self._hash)
        policy = self._retry_policy()
        if policy is None or not policy.avoid_previous_hosts:
            return cluster.pick(self._hash)
        return cluster.pick(
            self._hash, self.tried, policy.host_selection_attempts, other_levels=policy.retry_remote_localities
        )

    def _retry_policy(self) -> RetryPolicy | None:
        action = self.route.action if self.route is not None else None
        return action.retry if type(action) is Forward else None

    def _when_ready(self) -> None:
        if not self.finished:
            self.ctx.attempts -= 1
            self._next_attempt()

    def _attempt_host(self, host: HostState, *, fresh: bool = False) -> None:
        self.tried.append(host)
        self._attempt = attempt = Attempt(self, host)
        self.ctx.upstream_host = host.key
        attempt.begin(fresh=fresh)
        if self.request_ended and self._timer is None:
            self._start_timeout()

    def _attempt_original_destination(self, cluster: ClusterState, *, fresh: bool) -> None:
        """Where the client was going: the redirected address, or else what the authority names."""
        if fresh:
            self._attempt_host(self.tried[-1], fresh=True)
            return
        target = self.connection.original_destination
        if target is not None and (target not in self.env.own_addresses):
            self._attempt_host(cluster.original_destination(target[0], cluster.cluster.original_port or target[1]))
            return
        host, port = split_authority(self.head.authority) or (b"", None)
        spawn(self._attempt_name(cluster, host.decode("latin-1"), port or 80), name="resolve original destination")

    async def _attempt_name(self, cluster: ClusterState, host: str, port: int) -> None:
        addresses = await self.env.resolve(host.strip("[]"))
        if self.finished:
            return
        port = cluster.cluster.original_port or port
        if not addresses or (addresses[0], port) in self.env.own_addresses:
            self.reply(replies.NO_HEALTHY_UPSTREAM)
            return
        self._attempt_host(cluster.original_destination(addresses[0], port))

    def attempt_failed(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """The attempt ended without a response head."""
        if attempt is not self._attempt or self.finished:
            return
        self._attempt = None
        ctx = self.ctx
        ctx.upstream_transport_failure = reason if outcome is not Outcome.PROTOCOL_ERROR else ""
        if self._may_repeat_on_fresh_connection(attempt, outcome):
            self._fresh_tries += 1
            self._next_attempt(fresh=True)
            return
        policy = self._retry_policy()
        if policy is not None and self._replayable:
            state = self._retry_state()
            delay = state.after_failure(outcome, request_sent=attempt.sent)
            if delay is not None:
                self._retry_after(delay)
                return
            self._note_retry_end(state)
        self.reply(replies.upstream_failure(outcome, reason, retried=ctx.attempts > 1))

    def _may_repeat_on_fresh_connection(self, attempt: Attempt, outcome: Outcome) -> bool:
        """The peer closed a kept connection just as we used it: nobody's fault, and no retry of the policy's."""
        return (
            outcome is Outcome.CONNECTION_TERMINATION
            and attempt.reused
            and self._replayable
            and self._fresh_tries < 1
            and self.head.method in _IDEMPOTENT
        )

    def _retry_state(self) -> RetryState:
        if self._retry is None:
            assert self.route is not None and isinstance(self.route.action, Forward)
            assert self.route.action.retry is not None
            assert self._cluster is not None
            self._retry = RetryState(self.route.action.retry, self.env.rng, self._cluster.ceilings)
        return self._retry

    def _note_retry_end(self, state: RetryState) -> None:
        """No other attempt: count why."""
        assert self._cluster is not None
        stats = self._cluster.stats
        if state.exhausted:
            self.ctx.add_flag("URX")
            stats.upstream_rq_retry_limit_exceeded += 1
        elif state.overflowed:
            self.ctx.add_flag("UO")
            stats.upstream_rq_retry_overflow += 1
        elif state.succeeded:
            stats.upstream_rq_retry_success += 1

    def _retry_after(self, delay: float) -> None:
        assert self._cluster is not None
        self._cluster.stats.upstream_rq_retry += 1
        self._cluster.stats.upstream_rq_retry_backoff_exponential += 1
        if delay <= 0:
            self._next_attempt()
        else:
            self._backoff = asyncio.get_running_loop().call_later(delay, self._after_backoff)

    def _after_backoff(self) -> None:
        self._backoff = None
        self._next_attempt()

    def attempt_answered(self, attempt: Attempt, head: ResponseHead, *, end: bool) -> None:
        """The attempt has a response head: pass it on, or try again."""
        route = self.route
        assert route is not None
        ctx = self.ctx
        notable = head.notable
        if self._try_again_after(attempt, head):
            return
        ctx.details = "via_upstream"
        grpc_status = notable.get(b"grpc-status")
        if grpc_status is not None:
            ctx.grpc_status = grpc_status.decode("latin-1")
        settings = self.connection.settings
        if settings.direction is not Direction.INBOUND:
            ctx.peer_metadata = notable.get(b"x-envoy-peer-metadata")
        now = self.env.clock.monotonic()
        ctx.response_first_byte = now
        headers = head.headers
        if self.request_ended:
            headers.append((b"x-envoy-upstream-service-time", b"%d" % ((now - ctx.request_body_ended) * 1000)))
        destination = self._destination
        if destination is not None and destination.response_headers is not None:
            ctx.response = head
            headers = apply_ops(headers, destination.response_headers, ctx)
        self._send_head(head, headers, end=end)

    def _try_again_after(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether the retry policy takes another attempt in place of this response."""
        policy = self._retry_policy()
        status = head.status
        if policy is None or not self._replayable:
            return False
        if not (status > 399 or status in policy.statuses or b"grpc-status" in head.notable or self._retry is not None):
            return False
        state = self._retry_state()
        delay = state.after_response(status, head.headers)
        if delay is None:
            self._note_retry_end(state)
            return False
        attempt.discard()
        self._attempt = None
        self._retry_after(delay)
        return True

    def informational(self, head: ResponseHead) -> None:
        """A 1xx from the upstream: passed on, and the end of retries."""
        if self.connection.settings.proxy_100_continue and not self.response_started:
            self._replayable = False
            self.stream.send_informational(head)

    def attempt_body(self, chunk: bytes) -> None:
        """Body bytes from the upstream."""
        self.ctx.bytes_sent += len(chunk)
        self.stream.send_body(chunk)

    def attempt_ended(self) -> None:
        """The response is whole."""
        self._attempt = None
        self.stream.send_end()
        self._finish()

    def attempt_broke(self, outcome: Outcome) -> None:
        """The response ended in the middle: the client must see that it did."""
        self._attempt = None
        self.ctx.add_flag(RESPONSE_FLAG[outcome])
        self.ctx.details = f"upstream_reset_after_response_started{{{outcome.value.replace(' ', '_')}}}"
        self.stream.abort()
        self._finish()

    def attempt_upgraded(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """101: the two connections become one tunnel."""
        self._cancel_timers()
        self.ctx.details = "via_upstream"
        head.headers.append((b"upgrade", head.notable.get(b"upgrade", self.upgrade)))
        head.headers.append((b"connection", b"upgrade"))
        self._send_head(head, head.headers, end=False)
        self.stream.switch_to_tunnel(attempt, rest)

    def tunnel_closed(self, received: int, sent: int) -> None:
        """Both ways of the tunnel are at their end; counts are bytes from and to the client."""
        self.ctx.bytes_received += received
        self.ctx.bytes_sent += sent
        self._attempt = None
        self._finish()

    def take_cluster(self, cluster: ClusterState) -> None:
        """CONNECT found where it goes."""
        self._cluster = cluster
        self.ctx.upstream_cluster = cluster.name

    def begin_tunnel(self, host: HostState) -> None:
        """CONNECT is answered with 200."""
        self.tried.append(host)
        self.response_started = True
        self.ctx.status = 200
        self.ctx.details = "via_upstream"

    def upstream_writable(self, writable: bool) -> None:
        """The upstream takes the request body slower (False) or again (True)."""
        if writable:
            self._resume()
        else:
            self._pause()

    # Relay

    def reply(self, reply: replies.Reply) -> None:
        """Answer from here."""
        ctx = self.ctx
        if reply.flag:
            ctx.add_flag(reply.flag)
        ctx.details = reply.details
        self._drop_attempt()
        body = reply.body
        notable: dict[bytes, bytes] = {}
        if self._is_grpc() and reply.details != "direct_response":
            status, headers, body = 200, replies.grpc_reply_headers(reply), b""
            ctx.grpc_status = dict(headers)[b"grpc-status"].decode()
        else:
            status, headers = reply.status, list(reply.headers)
            if body:
                notable[b"content-length"] = b"%d" % len(body)
                headers.append((b"content-length", notable[b"content-length"]))
                if not any(name == b"content-type" for name, _ in headers):
                    headers.append((b"content-type", b"text/plain"))
        if self.head.method == b"HEAD":
            body = b""
        head = ResponseHead(status, headers, notable)
        self._send_head(head, headers, end=not body, close=reply.close)
        if body and not self.finished:
            self.attempt_body(body)
            self.stream.send_end()
            self._finish()

    def _is_grpc(self) -> bool:
        kind = self.head.notable.get(b"content-type")
        return kind is not None and kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+", b";")

    def _send_head(self, head: ResponseHead, headers: Headers, *, end: bool, close: bool = False) -> None:
        """The last touches of route and connection manager, then out."""
        ctx = self.ctx
        route = self.route
        if route is not None and route.response_headers is not None:
            ctx.response = head
            ctx.status = head.status
            headers = apply_ops(headers, route.response_headers, ctx)
        if self._cookies:
            headers.extend((b"set-cookie", cookie) for cookie in self._cookies)
        if self._origin and route is not None and route.cors is not None:
            headers = apply_cors(route.cors, self._origin, headers)
        if b"date" not in head.notable:
            headers.append((b"date", http_date(ctx.started_at)))
        settings = self.connection.settings
        headers.append((b"server", settings.server_name))
        if settings.direction is Direction.INBOUND and b"x-envoy-peer-metadata-id" in self.head.notable:
            identifier, metadata = self.env.own_metadata
            headers.append((b"x-envoy-peer-metadata-id", identifier))
            headers.append((b"x-envoy-peer-metadata", metadata))
        head.headers = headers
        ctx.response = head
        ctx.status = head.status
        self.response_started = True
        self.response_header_bytes = self.stream.send_head(head, end=end, close=close)
        if end:
            self._attempt = None
            self._finish()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.stream.pause_request()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.stream.resume_request()

    def connected(self) -> None:
        """An attempt has its connection: what was held back may flow."""
        self._resume()

    # Timeouts

    def _start_timeout(self) -> None:
        timeouts = self._timeouts
        if timeouts is not None and timeouts.whole:
            self._timer = asyncio.get_running_loop().call_later(timeouts.whole, self._on_timeout)

    def expected_timeout_ms(self) -> int:
        """What the next attempt is told of the time that is left; 0: nothing."""
        timeouts = self._timeouts
        if timeouts is None:
            return 0
        ended = self.ctx.request_body_ended
        return expected_timeout_ms(timeouts, self.env.clock.monotonic() - ended if ended else 0.0)

    @property
    def per_try_timeout(self) -> float:
        """Seconds that one attempt may take; 0 is none."""
        return self._timeouts.per_try if self._timeouts is not None else 0.0

    def _on_timeout(self) -> None:
        self._timer = None
        if self.finished:
            return
        if self._cluster is not None:
            self._cluster.stats.upstream_rq_timeout += 1
        if self._attempt is not None:
            self._attempt.host.stats.rq_timeout += 1
        if not self.response_started:
            self.reply(replies.TIMEOUT)
            return
        self._drop_attempt()
        self.ctx.add_flag("UT")
        self.ctx.details = "response_timeout"
        self.stream.abort()
        self._finish()

    def _cancel_timers(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None

    # Finish

    def _drop_attempt(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.discard()

    def _finish(self) -> None:
        """Exactly once, whatever happened: count, log, let the connection go on."""
        if self.finished:
            return
        self.finished = True
        if self._timer is not None or self._backoff is not None:
            self._cancel_timers()
        if self._retry is not None:
            self._retry.close()
        if self._paused:
            self._resume()
        ctx = self.ctx
        env = self.env
        now = env.clock.monotonic()
        ctx.response_body_ended = now
        ctx.response_header_bytes = self.response_header_bytes
        connection = self.connection
        connection.stats.count_response(ctx.status)
        cluster = self._cluster
        if cluster is not None:
            cluster.stats.count_response(ctx.status)
        env.metrics.record_http(
            ctx,
            direction=connection.settings.direction,
            cluster=cluster.cluster if cluster is not None else None,
            endpoint=self.tried[-1].endpoint if self.tried else None,
            duration=now - ctx.started,
            request_bytes=ctx.request_header_bytes + ctx.bytes_received,
            response_bytes=self.response_header_bytes + ctx.bytes_sent,
        )
        if env.access_log is not None:
            env.access_log.log(ctx)
        self.stream.exchange_finished()


_date = (0, b"")


def http_date(now: float) -> bytes:
    """The date header's value; made once a second."""
    global _date
    second = int(now)
    if _date[0] != second:
        _date = second, formatdate(second, usegmt=True).encode()
    return _date[1]
