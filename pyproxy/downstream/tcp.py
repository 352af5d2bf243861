"""Bytes that are not HTTP: a client's connection joined to its cluster. Source: Envoy tcp_proxy.cc."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xxhash import xxh64_intdigest

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.loop import spawn
from pyproxy.core.outcome import Outcome
from pyproxy.policy.rbac import denial_details
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.gate import check_connection
from pyproxy.proxy.peer_exchange import Introduction, record_peer
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.runtime.counters import TcpProxyStats
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    Direction,
    Discovery,
    ListenerKind,
    Snapshot,
)
from pyproxy.snapshot.tcp_routes import TcpRoute, route_to
from pyproxy.telemetry.peer_metadata import own_frame
from pyproxy.upstream.tcp import DialError, Holding, hung_up
from pyproxy.upstream.tunnelling import dial_by
from pyproxy.wire.peer_exchange import PEER_EXCHANGE, FrameReader


class TcpProxy(asyncio.Protocol):
    """One connection that is not HTTP. Closes without a byte when there is nowhere to go, as Envoy does."""

    def __init__(self, env: Environment, connection: ClientConnection, closed: Callable[[], None]) -> None:
        self._env = env
        self._connection = connection
        self._closed = closed
        self._early = b""
        self._frame: FrameReader | None = None
        """Where the client's proxy says who it is; None: it does not."""
        self._gone = False
        self._ended = False
        """The client has sent all it will send."""
        self._host: HostState | None = None
        self._cluster: ClusterState | None = None
        self._route = route_for(env.live.serving.snapshot, connection)
        self._stats = env.tcp_proxies.setdefault(self._route.name, TcpProxyStats())
        clock = env.clock
        self._ctx = RequestContext(RequestHead(b"", b"", b"", []), clock.monotonic(), clock.time())
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use

    # Protocol interface, until there is an upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._stats.downstream_cx_total += 1
        tls = self._connection.tls
        if tls is not None and tls.alpn == PEER_EXCHANGE:
            self._frame = FrameReader()
            self.transport.write(own_frame(self._env.own_metadata))
        spawn(self._join(), name="tcp proxy")

    def data_received(self, data: bytes) -> None:
        if self._frame is not None:
            data = self._frame.feed(data)
        if data:
            self._early += data
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        if self._frame is not None and not self._frame.done:
            self._early = self._frame.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._log(0, 0)  # what came was for nobody, and Envoy has not read it

    # On the way to the upstream

    async def _join(self) -> None:
        self._describe()
        cluster = self._choose_cluster()
        if cluster is None:
            return
        self._host = host = self._pick(cluster)
        if host is None:
            cluster.stats.upstream_cx_none_healthy += 1
            self._refuse("UH")
            return
        self._ctx.upstream_host = host.key
        env = self._env
        try:
            upstream = await dial_by(self._route, host, env.tls, own_frame(env.own_metadata), self._connection.ends)
        except DialError as error:
            self._on_no_upstream(cluster, error)
            return
        if self._gone:
            upstream.transport.abort()
            hung_up(host)
            self._count_closed()
            return
        self._start(cluster, host, upstream)

    def _describe(self) -> None:
        ctx, connection = self._ctx, self._connection
        ctx.protocol = "-"
        ctx.downstream_local_address = connection.local_address
        ctx.downstream_remote_address = ctx.direct_remote_address = connection.remote_address
        connection.describe_tls(ctx)

    def _choose_cluster(self) -> ClusterState | None:
        """By weight; None: the connection was closed instead."""
        env, route = self._env, self._route
        streams = env.streams
        name = route.choose(env.rng if streams is None else streams.route("tcp", route.name))
        self._cluster = cluster = env.live.serving.clusters.get(name)
        policy = check_connection(env, self._connection)
        if policy:
            self._ctx.upstream_cluster = name
            self._ctx.connection_termination_details = denial_details(policy)
            self._refuse()
        elif cluster is None:
            self._stats.downstream_cx_no_route += 1
            self._refuse("NC")
        elif not cluster.ceilings.may_connect:
            self._ctx.upstream_cluster = name
            cluster.stats.upstream_cx_overflow += 1
            self._refuse("UO")
        else:
            self._ctx.upstream_cluster = name
            return cluster
        return None

    def _pick(self, cluster: ClusterState) -> HostState | None:
        if cluster.cluster.discovery is not Discovery.ORIGINAL_DST:
            return cluster.pick(xxh64_intdigest(self._connection.remote_ip.encode()) if self._route.by_source else None)
        target = self._connection.original_destination
        if target is None or target in self._env.own_addresses:
            return None
        return cluster.original_destination(*target)

    def _on_no_upstream(self, cluster: ClusterState, error: DialError) -> None:
        """There is one attempt (max_connect_attempts), so every failure is the last."""
        self._ctx.upstream_transport_failure = error.reason
        cluster.stats.upstream_cx_connect_attempts_exceeded += 1
        failed = error.outcome in (Outcome.REMOTE_CONNECTION_FAILURE, Outcome.CONNECTION_TIMEOUT)
        self._refuse(*(("UF", "URX") if failed else ("URX",)))

    def _refuse(self, *flags: str) -> None:
        for flag in flags:
            self._ctx.add_flag(flag)
        self._count_closed()
        self.transport.close()

    def _count_closed(self) -> None:
        """It never had its upstream."""
        cluster = self._cluster
        if self._connection.settings.direction is Direction.INBOUND:
            record_peer(self._ctx, self._frame)
        self._env.metrics.record_tcp_closed(
            self._ctx,
            direction=self._connection.settings.direction,
            cluster=cluster.cluster if cluster is not None else None,
            endpoint=self._host.endpoint if self._host is not None else None,
            sent_bytes=0,
            received_bytes=0,
        )

    def _start(self, cluster: ClusterState, host: HostState, upstream: Holding) -> None:
        self._ctx.take_upstream_peer(upstream.peer)
        self._ctx.upstream_local_address = _text(upstream.transport.get_extra_info("sockname"))
        session = Session(self._env, self._connection, self._route, self._stats, self._ctx, cluster, host, self._log)
        session.start(self.transport, upstream, self._early, self._frame, client_ended=self._ended)

    def _log(self, received: int, sent: int) -> None:
        ctx = self._ctx
        ctx.bytes_received = received
        ctx.bytes_sent = sent
        ctx.response_body_ended = self._env.clock.monotonic()
        if self._env.access_log is not None:
            self._env.access_log.log(ctx, self._connection.settings.direction)
        self._closed()


