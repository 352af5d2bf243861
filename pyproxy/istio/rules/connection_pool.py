"""Connection pools, of a DestinationRule, a Sidecar or the mesh."""

from __future__ import annotations

from pyproxy.istio.networking.destination_rule import ConnectionPoolSettings, HTTPSettings, TCPSettings
from pyproxy.istio.rules.amounts import not_negative
from pyproxy.istio.rules.place import Place


def check_connection_pool(pool: ConnectionPoolSettings | None, place: Place) -> None:
    """Limits that are not negative; 0 means the default."""
    if pool is None:
        return
    if pool.tcp is None and pool.http is None:
        place.error("sets nothing: tcp or http is required")
    if pool.tcp is not None:
        _check_tcp(pool.tcp, place.at("tcp"))
    if pool.http is not None:
        _check_http(pool.http, place.at("http"))


def _check_tcp(tcp: TCPSettings, place: Place) -> None:
    place.at("maxConnections").error(not_negative(tcp.max_connections))
    idle = tcp.idle_timeout
    if idle is not None and (idle < 0 or (idle >= 0.001 and round(idle * 1000, 6) % 1)):
        place.at("idleTimeout").error("must be 0s, which switches it off, or a whole number of milliseconds")


def _check_http(http: HTTPSettings, place: Place) -> None:
    for name, limit in (
        ("http1MaxPendingRequests", http.http1_max_pending_requests),
        ("http2MaxRequests", http.http2_max_requests),
        ("maxRequestsPerConnection", http.max_requests_per_connection),
        ("maxRetries", http.max_retries),
        ("maxConcurrentStreams", http.max_concurrent_streams),
    ):
        place.at(name).error(not_negative(limit))
    if http.use_client_protocol and http.h2_upgrade_policy == "UPGRADE":
        place.at("useClientProtocol").error("h2UpgradePolicy: UPGRADE excludes it")
    if http.http2_keep_alive is not None:
        for name, duration in (
            ("interval", http.http2_keep_alive.interval),
            ("timeout", http.http2_keep_alive.timeout),
        ):
            if duration is None:
                place.at("http2KeepAlive").error(f"{name} is required")
