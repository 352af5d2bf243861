"""What every exchange of a worker shares, and what every exchange of one client connection shares."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pyproxy.core.context import RequestContext
from pyproxy.core.loop import Clock
from pyproxy.core.streams import Streams
from pyproxy.core.tls import Peer, ServerTls
from pyproxy.mtls.contexts import Contexts
from pyproxy.runtime.counters import HttpStats, TcpProxyStats, TcpStats
from pyproxy.runtime.live import Live
from pyproxy.snapshot.model import HttpSettings, Listener, ListenerKind, Snapshot, VirtualHost
from pyproxy.telemetry.access_logs import AccessLogs
from pyproxy.telemetry.metrics import IstioMetrics
from pyproxy.wire.http2_stats import Http2Stats
from pyproxy.wire.proxy_protocol import Ends

if TYPE_CHECKING:
    from pyproxy.proxy.spans import Spans

Resolve = Callable[[str], Awaitable[list[str]]]
"""Host name → addresses, best first; empty when there are none."""

PEER_LINES: Final = b"x-envoy-peer-metadata-id: %b\r\nx-envoy-peer-metadata: %b\r\n"
"""Who we are, for the other side's proxy: on what goes out into the mesh, shadows too (Istio listener_builder.go)."""


_NAMED: Final = ListenerKind.NAMED
_INBOUND_CAPTURE: Final = ListenerKind.INBOUND_CAPTURE


@dataclass(slots=True)
class Environment:
    """One worker's parts, handed to each exchange."""

    live: Live
    clock: Clock
    rng: random.Random
    metrics: IstioMetrics
    resolve: Resolve
    access_log: AccessLogs | None = None
    own_metadata: tuple[bytes, bytes] = (b"", b"")
    """x-envoy-peer-metadata-id and x-envoy-peer-metadata of this proxy."""
    draining: bool = False
    """Every response says `connection: close`."""
    streams: Streams | None = None
    """Under a seed each route draws from one of its own; without, all draw from `rng`."""
    tls: Contexts | None = None
    """Certificates, ours and the documents'; None: plaintext alone, on either side."""
    own_addresses: set[tuple[str, int]] = field(default_factory=set)
    """What our listeners are bound to: never a destination, or a request would come back for ever."""
    tcp_stats: TcpStats = field(default_factory=TcpStats)
    """What Istio's network filters count."""
    tcp_proxies: dict[str, TcpProxyStats] = field(default_factory=dict)
    """What TCP proxies count, by prefix."""
    http2_stats: Http2Stats = field(default_factory=Http2Stats)
    """What clients' connections of HTTP/2 count."""
    spans: Spans | None = None
    """Where those of sampled requests go; None: nowhere."""
    peer_lines: bytes = b""
    """`own_metadata` as header lines, ready for the wire."""

    def __post_init__(self) -> None:
        self.introduce_as(self.own_metadata)

    def introduce_as(self, metadata: tuple[bytes, bytes]) -> None:
        """Tell whoever is called from now on that we are this."""
        self.own_metadata = metadata
        self.peer_lines = PEER_LINES % metadata


class ClientConnection:
    """The facts of one client connection. Addresses are `ip:port`."""

    tls: Peer | None = None
    """None: plaintext."""
    server_name: str = ""
    """SNI, whoever ends the TLS; lower case."""
    client_cert: bytes | None = None
    """What x-forwarded-client-cert says of the client; made with the first request, None before it."""
    server: ServerTls | None = None
    """The Gateway's server that ended its TLS."""
    original_destination: tuple[str, int] | None = None
    """Where the client was going before it was redirected to us; None when it called us by name."""

    def __init__(
        self,
        listener: Listener,
        settings: HttpSettings,
        stats: HttpStats,
        local_address: str = "",
        local_port: int = 0,
        remote_address: str = "",
        remote_ip: str = "",
        identifier: int = 0,
    ) -> None:
        self.listener = listener
        self.settings = settings
        self.stats = stats
        self.local_address = local_address
        self.local_port = local_port
        self.remote_address = remote_address
        self.remote_ip = remote_ip
        self.identifier = identifier

    @property
    def ends(self) -> Ends:
        """Where it came from and where it went."""
        return self.remote_address, self.local_address

    def describe_tls(self, ctx: RequestContext) -> None:
        """What a request's context knows of its connection's TLS."""
        ctx.requested_server_name = self.server_name
        ctx.downstream_tls = peer = self.tls
        if peer is not None:
            ctx.downstream_peer_uri_san = peer.uri_san

    def virtual_host(self, snapshot: Snapshot, host: bytes, port: int | None) -> VirtualHost | None:
        """The virtual host for a request on this connection. `host` is lower case, without port."""
        listener = self.listener
        if listener.kind is _NAMED:
            table = snapshot.route_tables.get(self.server.route_table if self.server else listener.route_table)
        elif listener.kind is _INBOUND_CAPTURE:
            captured = self.original_destination and self.original_destination[1]
            if self.tls is None and not snapshot.takes_plaintext(captured, port):
                return None
            return snapshot.inbound_table(captured, port, host)
        elif self.original_destination is None:
            return snapshot.outbound_table(port, host)
        else:
            table = snapshot.port_tables.get(self.original_destination[1]) or snapshot.route_tables.get("allow_any")
        return table.virtual_host_for(host) if table is not None else None


_MAX_AUTHORITIES: Final = 4096
_authorities: Final[dict[bytes, tuple[bytes, int | None]]] = {}
_VALID_AUTHORITY: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;=:@[]"


def split_authority(authority: bytes) -> tuple[bytes, int | None] | None:
    """Host in lower case, and port if there is one; None when it has a character that no authority may have."""
    found = _authorities.get(authority)
    if found is None:
        if authority.translate(None, _VALID_AUTHORITY):
            return None
        host, colon, port = authority.rpartition(b":")
        if colon and port.isdigit() and len(port) <= 5 and not (b":" in host and not host.endswith(b"]")):
            found = host.lower(), int(port)
        else:
            found = authority.lower(), None
        if len(_authorities) >= _MAX_AUTHORITIES:
            _authorities.clear()
        _authorities[authority] = found
    return found
