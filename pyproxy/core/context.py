"""The facts of one exchange: filled in by the data path, read by format strings, access log, metrics and tracing.

Times are seconds: `started_at` is wall-clock (Unix), every other is the monotonic clock. Addresses are text, `ip:port`.
"""

from __future__ import annotations

from pyproxy.core.http import RequestHead, ResponseHead


class RequestContext:
    """What became known about one request and its response. One writer: the exchange that owns it."""

    __slots__ = (
        "attempts",
        "bytes_received",
        "bytes_sent",
        "connection_id",
        "connection_termination_details",
        "details",
        "direct_remote_address",
        "downstream_local_address",
        "downstream_peer_uri_san",
        "downstream_remote_address",
        "flags",
        "grpc_status",
        "original_authority",
        "original_target",
        "peer_metadata",
        "protocol",
        "request",
        "request_body_ended",
        "request_header_bytes",
        "request_id",
        "requested_server_name",
        "response",
        "response_body_ended",
        "response_first_byte",
        "response_first_sent",
        "response_header_bytes",
        "route_name",
        "started",
        "started_at",
        "status",
        "trace",
        "upstream_cluster",
        "upstream_host",
        "upstream_local_address",
        "upstream_request_sent",
        "upstream_transport_failure",
        "virtual_host",
    )

    def __init__(self, request: RequestHead, started: float, started_at: float) -> None:
        self.request = request
        self.response: ResponseHead | None = None
        self.status = 0
        """What the client was sent; 0 when nothing was."""
        self.flags: tuple[str, ...] = ()
        """Envoy's short response flags, in the order they were set."""
        self.details = ""
        """Envoy's response code details."""
        self.protocol = "HTTP/1.1"
        self.request_id = b""
        self.started = started
        self.started_at = started_at
        self.request_body_ended = 0.0
        self.upstream_request_sent = 0.0
        self.response_first_byte = 0.0
        self.response_first_sent = 0.0
        self.response_body_ended = 0.0
        self.bytes_received = 0
        """Body bytes from the client."""
        self.bytes_sent = 0
        """Body bytes to the client."""
        self.request_header_bytes = 0
        self.response_header_bytes = 0
        self.attempts = 0
        self.route_name = ""
        self.virtual_host = ""
        self.upstream_cluster = ""
        self.upstream_host = ""
        self.upstream_local_address = ""
        self.upstream_transport_failure = ""
        self.downstream_local_address = ""
        self.downstream_remote_address = ""
        """Follows x-forwarded-for where trusted; then the port is 0."""
        self.direct_remote_address = ""
        self.downstream_peer_uri_san = ""
        self.requested_server_name = ""
        self.connection_termination_details = ""
        self.connection_id = 0
        self.original_target: bytes | None = None
        """The path and query before a rewrite; None when not rewritten."""
        self.original_authority: bytes | None = None
        self.grpc_status: str | None = None
        """grpc-status as text, from trailers or else headers; None when not gRPC."""
        self.peer_metadata: bytes | None = None
        """The other sidecar's x-envoy-peer-metadata value, undecoded."""
        self.trace: object | None = None

    def add_flag(self, flag: str) -> None:
        """Set an Envoy response flag once; the order of first setting is kept."""
        if flag not in self.flags:
            self.flags = (*self.flags, flag)
