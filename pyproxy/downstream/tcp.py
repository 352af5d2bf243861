"""Bytes that are not HTTP: a captured connection joined to its cluster. Source: Envoy tcp_proxy.cc."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pyproxy.core.context import RequestContext
from pyproxy.core.http import RequestHead
from pyproxy.core.loop import spawn
from pyproxy.core.outcome import RESPONSE_FLAG
from pyproxy.policy.rbac import denial_details
from pyproxy.proxy.environment import ClientConnection, Environment
from pyproxy.proxy.gate import check_connection
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    PASSTHROUGH_CLUSTER,
    Discovery,
    ListenerKind,
    Snapshot,
)
from pyproxy.upstream.tcp import DialError, Holding, dial, hung_up


class TcpProxy(asyncio.Protocol):
    """One captured connection that is not HTTP. Closes without a byte when there is nowhere to go, as Envoy does."""

    def __init__(self, env: Environment, connection: ClientConnection, closed: Callable[[], None]) -> None:
        self._env = env
        self._connection = connection
        self._closed = closed
        self._early = b""
        self._gone = False
        self._ended = False
        """The client has sent all it will send."""
        self._joined = False
        self._host: HostState | None = None
        self._cluster: ClusterState | None = None
        clock = env.clock
        self._ctx = RequestContext(RequestHead(b"", b"", b"", []), clock.monotonic(), clock.time())
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # set before any use

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        spawn(self._join(), name="tcp proxy")

    def data_received(self, data: bytes) -> None:
        self._early += data
        self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        if not self._joined:
            self._finish(0, 0)

    async def _join(self) -> None:
        ctx = self._ctx
        ctx.protocol = "-"
        ctx.downstream_local_address = self._connection.local_address
        ctx.downstream_remote_address = ctx.direct_remote_address = self._connection.remote_address
        self._connection.describe_tls(ctx)
        serving = self._env.live.serving
        name = cluster_for(serving.snapshot, self._connection)
        self._cluster = cluster = serving.clusters.get(name)
        ctx.upstream_cluster = name
        policy = check_connection(self._env, self._connection)
        if policy:
            ctx.connection_termination_details = denial_details(policy)
            self._refuse("")
            return
        if cluster is None or name == BLACKHOLE_CLUSTER:
            self._refuse("" if cluster is not None else "NC")
            return
        self._host = host = self._pick(cluster)
        if host is None:
            self._refuse("UH")
            return
        ctx.upstream_host = host.key
        try:
            upstream = await dial(host, self._env.tls)
        except DialError as error:
            ctx.upstream_transport_failure = error.reason
            self._refuse(RESPONSE_FLAG[error.outcome])
            return
        if self._gone:
            upstream.transport.abort()
            hung_up(host)
            return
        ctx.take_upstream_peer(upstream.peer)
        self._start(upstream)

    def _pick(self, cluster: ClusterState) -> HostState | None:
        if cluster.cluster.discovery is not Discovery.ORIGINAL_DST:
            return cluster.pick()
        target = self._connection.original_destination
        if target is None or target in self._env.own_addresses:
            return None
        return cluster.original_destination(*target)

    def _start(self, upstream: Holding) -> None:
        self._joined = True
        host, cluster = self._host, self._cluster
        assert host is not None and cluster is not None
        self._env.metrics.record_tcp_opened(
            self._ctx, direction=self._connection.settings.direction, cluster=cluster.cluster, endpoint=host.endpoint
        )
        tunnel = Tunnel(self.transport, upstream.transport, self._tunnel_ended)
        tunnel.start(from_client=self._early, from_upstream=upstream.early)
        if self._ended:
            tunnel.client.eof_received()

    def _tunnel_ended(self, received: int, sent: int) -> None:
        assert self._host is not None and self._cluster is not None
        hung_up(self._host)
        self._env.metrics.record_tcp_closed(
            self._ctx,
            direction=self._connection.settings.direction,
            cluster=self._cluster.cluster,
            endpoint=self._host.endpoint,
            sent_bytes=sent,
            received_bytes=received,
        )
        self._finish(received, sent)

    def _refuse(self, flag: str) -> None:
        if flag:
            self._ctx.add_flag(flag)
        cluster = self._cluster
        self._env.metrics.record_tcp_closed(
            self._ctx,
            direction=self._connection.settings.direction,
            cluster=cluster.cluster if cluster is not None else None,
            endpoint=self._host.endpoint if self._host is not None else None,
            sent_bytes=0,
            received_bytes=len(self._early),
        )
        self.transport.close()

    def _finish(self, received: int, sent: int) -> None:
        ctx = self._ctx
        ctx.bytes_received = received
        ctx.bytes_sent = sent
        ctx.response_body_ended = self._env.clock.monotonic()
        if self._env.access_log is not None:
            self._env.access_log.log(ctx)
        self._closed()


def cluster_for(snapshot: Snapshot, connection: ClientConnection) -> str:
    """The cluster that a captured TCP connection goes to."""
    if connection.server is not None:  # a Gateway's: by SNI, whether its TLS ended here or not
        return snapshot.tcp_cluster("", connection.listener.port, connection.server_name.encode()) or BLACKHOLE_CLUSTER
    if connection.listener.kind is ListenerKind.NAMED:
        return connection.listener.tcp_cluster
    target = connection.original_destination
    if connection.listener.kind is ListenerKind.INBOUND_CAPTURE:
        name = f"inbound|{target[1]}||" if target is not None else ""
        return name if name in snapshot.clusters else INBOUND_PASSTHROUGH_CLUSTER
    if target is not None:
        found = snapshot.tcp_cluster(*target)
        if found is not None:
            return found
    return PASSTHROUGH_CLUSTER if snapshot.allow_any else BLACKHOLE_CLUSTER
