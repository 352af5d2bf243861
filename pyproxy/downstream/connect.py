"""CONNECT on the HTTP proxy port: a tunnel to a service of the mesh, or, under ALLOW_ANY, to anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xxhash import xxh64_intdigest

from pyproxy.core.loop import spawn
from pyproxy.proxy import replies
from pyproxy.proxy.environment import Environment, split_authority
from pyproxy.proxy.peer_exchange import Introduction, record_peer
from pyproxy.proxy.tunnel import Tunnel
from pyproxy.runtime.clusters import ClusterState, HostState
from pyproxy.snapshot.model import PASSTHROUGH_CLUSTER
from pyproxy.telemetry.peer_metadata import own_frame
from pyproxy.upstream.tcp import DialError, hung_up
from pyproxy.upstream.tunnelling import dial_by

if TYPE_CHECKING:
    from pyproxy.downstream.http1 import Http1Server
    from pyproxy.proxy.exchange import Exchange

BLOCKED = replies.Reply(502, details="direct_response", close=True)
BAD_TARGET = replies.codec_error(400, "http1.invalid_url")


class ConnectHandler:
    """Serves the CONNECT requests of one listener."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def start(self, server: Http1Server, exchange: Exchange, rest: bytes) -> None:
        """Take over a CONNECT request; `rest` came behind its head."""
        exchange.request_ended = True
        server.transport.pause_reading()
        spawn(self._open(server, exchange, rest), name="connect")

    async def _open(self, server: Http1Server, exchange: Exchange, rest: bytes) -> None:
        split = split_authority(exchange.head.target)
        if split is None or split[1] is None:
            exchange.reply(BAD_TARGET)
            return
        host = await self._destination(exchange, split[0], split[1])
        if host is None or exchange.is_over():
            return
        exchange.ctx.upstream_host = host.key
        env = self._env
        try:
            route = env.live.serving.snapshot.connect_route(split[0].decode("latin-1"), split[1])
            upstream = await dial_by(route, host, env.tls, own_frame(env.own_metadata), exchange.connection.ends)
        except DialError as error:
            exchange.ctx.upstream_transport_failure = error.reason
            exchange.reply(replies.upstream_failure(error.outcome, error.reason, retried=False))
            return
        if exchange.is_over():
            upstream.transport.abort()
            hung_up(host)
            return
        exchange.ctx.take_upstream_peer(upstream.peer)
        exchange.begin_tunnel(host)
        server.send_connect_established()

        def ended(received: int, sent: int) -> None:
            hung_up(host)
            server.tunnel_ended(received, sent)

        server.tunnel = tunnel = Tunnel(server.transport, upstream.transport, ended)
        exchange.tunnel_opened(tunnel)
        tunnel.start(from_client=rest, from_upstream=upstream.early)
        frame = upstream.frame
        record_peer(exchange.ctx, frame)
        if frame is not None and not frame.done:
            Introduction(frame, tunnel.upstream, lambda: record_peer(exchange.ctx, frame))
        if upstream.ended:
            tunnel.upstream.eof_received()

    async def _destination(self, exchange: Exchange, name: bytes, port: int) -> HostState | None:
        """The host to dial; None when the exchange was answered instead."""
        serving = self._env.live.serving
        snapshot = serving.snapshot
        by_source = False
        route = snapshot.connect_route(name.decode("latin-1"), port)
        if route is not None:
            streams = self._env.streams
            known = route.choose(self._env.rng if streams is None else streams.route("tcp", route.name))
            by_source = route.by_source
        else:
            virtual_host = snapshot.outbound_table(port, name)
            service = virtual_host.service if virtual_host is not None else None
            known = f"outbound|{port}||{service.host}" if service is not None else ""
        cluster = serving.clusters.get(known)
        if cluster is not None:
            exchange.take_cluster(cluster)
            return self._picked(exchange, cluster, by_source=by_source)
        if not snapshot.allow_any:
            exchange.reply(BLOCKED)
            return None
        cluster = serving.clusters[PASSTHROUGH_CLUSTER]
        exchange.take_cluster(cluster)
        addresses = await self._env.resolve(name.decode("latin-1").strip("[]"))
        if not addresses or (addresses[0], port) in self._env.own_addresses:
            exchange.reply(replies.NO_HEALTHY_UPSTREAM)
            return None
        return cluster.original_destination(addresses[0], port)

    def _picked(self, exchange: Exchange, cluster: ClusterState, *, by_source: bool) -> HostState | None:
        host = cluster.pick(xxh64_intdigest(exchange.connection.remote_ip.encode()) if by_source else None)
        if host is None:
            exchange.reply(replies.NO_HEALTHY_UPSTREAM)
        return host
