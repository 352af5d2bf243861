"""The facts of one exchange: filled in by the data path, read by format strings, access log, metrics and tracing.

Times are seconds: `started_at` is wall-clock (Unix), every other is the monotonic clock. Addresses are text, `ip:port`.
"""

from __future__ import annotations

from pyproxy.core.http import Headers, RequestHead, ResponseHead
from pyproxy.core.tls import Peer
from pyproxy.core.trace import Trace


class RequestContext:
    """What became known about one request and its response. One writer: the exchange that owns it.

    Defaults live on the class, so that a fresh context costs three assignments and not forty.
    """

    response: ResponseHead | None = None
    """The head that went to the client, upstream's or our own."""
    response_trailers: Headers | None = None
    status: int = 0
    """What the client was sent; 0 when nothing was."""
    flags: tuple[str, ...] = ()
    """Envoy's short response flags, in the order they were set."""
    details: str = ""
    """Envoy's response code details."""
    protocol: str = "HTTP/1.1"
    request_id: bytes = b""
    request_body_ended: float = 0.0
    upstream_request_sent: float = 0.0
    response_first_byte: float = 0.0
    response_first_sent: float = 0.0
    response_body_ended: float = 0.0
    bytes_received: int = 0
    """Body bytes from the client."""
    bytes_sent: int = 0
    """Body bytes to the client."""
    request_header_bytes: int = 0
    response_header_bytes: int = 0
    attempts: int = 0
    route_name: str = ""
    virtual_host: str = ""
    upstream_cluster: str = ""
    upstream_host: str = ""
    upstream_local_address: str = ""
    upstream_protocol: str = ""
    """HTTP/1.1 or HTTP/2, once a request went to an upstream."""
    upstream_peer_uri_san: str = ""
    """The SPIFFE identity in the upstream's certificate; empty without mutual TLS."""
    upstream_tls: Peer | None = None
    """The upstream's end of the connection; None: plaintext."""
    upstream_transport_failure: str = ""
    downstream_local_address: str = ""
    downstream_remote_address: str = ""
    """Follows x-forwarded-for where trusted; then the port is 0."""
    direct_remote_address: str = ""
    downstream_peer_uri_san: str = ""
    downstream_tls: Peer | None = None
    """The client's end of the connection; None: plaintext."""
    requested_server_name: str = ""
    connection_termination_details: str = ""
    connection_id: int = 0
    original_target: bytes | None = None
    """The path and query before a rewrite; None when not rewritten."""
    original_authority: bytes | None = None
    grpc_status: str | None = None
    """grpc-status as text, from trailers or else headers; None when not gRPC."""
    peer_metadata: bytes | None = None
    """The other sidecar's x-envoy-peer-metadata value, undecoded."""
    trace: Trace | None = None

    def __init__(self, request: RequestHead, started: float, started_at: float) -> None:
        self.request = request
        self.started = started
        self.started_at = started_at

    def take_upstream_peer(self, peer: Peer | None) -> None:
        """Who is at the other end of the connection that the upstream is reached by."""
        self.upstream_tls = peer
        self.upstream_peer_uri_san = peer.uri_san if peer is not None else ""

    def add_flag(self, flag: str) -> None:
        """Set an Envoy response flag once; the order of first setting is kept."""
        if flag not in self.flags:
            self.flags = (*self.flags, flag)
