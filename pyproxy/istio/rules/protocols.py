"""The protocols that a port may declare (Istio's pkg/config/protocol/instance.go)."""

from __future__ import annotations

HTTP = frozenset(("http", "http2", "http_proxy", "grpc", "grpc-web"))
TLS = frozenset(("https", "tls"))
OVER_TCP = TLS | {"tcp", "mongo", "redis", "mysql"}
ALL = HTTP | OVER_TCP | {"udp"}


def protocol_of(text: str | None) -> str:
    """The protocol as these sets spell it; empty when it is not declared."""
    return (text or "").lower()


def protocol_problem(text: str | None) -> str | None:
    """For a protocol that may be left out, in which case it is detected."""
    if not text or protocol_of(text) in ALL:
        return None
    return f'"{text}" is no protocol; accepted are {", ".join(sorted(name.upper() for name in ALL))}'