class Session:
    """A connection that has its upstream: what it counts, and how long it may go on."""

    def __init__(
        self,
        env: Environment,
        connection: ClientConnection,
        route: TcpRoute,
        stats: TcpProxyStats,
        ctx: RequestContext,
        cluster: ClusterState,
        host: HostState,
        ended: Callable[[int, int], None],
    ) -> None:
        self._env = env
        self._direction = connection.settings.direction
        self._route = route
        self._stats = stats
        self._ctx = ctx
        self._cluster = cluster
        self._host = host
        self._ended = ended
        self._opened = False
        self._frame: FrameReader | None = None
        """Of the other side, for the side that reports."""
        self._reported = [0, 0]
        """Bytes from the client and from the upstream that are counted already."""
        self._silent_since = self._reported_at = env.clock.monotonic()
        self._report_every = interval = env.live.serving.snapshot.telemetry.metrics_interval
        """Seconds between two reports of its bytes (Istio's tcp_reporting_duration)."""
        self._tick_every = min(interval, route.idle_timeout / 4 or interval)
        self._tick: asyncio.TimerHandle | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._tunnel: Tunnel = None  # type: ignore[assignment]  # set in start, before any use

    def start(
        self,
        client: asyncio.Transport,
        upstream: Holding,
        early: bytes,
        frame: FrameReader | None,
        *,
        client_ended: bool,
    ) -> None:
        """Join both. What was read before: `early` and, where the client's proxy introduces itself, `frame`."""
        self._frame = frame if self._direction is Direction.INBOUND else upstream.frame
        self._meet()
        loop = asyncio.get_running_loop()
        self._tick = loop.call_later(self._tick_every, self._on_tick)
        if self._route.max_duration:
            self._limit = loop.call_later(self._route.max_duration, self._on_limit)
        self._tunnel = tunnel = Tunnel(client, upstream.transport, self._on_end)
        tunnel.start(from_client=early, from_upstream=upstream.early)
        for side, its in ((tunnel.client, frame), (tunnel.upstream, upstream.frame)):
            if its is not None and not its.done and not side.lost:
                Introduction(its, side, self._meet)
        if client_ended:
            tunnel.client.eof_received()
        if upstream.ended:
            tunnel.upstream.eof_received()

    def _meet(self) -> None:
        """Once it is known who the other side is, or that it does not say, the connection counts: with these labels."""
        if self._opened or (self._frame is not None and not self._frame.done):
            return
        self._opened = True
        record_peer(self._ctx, self._frame)
        self._env.metrics.record_tcp_opened(
            self._ctx, direction=self._direction, cluster=self._cluster.cluster, endpoint=self._host.endpoint
        )

    def _on_tick(self) -> None:
        """Several times in an idle timeout: has anything moved, and is it time to report?"""
        now, tunnel, idle = self._env.clock.monotonic(), self._tunnel, self._route.idle_timeout
        if tunnel.moved:
            tunnel.moved = False
            self._silent_since = now
        elif idle and now - self._silent_since >= idle - self._tick_every / 2:
            self._stats.idle_timeout += 1
            self._cut()
            return
        if self._opened and now - self._reported_at >= self._report_every - self._tick_every / 2:
            self._reported_at = now
            received, sent = self._count_bytes()
            self._env.metrics.record_tcp_bytes(self._ctx, sent_bytes=sent, received_bytes=received)
        self._tick = asyncio.get_running_loop().call_later(self._tick_every, self._on_tick)

    def _on_limit(self) -> None:
        self._limit = None
        self._stats.max_downstream_connection_duration += 1
        self._ctx.add_flag("DT")
        self._cut()

    def _cut(self) -> None:
        self._tunnel.lost_by = self._tunnel.client
        self._tunnel.cut()

    def _on_end(self, received: int, sent: int) -> None:
        for timer in (self._tick, self._limit):
            if timer is not None:
                timer.cancel()
        tunnel = self._tunnel
        hung_up(self._host, here=tunnel.lost_by is not tunnel.upstream)
        if tunnel.reset_by is tunnel.upstream:
            self._ctx.add_flag("UR")
        more_received, more_sent = self._count_bytes()
        self._env.metrics.record_tcp_closed(
            self._ctx,
            direction=self._direction,
            cluster=self._cluster.cluster,
            endpoint=self._host.endpoint,
            sent_bytes=more_sent,
            received_bytes=more_received,
        )
        self._ended(received, sent)

    def _count_bytes(self) -> tuple[int, int]:
        """Bytes from the client and from the upstream since the last call, into the statistics of both sides."""
        client, upstream = self._tunnel.client, self._tunnel.upstream
        received, sent = client.received - self._reported[0], upstream.received - self._reported[1]
        self._reported = [client.received, upstream.received]
        stats, cluster = self._stats, self._cluster.stats
        stats.downstream_cx_rx_bytes_total += received
        stats.downstream_cx_tx_bytes_total += sent
        cluster.upstream_cx_tx_bytes_total += received
        cluster.upstream_cx_rx_bytes_total += sent
        return received, sent


def route_for(snapshot: Snapshot, connection: ClientConnection) -> TcpRoute:
    """Where a connection that is not HTTP goes."""
    listener, target = connection.listener, connection.original_destination
    if listener.kind is ListenerKind.INBOUND_CAPTURE:
        name = f"inbound|{target[1]}||" if target is not None else ""
        return route_to(name if name in snapshot.clusters else INBOUND_PASSTHROUGH_CLUSTER)
    found = None
    if listener.kind is ListenerKind.NAMED:
        found = listener.tcp.find(connection.server_name)
    elif target is not None:
        found = snapshot.tcp_route(*target, connection.server_name)
    if found is not None:
        return found
    outbound = connection.settings.direction is Direction.OUTBOUND
    return snapshot.unknown_route if outbound else route_to(BLACKHOLE_CLUSTER)


def _text(address: object) -> str:
    if not isinstance(address, tuple):
        return ""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
