"""Phase attempt: pick a host, try it, try again where policy allows. An exchange's half that faces the upstream."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from pyproxy.core.context import RequestContext
from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.loop import spawn
from pyproxy.core.outcome import Outcome
from pyproxy.policy.retry import TOO_EARLY, RetryPolicy, RetryState
from pyproxy.policy.timeouts import Timeouts, expected_timeout_ms
from pyproxy.proxy import replies
from pyproxy.proxy.attempt import Attempt
from pyproxy.proxy.environment import ClientConnection, Environment, split_authority
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import Discovery, Route

if TYPE_CHECKING:
    from pyproxy.telemetry.spans import AttemptNotes

_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


_ORIGINAL_DST: Final = Discovery.ORIGINAL_DST


class Forwarder:
    """What an exchange keeps and does to get a response head from an upstream."""

    # Defaults on the class: a fresh exchange costs what differs.
    attempt: Attempt | None = None
    route: Route | None = None
    cluster: ClusterState | None = None
    hash: int | None = None
    replayable = True
    """The request's body, as far as it came, is all kept: another attempt may send it again."""
    upgrade = b""
    """The protocol that the client wants to switch to; empty when none."""
    request_ended = False
    request_trailers: Headers | None = None
    response_started = False
    finished = False
    operation_line = b""
    """The header line that names the route's operation to the next proxy."""
    informed = False
    """A 1xx went to the client."""
    reading = False
    """A read of the client's bytes is being parsed: what goes upstream leaves when it is through."""
    timeouts: Timeouts | None = None
    tells_grpc_timeout = False
    """A gRPC request with a timeout: each attempt is told of it in grpc-timeout too."""
    retry_policy: RetryPolicy | None = None
    upstream_spans = False
    """Each attempt has a span of its own, and its upstream is told of that."""
    attempt_notes: list[AttemptNotes] | None = None
    """Of the attempts so far, where `upstream_spans`."""
    _retry: RetryState | None = None
    _timer: asyncio.TimerHandle | None = None
    _backoff: asyncio.TimerHandle | None = None
    _fresh_tries = 0

    env: Environment
    connection: ClientConnection
    head: RequestHead
    ctx: RequestContext
    kept: list[bytes]
    """The request's body, for the attempts to come."""
    tried: list[HostState]

    @property
    def chance(self) -> random.Random | None:
        """The stream of this request's route, under a seed: None means that the worker's serves."""
        streams, route = self.env.streams, self.route
        if streams is None or route is None:
            return None
        return streams.route(self.ctx.virtual_host, f"{route.name} {route.description}")

    @property
    def is_grpc(self) -> bool:
        """By the request's content-type, which may not be grpc-web."""
        kind = self.head.notable.get(b"content-type")
        return kind is not None and kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+")

    # What the rest of an exchange does

    def reply(self, reply: replies.Reply) -> None:
        """Answer from here."""
        raise NotImplementedError

    def begin_attempt_span(self, host: HostState) -> None:
        """The next attempt is told of a span of its own."""
        raise NotImplementedError

    def is_over(self) -> bool:
        """Whether it finished, perhaps while somebody waited."""
        return self.finished

    # Pick

    def next_attempt(self, *, fresh: bool = False) -> None:
        """Pick a host and try it; `fresh`: the last one again, on a connection that has carried nothing yet."""
        cluster = self.cluster
        assert cluster is not None
        if fresh:
            self._attempt_host(self.tried[-1], fresh=True)
            return
        if not cluster.ready:
            cluster.on_ready.append(self._when_ready)
            return
        self.ctx.attempts += 1
        if cluster.cluster.discovery is _ORIGINAL_DST:
            self._attempt_original_destination(cluster)
            return
        host = cluster.pick(self.hash, chance=self.chance) if not self.tried else self._pick_another(cluster)
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
            self.reply(replies.NO_HEALTHY_UPSTREAM)
            return
        self._attempt_host(host)

    def _pick_another(self, cluster: ClusterState) -> HostState | None:
        policy = self.retry_policy
        if policy is None:
            return cluster.pick(self.hash, chance=self.chance)
        reselections = policy.host_selection_attempts if policy.avoid_previous_hosts else 0
        elsewhere = policy.retry_remote_localities
        return cluster.pick(self.hash, self.tried, reselections, other_levels=elsewhere, chance=self.chance)

    def _when_ready(self) -> None:
        if not self.finished:
            self.next_attempt()

    def _attempt_host(self, host: HostState, *, fresh: bool = False) -> None:
        if self.tried:
            self.ctx.upstream_transport_failure = ""  # of the attempt before
        self.tried.append(host)
        if self.upstream_spans and not fresh:
            self.begin_attempt_span(host)
        self.attempt = attempt = Attempt(self, host)
        self.ctx.upstream_host = host.key
        attempt.begin(fresh=fresh)

    def _attempt_original_destination(self, cluster: ClusterState) -> None:
        """Where the client was going: the redirected address, or else what the authority names."""
        target = self.connection.original_destination
        if target is not None and target not in self.env.own_addresses:
            self._attempt_host(cluster.original_destination(target[0], cluster.cluster.original_port or target[1]))
            return
        endpoints = cluster.cluster.endpoints
        if endpoints:  # a headless service, called by a client that was not captured
            chosen = endpoints[int((self.chance or self.env.rng).random() * len(endpoints))]
            self._attempt_host(cluster.original_destination(chosen.address, chosen.port))
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

    # Again or not

    def attempt_failed(self, attempt: Attempt, outcome: Outcome, reason: str) -> None:
        """The attempt ended without a response head."""
        if attempt is not self.attempt or self.finished:
            return
        self.attempt = None
        ctx = self.ctx
        ctx.upstream_transport_failure = reason
        if self._may_repeat_on_fresh_connection(attempt, outcome):
            self._fresh_tries += 1
            self.next_attempt(fresh=True)
            return
        if self.attempt_notes is not None:
            if attempt.sent:
                self.attempt_notes[-1].protocol = ctx.upstream_protocol
            self.attempt_notes[-1].end(self.env.clock.monotonic(), outcome=outcome)
        if self.retry_policy is not None and self.replayable:
            state = self._retry_state(self.retry_policy)
            delay = state.after_failure(outcome, request_sent=attempt.sent)
            if delay is not None:
                self._retry_after(delay)
                return
            self._note_retry_end(state)
        self.reply(replies.upstream_failure(outcome, reason, retried=ctx.attempts > 1, started=self.informed))

    def _may_repeat_on_fresh_connection(self, attempt: Attempt, outcome: Outcome) -> bool:
        """The peer closed a kept connection just as we used it: nobody's fault, and no retry of the policy's."""
        return (
            outcome is Outcome.CONNECTION_TERMINATION
            and attempt.reused
            and self.replayable
            and self._fresh_tries < 1
            and self.head.method in _IDEMPOTENT
        )

    def tries_again_after(self, attempt: Attempt, head: ResponseHead) -> bool:
        """Whether the retry policy takes another attempt in place of this response."""
        policy = self.retry_policy
        assert policy is not None
        if not self.replayable:
            return False
        state = self._retry_state(policy)
        delay = state.after_response(head.status, head.headers)
        if delay is None:
            self._note_retry_end(state)
            return False
        assert self.cluster is not None
        self.cluster.stats.count_retried_response(head.status)
        if self.attempt_notes is not None:
            self.attempt_notes[-1].end(self.env.clock.monotonic(), cancelled=True)
        attempt.discard()
        self.attempt = None
        self._retry_after(delay, waits=head.status != TOO_EARLY)
        return True

    @property
    def retrying(self) -> bool:
        """A retry was decided before: how it ended must be noted."""
        return self._retry is not None

    def _retry_state(self, policy: RetryPolicy) -> RetryState:
        if self._retry is None:
            assert self.cluster is not None
            self._retry = RetryState(policy, self.chance or self.env.rng, self.cluster.ceilings)
        return self._retry

    def _note_retry_end(self, state: RetryState) -> None:
        """No other attempt: count why."""
        assert self.cluster is not None
        stats = self.cluster.stats
        if state.exhausted:
            self.ctx.add_flag("URX")
            stats.upstream_rq_retry_limit_exceeded += 1
        elif state.overflowed:
            self.ctx.add_flag("UO")
            stats.upstream_rq_retry_overflow += 1
        elif state.succeeded:
            stats.upstream_rq_retry_success += 1

    def _retry_after(self, delay: float, *, waits: bool = True) -> None:
        # By a timer even for 0: a connection that has just answered is back in its pool by then.
        self._backoff = asyncio.get_running_loop().call_later(delay, self._after_backoff, waits)

    def _after_backoff(self, waited: bool) -> None:
        assert self.cluster is not None
        self.cluster.stats.upstream_rq_retry += 1
        self.cluster.stats.upstream_rq_retry_backoff_exponential += waited
        self._backoff = None
        self.next_attempt()

    # Timeouts

    def start_timeout(self) -> None:
        """The request is whole: from now on the route's timeout runs, over all attempts and back-offs."""
        timeouts = self.timeouts
        if timeouts is not None and timeouts.whole and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(timeouts.whole, self._on_timeout)

    def expected_timeout_ms(self) -> int:
        """What the next attempt is told of the time that is left; 0: nothing."""
        timeouts = self.timeouts
        if timeouts is None:
            return 0
        ended = self.ctx.request_body_ended
        if not ended or self.ctx.attempts == 1:  # waiting for its connection is the first attempt's own affair
            return expected_timeout_ms(timeouts)
        return expected_timeout_ms(timeouts, self.env.clock.monotonic() - ended)

    @property
    def per_try_timeout(self) -> float:
        """Seconds that one attempt may take; 0 is none."""
        return self.timeouts.per_try if self.timeouts is not None else 0.0

    def _on_timeout(self) -> None:
        self._timer = None
        if self.finished:
            return
        attempt = self.attempt
        if attempt is not None:
            attempt.host.cluster.stats.upstream_rq_timeout += 1
            if not self.response_started:
                attempt.timed_out()
        self.timed_out()

    def timed_out(self) -> None:
        """The route's timeout is over."""
        raise NotImplementedError

    def cancel_timers(self) -> None:
        """Nothing more will happen by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._backoff is not None:
            self._backoff.cancel()
            self._backoff = None

    def drop_attempt(self) -> None:
        """Nobody waits for its response any more."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            if self.attempt_notes is not None:
                self.attempt_notes[-1].end(self.env.clock.monotonic(), cancelled=True)
            attempt.discard()

    def close_retry(self) -> None:
        """Give back what retries hold under the cluster's ceilings."""
        if self._retry is not None:
            self._retry.close()

    # From the attempt, for the rest of an exchange

    def connected(self) -> None:
        """An attempt has its connection: what was held back may flow."""
        raise NotImplementedError

    def attempt_answered(self, attempt: Attempt, head: ResponseHead, *, end: bool) -> None:
        """The attempt has a response head."""
        raise NotImplementedError

    def informational(self, head: ResponseHead) -> None:
        """A 1xx."""
        raise NotImplementedError

    def attempt_body(self, chunk: bytes) -> None:
        """Body bytes from the upstream."""
        raise NotImplementedError

    def attempt_ended(self) -> None:
        """The response is whole."""
        raise NotImplementedError

    def attempt_trailers(self, trailers: Headers) -> None:
        """The response is whole, and header lines end it."""
        raise NotImplementedError

    def attempt_read_end(self) -> None:
        """All that came with one read was told."""
        raise NotImplementedError

    def attempt_broke(self, outcome: Outcome) -> None:
        """The response ended in the middle."""
        raise NotImplementedError

    def attempt_upgraded(self, attempt: Attempt, head: ResponseHead, rest: bytes) -> None:
        """101."""
        raise NotImplementedError

    def upstream_writable(self, writable: bool) -> None:
        """The upstream takes the request's body slower (False) or again (True)."""
        raise NotImplementedError
