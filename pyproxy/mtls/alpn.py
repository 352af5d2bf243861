"""The application protocols of Istio's proxies in TLS. Source: Istio pilot/pkg/networking/core/listener.go."""

from __future__ import annotations

from typing import Final

from pyproxy.wire.peer_exchange import PEER_EXCHANGE

ISTIO_HTTP: Final = frozenset({b"istio-http/1.0", b"istio-http/1.1", b"istio-h2"})
"""The client's proxy saw HTTP."""
ISTIO_TCP: Final = frozenset({PEER_EXCHANGE.encode(), b"istio"})
"""It did not."""
ISTIO: Final = ISTIO_HTTP | ISTIO_TCP
"""A proxy of the mesh, whatever it carries."""
SERVER_HTTP: Final = ("h2", "http/1.1")
"""What we take before HTTP."""
SERVER_TCP: Final = (PEER_EXCHANGE, "http/1.1")
"""Before TCP."""
